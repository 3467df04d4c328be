"""What changes about an account, or where codes go, is told where messages went before."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.archive import Archive, open_archive
from tests.operate.test_identities import take
from tests.operate.test_patient_accounts import (
    BORN,
    HERE,
    PASSPHRASE,
    TWO,
    code_for,
    enrol,
    visitor,
)
from tests.sharing.conftest import CLERK, MAIL, OTHER, PHONE, Desk
from vna.access.sessions import Visitor
from vna.db.pool import Database
from vna.delivery.channels import Channel
from vna.delivery.forms import FORMS
from vna.dicom.refs import UID
from vna.errors import ConfigError, Conflict, InvalidRequest, NotAuthenticated, NotFound
from vna.operate.patient_accounts import Issued
from vna.sharing.account_notices import TEMPLATES
from vna.sharing.contacts import Contacts
from vna.sharing.values import Confirmed, Protection, channel

NEW = channel("sms", "+44 20 7946 0019")
COMPARED = frozenset({Confirmed.NAME, Confirmed.BIRTH_DATE})


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        yield archive


@pytest.fixture
def jane(archive: Archive) -> Visitor:
    """A patient with a proven mailbox and a proven telephone."""
    return reached(archive, "P-1", MAIL, PHONE)


def reached(archive: Archive, patient_id: str, *ways: Channel) -> Visitor:
    """Let a patient enrol and prove where they are written to."""
    study = take(archive, patient_id)
    cookie = enrol(
        archive, archive.patient_accounts.beginnings.redeem(code_for(archive, study), BORN, HERE)
    )
    found = visitor(archive, cookie)
    codes = {to: begin(archive, found, to) for to in ways}
    for to, code in codes.items():
        archive.sharing.contacts.prove(found.principal, found.account_id, to.kind, code)
    archive.posted.messages.clear()
    return found


def begin(archive: Archive, who: Visitor, to: Channel) -> str:
    """Ask to be written to there; give the code that went out."""
    archive.sharing.contacts.begin(who.principal, who.account_id, to, language="en")
    code: str = archive.posted.last("prove").values["code"]
    return code


def day_passes(archive: Archive) -> None:
    with archive.database.transaction() as tx:
        tx.execute("UPDATE own_contact_change SET takes_at = takes_at - interval '1 day'")


def told(archive: Archive) -> list[tuple[str, Channel]]:
    """Say what went out since it was last asked, and where."""
    found = [(one.template, one.to) for one in archive.posted.messages if one.template != "prove"]
    assert all(one.values == {} for one in archive.posted.messages if one.template != "prove")
    archive.posted.messages.clear()
    return found


def test_the_old_address_hears_that_it_was_replaced_or_taken_out(
    archive: Archive, jane: Visitor
) -> None:
    """Where no change waits: what is told is told for the last time."""
    settings = replace(archive.settings, access=replace(archive.settings.access, hold_hours=0))
    rooms = replace(archive.sharing._rooms, settings=settings)
    contacts = Contacts(rooms, archive.sharing.account_notices)
    contacts.begin(jane.principal, jane.account_id, OTHER, language="en")
    assert told(archive) == [("contact-replaced", MAIL)]
    contacts.begin(jane.principal, jane.account_id, MAIL, language="en")
    assert told(archive) == []  # the one before was never proven: nobody was written to there
    contacts.drop(jane.principal, jane.account_id, "sms")
    assert told(archive) == [("contact-replaced", PHONE)]


def test_what_a_patient_changes_about_where_we_write_counts_after_a_day(
    archive: Archive, jane: Visitor
) -> None:
    contacts, who = archive.sharing.contacts, (jane.principal, jane.account_id)
    contacts.prove(*who, "email", begin(archive, jane, OTHER))
    assert contacts.mailbox(jane.account_id) == MAIL
    (change,) = contacts.changes(jane.account_id)
    assert (change.kind, change.masked, change.until) == ("email", OTHER.masked(), None)
    assert change.takes_at is not None
    assert dt.timedelta(hours=23) < change.takes_at - dt.datetime.now(dt.UTC) <= dt.timedelta(1)
    when = {"when": change.takes_at.astimezone(dt.UTC).isoformat(timespec="seconds")}
    held = [one for one in archive.posted.messages if one.template == "contact-held"]
    assert [(one.to, one.values) for one in held] == [(MAIL, when), (PHONE, when)]
    archive.posted.messages.clear()
    archive.people.signing.renew_recovery_codes(jane)  # and what happens meanwhile is told there
    assert told(archive) == [("sign-in-changed", MAIL), ("sign-in-changed", PHONE)]
    day_passes(archive)
    assert contacts.mailbox(jane.account_id) == OTHER
    assert contacts.changes(jane.account_id) == []
    assert [one.masked for one in contacts.of(jane.account_id)] == [OTHER.masked(), PHONE.masked()]

    contacts.drop(*who, "sms")
    assert [one.to for one in archive.posted.messages] == [OTHER, PHONE]
    archive.posted.messages.clear()
    archive.people.signing.renew_recovery_codes(jane)
    assert told(archive) == [("sign-in-changed", OTHER), ("sign-in-changed", PHONE)]
    day_passes(archive)
    assert [one.masked for one in contacts.of(jane.account_id)] == [OTHER.masked()]
    contacts.prove(*who, "sms", begin(archive, jane, NEW))  # a telephone where there was none
    assert [one.masked for one in contacts.of(jane.account_id)] == [OTHER.masked()]
    day_passes(archive)
    contacts.drop(*who, "email")  # writing settles what is due first
    assert [one.masked for one in contacts.of(jane.account_id)] == [OTHER.masked(), NEW.masked()]


def test_a_change_that_was_not_theirs_is_stopped_by_them_or_a_desk(
    archive: Archive, jane: Visitor
) -> None:
    contacts, who = archive.sharing.contacts, (jane.principal, jane.account_id)
    study = UID(str(next(iter(jane.principal.scope.studies))))
    accounts = archive.patient_accounts
    (binding,) = accounts.holder(archive.who, study).bindings
    with pytest.raises(NotFound):
        contacts.stop(*who, "email")
    contacts.prove(*who, "email", begin(archive, jane, OTHER))
    contacts.stop(*who, "email")
    with pytest.raises(NotAuthenticated):  # its code does not come back a second time
        contacts.prove(*who, "email", archive.posted.last("prove").values["code"])
    contacts.drop(*who, "sms")
    begin(archive, jane, OTHER)
    shown = accounts.holder(archive.who, study).changes[jane.account_id]
    assert [(one.kind, one.masked) for one in shown] == [("email", OTHER.masked()), ("sms", None)]
    accounts.keep_ways(archive.who, study, binding.binding_id)
    with pytest.raises(Conflict):
        accounts.keep_ways(archive.who, study, binding.binding_id)
    with pytest.raises(NotAuthenticated):
        contacts.prove(*who, "email", archive.posted.last("prove").values["code"])
    day_passes(archive)
    assert [one.masked for one in contacts.of(jane.account_id)] == [MAIL.masked(), PHONE.masked()]
    contacts.drop(*who, "email")
    day_passes(archive)
    with pytest.raises(NotFound):  # too late
        contacts.stop(*who, "email")
    with archive.database.reading() as conn:
        rows = conn.execute("SELECT kind FROM audit WHERE kind LIKE 'contact.%'")
        assert [row[0] for row in rows].count("contact.kept") == 2


def test_what_one_changes_about_where_they_are_written_to_is_nobody_else_s(
    archive: Archive, jane: Visitor
) -> None:
    rick = reached(archive, "P-2", OTHER, NEW)
    contacts = archive.sharing.contacts
    for who in (jane, rick):
        contacts.drop(who.principal, who.account_id, "sms")
    contacts.stop(rick.principal, rick.account_id, "sms")
    day_passes(archive)
    contacts.begin(jane.principal, jane.account_id, NEW, language="en")
    contacts.drop(jane.principal, jane.account_id, "sms")  # of which no code came back
    assert [one.masked for one in contacts.of(jane.account_id)] == [MAIL.masked()]
    assert [one.masked for one in contacts.of(rick.account_id)] == [OTHER.masked(), NEW.masked()]


def test_the_code_of_a_change_is_good_for_ten_minutes_and_five_tries(
    archive: Archive, jane: Visitor
) -> None:
    contacts, who = archive.sharing.contacts, (jane.principal, jane.account_id)
    late = begin(archive, jane, OTHER)
    with archive.database.transaction() as tx:
        tx.execute("UPDATE own_contact_change SET ends_at = now()")
    with pytest.raises(NotAuthenticated):
        contacts.prove(*who, "email", late)
    guessed = begin(archive, jane, OTHER)
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            contacts.prove(*who, "email", "00000000")
    with pytest.raises(NotAuthenticated):
        contacts.prove(*who, "email", guessed)
    contacts.prove(*who, "email", begin(archive, jane, OTHER))


def test_hours_there_are_not_are_refused(archive: Archive) -> None:
    for hours in (-1.0, 721.0):
        settings = replace(
            archive.settings, access=replace(archive.settings.access, hold_hours=hours)
        )
        with pytest.raises(ConfigError, match="hold_hours"):
            Contacts(
                replace(archive.sharing._rooms, settings=settings), archive.sharing.account_notices
            )


def test_another_way_to_sign_in_is_told_to_every_proven_address_in_their_language(
    archive: Archive, jane: Visitor
) -> None:
    archive.patient_accounts.own.choose_language(jane.account_id, "de")
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
    assert told(archive) == [("desk-code-made", MAIL), ("desk-code-made", PHONE)]
    enrol(archive, archive.patient_accounts.beginnings.redeem(code, BORN, HERE))
    assert told(archive) == [("sign-in-changed", MAIL), ("sign-in-changed", PHONE)]


@pytest.mark.parametrize("is_new", [False, True])
def test_a_code_a_desk_was_talked_into_opens_a_day_later_and_can_be_stopped(
    archive: Archive, jane: Visitor, is_new: bool
) -> None:
    """Whoever calls and knows two facts gets a code, but no account before its owner knows."""
    study = UID(str(next(iter(jane.principal.scope.studies))))
    accounts = archive.patient_accounts
    (mine,) = accounts.holder(archive.who, study).bindings

    def issued(*more: str) -> Issued:
        number = None if is_new else mine.binding_id
        return accounts.issue(archive.who, study, compared=(*TWO, *more), binding_id=number)

    first = issued()
    assert told(archive) == [("desk-code-made", MAIL), ("desk-code-made", PHONE)]
    assert first.opens_at is not None
    assert first.opens_at == accounts.own.held_code(jane.account_id)
    with pytest.raises(NotAuthenticated, match="not right"):  # as if there were no such code
        accounts.beginnings.redeem(first.code, BORN, HERE)
    accounts.own.stop_code(jane.principal, jane.account_id)
    with pytest.raises(NotFound):
        accounts.own.stop_code(jane.principal, jane.account_id)
    assert accounts.own.held_code(jane.account_id) is None

    by_phone = issued()
    waits = [
        one.binding_id
        for one in accounts.holder(archive.who, study).bindings
        if one.login == by_phone.login
    ]
    accounts.keep_ways(archive.who, study, waits[0])
    late = issued()
    with archive.database.transaction() as tx:
        tx.execute("UPDATE desk_code SET opens_at = opens_at - interval '1 day'")
    for stopped in (first, by_phone):
        with pytest.raises(NotAuthenticated):
            accounts.beginnings.redeem(stopped.code, BORN, HERE)
    assert accounts.beginnings.redeem(late.code, BORN, HERE)
    shown = issued("papers")
    assert shown.opens_at is None
    assert accounts.beginnings.redeem(shown.code, BORN, HERE)


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
    by_mail = desk.offer(by=OTHER, proof=frozenset({Protection.EMAIL}))
    same = channel("email", "Kim+x@example.org")
    with pytest.raises(InvalidRequest, match="same mailbox"):  # as the link itself
        desk.engine.renew(CLERK, by_mail.grant_id, by=same, compared=COMPARED)
