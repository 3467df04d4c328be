"""Whom images show is told that they went to somebody else; not which, and not to whom."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive, open_archive
from tests.operate.test_identities import one, take
from tests.operate.test_patient_accounts import BORN, HERE, code_for, enrol, visitor
from tests.sharing.conftest import CLERK, MAIL, OTHER, PHONE, in_days
from tests.sharing.test_account_notices import begin
from vna.access.sessions import Visitor
from vna.db.pool import Database
from vna.delivery.channels import Channel
from vna.dicom.refs import StudyRef, uid
from vna.sharing.values import (
    Confirmed,
    Offer,
    Person,
    Protection,
    Purpose,
    Recipient,
    channel,
)

KIM = channel("email", "kim.at.work@example.com")
COLLEAGUE = replace(CLERK, name="colleague")
PHONE_2 = channel("sms", "+44 20 7946 0077")
NOTICES = ("shared-with-organisation", "shared-with-person")


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        yield archive


@pytest.fixture
def jane(archive: Archive) -> Visitor:
    return patient_of(archive)


def patient_of(archive: Archive) -> Visitor:
    """A patient with a proven mailbox and a proven telephone."""
    code = code_for(archive, take(archive, "P-1"))
    found = visitor(
        archive, enrol(archive, archive.patient_accounts.beginnings.redeem(code, BORN, HERE))
    )
    prove(archive, found, MAIL, PHONE)
    archive.posted.messages.clear()
    return found


def prove(archive: Archive, who: Visitor, *ways: Channel) -> None:
    """Let somebody prove where they are reached."""
    codes = {to: begin(archive, who, to) for to in ways}
    for to, code in codes.items():
        archive.sharing.contacts.prove(who.principal, who.account_id, to.kind, code)


def offer(study: str, **changed: Any) -> Offer:
    said: dict[str, Any] = {
        "studies": frozenset({StudyRef(uid(study))}),
        "person": Person(
            name="Doe, Jane", confirmed=frozenset({Confirmed.NAME, Confirmed.BIRTH_DATE})
        ),
        "recipient": Recipient(name="Dr Kim", organisation="Elsewhere"),
        "purpose": Purpose.TREATMENT,
        "to": KIM,
        "by": PHONE_2,
        "proof": frozenset({Protection.SMS}),
        "until": in_days(30),
        "legal_basis": "treatment",
        **changed,
    }
    return Offer(**said)


def told(archive: Archive) -> list[tuple[str, Channel]]:
    found = [one for one in archive.posted.messages if one.template in NOTICES]
    archive.posted.messages.clear()
    for message in found:
        assert set(message.values) == {"day"}
        dt.date.fromisoformat(message.values["day"])
    return [(one.template, one.to) for one in found]


def test_a_patient_is_told_once_that_somebody_else_was_sent_their_images(
    archive: Archive, jane: Visitor
) -> None:
    archive.patient_accounts.own.choose_language(jane.account_id, "de")
    (study,) = jane.principal.scope.studies
    other = take(archive, "P-2")
    pair = one(archive, "P-1").id, one(archive, "P-2").id
    archive.identities.link(archive.who, *pair, reason="Asked her")
    archive.identities.agree(replace(archive.who, name="bob"), *pair, is_fresh=True)
    share = archive.sharing.offer(CLERK, offer(study))
    assert told(archive) == [("shared-with-organisation", MAIL)]
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT language, share_id FROM message WHERE template = 'shared-with-organisation'"
        ).fetchall()
        detail = conn.execute("SELECT detail FROM audit WHERE kind = 'share.offered'").fetchall()
    assert rows == [("de", share.share_id)]
    assert [one[0]["told"] for one in detail] == [["email"]]
    # who says that a stranger's mailbox is the patient's is found out the same way
    stranger = offer(study, recipient=Recipient(name="Jane Doe"))
    waits = archive.sharing.offer(CLERK, stranger)
    assert told(archive) == []  # nothing was sent yet
    archive.sharing.seconds.agree(COLLEAGUE, waits.share_id)
    assert told(archive) == [("shared-with-person", MAIL)]
    # another Patient ID of hers is hers
    archive.sharing.offer(CLERK, offer(other))
    assert told(archive) == [("shared-with-organisation", MAIL)]


def test_a_word_never_goes_where_something_of_the_share_goes(
    archive: Archive, jane: Visitor
) -> None:
    (study,) = jane.principal.scope.studies
    hers = Recipient(name="Jane Doe")
    archive.sharing.offer(CLERK, offer(study, to=MAIL, by=PHONE, recipient=hers))
    waits = archive.sharing.offer(CLERK, offer(study, to=MAIL, recipient=hers))
    archive.sharing.seconds.agree(COLLEAGUE, waits.share_id)
    assert told(archive) == []  # it is shared with her
    by_mail = frozenset({Protection.EMAIL})
    archive.sharing.offer(CLERK, offer(study, to=KIM, by=MAIL, proof=by_mail))
    assert told(archive) == [("shared-with-organisation", PHONE)]
    spoken = frozenset({Protection.PASSCODE})
    archive.sharing.offer(CLERK, offer(study, to=None, by=None, proof=spoken))
    assert told(archive) == [("shared-with-organisation", MAIL)]  # handed over to somebody
    archive.sharing.offer(CLERK, offer(study, notify=MAIL))
    assert archive.posted.last("shared").to == MAIL
    assert told(archive) == []  # told already, and more


def test_who_proved_no_way_or_is_not_meant_is_not_written_to(
    archive: Archive, jane: Visitor
) -> None:
    archive.sharing.offer(CLERK, offer(take(archive, "P-9", name="Roe^Rick", born="19800101")))
    assert told(archive) == []
    (study,) = jane.principal.scope.studies
    begin(archive, jane, OTHER)
    archive.sharing.offer(CLERK, offer(study))
    assert told(archive) == [("shared-with-organisation", MAIL)]  # the new one waits for its code


def test_a_site_may_leave_it_out(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, sharing={"tell_patient": False}) as archive:
        code = code_for(archive, take(archive, "P-1"))
        jane = visitor(
            archive, enrol(archive, archive.patient_accounts.beginnings.redeem(code, BORN, HERE))
        )
        prove(archive, jane, MAIL)
        (study,) = jane.principal.scope.studies
        archive.sharing.offer(CLERK, offer(study))
        assert told(archive) == []
