"""What changes about an account, or where codes go, is told where messages went before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archive import Archive, open_archive
from tests.operate.test_identities import take
from tests.operate.test_patient_accounts import BORN, HERE, PASSPHRASE, code_for, enrol, visitor
from tests.sharing.conftest import CLERK, MAIL, OTHER, PHONE, Desk
from vna.access.sessions import Visitor
from vna.db.pool import Database
from vna.delivery.channels import Channel
from vna.delivery.forms import FORMS
from vna.dicom.refs import UID
from vna.errors import InvalidRequest
from vna.sharing.account_notices import TEMPLATES
from vna.sharing.values import Confirmed, channel

NEW = channel("sms", "+44 20 7946 0019")
COMPARED = frozenset({Confirmed.NAME, Confirmed.BIRTH_DATE})


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        yield archive


@pytest.fixture
def jane(archive: Archive) -> Visitor:
    """A patient with a proven mailbox and a proven telephone."""
    study = take(archive, "P-1")
    cookie = enrol(archive, archive.patient_accounts.redeem(code_for(archive, study), BORN, HERE))
    found = visitor(archive, cookie)
    for to in (MAIL, PHONE):
        prove(archive, found, to)
    archive.posted.messages.clear()
    return found


def prove(archive: Archive, who: Visitor, to: Channel) -> None:
    contacts = archive.sharing.contacts
    contacts.begin(who.principal, who.account_id, to, language="en")
    code = archive.posted.last("prove").values["code"]
    contacts.prove(who.principal, who.account_id, to.kind, code)


def told(archive: Archive) -> list[tuple[str, Channel]]:
    """Say what went out since it was last asked, and where."""
    found = [(one.template, one.to) for one in archive.posted.messages if one.template != "prove"]
    assert all(one.values == {} for one in archive.posted.messages if one.template != "prove")
    archive.posted.messages.clear()
    return found


def test_the_old_address_hears_that_it_was_replaced_or_taken_out(
    archive: Archive, jane: Visitor
) -> None:
    contacts = archive.sharing.contacts
    contacts.begin(jane.principal, jane.account_id, OTHER, language="en")
    assert told(archive) == [("contact-replaced", MAIL)]
    contacts.begin(jane.principal, jane.account_id, MAIL, language="en")
    assert told(archive) == []  # the one before was never proven: nobody was written to there
    contacts.drop(jane.principal, jane.account_id, "sms")
    assert told(archive) == [("contact-replaced", PHONE)]


def test_another_way_to_sign_in_is_told_to_every_proven_address_in_their_language(
    archive: Archive, jane: Visitor
) -> None:
    archive.patient_accounts.choose_language(jane.account_id, "de")
    codes = archive.people.signing.renew_recovery_codes(jane)
    assert told(archive) == [("sign-in-changed", MAIL), ("sign-in-changed", PHONE)]
    with archive.database.reading() as conn:
        rows = conn.execute("SELECT language FROM message WHERE template = 'sign-in-changed'")
        assert {row[0] for row in rows} == {"de"}
    archive.people.signing.prove(jane, codes[0])
    assert told(archive) == [("recovery-code-used", MAIL), ("recovery-code-used", PHONE)]
    cookie = archive.people.signing.passphrase(jane.login, PASSPHRASE, HERE)
    archive.people.signing.code(visitor(archive, cookie), codes[1], HERE)
    assert told(archive) == [("recovery-code-used", MAIL), ("recovery-code-used", PHONE)]


def test_an_account_begun_anew_by_a_code_of_the_desk_is_told_once(
    archive: Archive, jane: Visitor
) -> None:
    study = str(next(iter(jane.principal.scope.studies)))
    (binding,) = archive.patient_accounts.holder(archive.who, UID(study)).bindings
    code = code_for(archive, study, binding.binding_id)
    assert told(archive) == []
    enrol(archive, archive.patient_accounts.redeem(code, BORN, HERE))
    assert told(archive) == [("sign-in-changed", MAIL), ("sign-in-changed", PHONE)]


def test_a_notice_about_an_account_leads_nowhere() -> None:
    """Who learns that our mails about accounts hold no link knows one that has for another's."""
    for name in TEMPLATES:
        form = FORMS[name]
        assert form.takes <= {"when"}
        assert not form.link
        said = "".join((*form.paragraphs, form.short))
        assert set(re.findall(r"%\((\w+)\)s", said)) <= {"site", "help", "when"}


def test_where_codes_went_is_told_that_they_go_elsewhere(desk: Desk) -> None:
    offered = desk.offer()
    desk.engine.renew(CLERK, offered.grant_id)
    assert "replaced" not in {one.template for one in desk.archive.posted.messages}
    desk.engine.renew(CLERK, offered.grant_id, by=PHONE, compared=COMPARED)
    assert "replaced" not in {one.template for one in desk.archive.posted.messages}
    desk.engine.renew(CLERK, offered.grant_id, by=NEW, compared=COMPARED)
    posted = desk.archive.posted.last("replaced")
    assert (posted.to, posted.values) == (PHONE, {})
    with pytest.raises(InvalidRequest):
        desk.engine.renew(CLERK, offered.grant_id, by=MAIL, compared=COMPARED)
    assert [m.template for m in desk.archive.posted.messages].count("replaced") == 1
