"""Patients' accounts: by a desk's code or by a link, never on a name alone, and ended at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.archive import Archive, open_archive
from tests.operate.test_identities import one, take
from tests.together import together
from vna.access import labels as access_labels
from vna.access.principal import Action, Kind, Label, Principal, Scope
from vna.access.sessions import Browser, Level, Visitor
from vna.db.pool import Database
from vna.dicom.refs import UID, StudyRef
from vna.errors import (
    Conflict,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    NotProven,
    TooMany,
)
from vna.operate.account_beginnings import read_day
from vna.sharing.offers import Offers, Prepared
from vna.sharing.rooms import Rooms
from vna.sharing.values import (
    Confirmed,
    Offer,
    Person,
    Protection,
    Purpose,
    Reason,
    Recipient,
    Refused,
    ShareState,
    channel,
)

BORN, TWO = "1970-01-01", ("name", "birth-date")
HERE = Browser(address="10.0.0.9", agent="a telephone")
PASSPHRASE = "seven green bicycles"


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        yield archive


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed by this test is seen by its next line."""
    monkeypatch.setattr(access_labels, "LOOK_S", -1.0)


def code_for(archive: Archive, study: str, binding_id: int | None = None) -> str:
    issued = archive.patient_accounts.issue(
        archive.who, UID(study), compared=(*TWO, "papers"), binding_id=binding_id
    )
    return issued.code


def enrol(archive: Archive, cookie: str) -> str:
    """Choose how to sign in; return the cookie of who is signed in."""
    people = archive.people
    visitor = people.sessions.visitor(cookie, HERE.address)
    assert visitor is not None
    people.signing.choose_passphrase(visitor, PASSPHRASE)
    app = pyotp.TOTP(people.signing.offer_app(visitor).secret)
    people.signing.confirm_app(visitor, app.now())
    return people.signing.finish(visitor, HERE)[0]


def patient(archive: Archive, study: str) -> str:
    return enrol(
        archive, archive.patient_accounts.beginnings.redeem(code_for(archive, study), BORN, HERE)
    )


def seen(archive: Archive, cookie: str) -> frozenset[str]:
    return frozenset(visitor(archive, cookie).principal.scope.studies)


def visitor(archive: Archive, cookie: str) -> Visitor:
    found = archive.people.sessions.visitor(cookie, HERE.address)
    assert found is not None
    return found


def audited(archive: Archive) -> list[tuple[str, str, str]]:
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT kind, outcome, detail::text FROM audit WHERE kind LIKE 'account.%' ORDER BY id"
        ).fetchall()
    return [tuple(row) for row in rows]


def test_a_code_of_the_desk_opens_what_is_about_its_person_and_nothing_else(
    archive: Archive,
) -> None:
    first, second = take(archive, "P-1"), take(archive, "P-1")
    take(archive, "P-2")  # the same name, birth date and sex: another identity, linked by nobody
    cookie = patient(archive, first)
    assert seen(archive, cookie) == {first, second}
    who = visitor(archive, cookie)
    assert (who.is_patient, who.level) == (True, Level.SIGNED_IN)
    assert who.principal.actions == {Action.QUERY, Action.RETRIEVE, Action.SHARE_OWN}
    later = take(archive, "P-1")
    assert seen(archive, cookie) == {first, second, later}
    own = archive.patient_accounts.own.of(who.account_id)
    assert own is not None
    assert (own.name, own.birth_date, own.is_open) == ("Doe^Jane", dt.date(1970, 1, 1), True)
    assert "Doe" not in repr(own)


def test_what_is_linked_comes_and_what_is_parted_goes_at_once(archive: Archive) -> None:
    mine, other = take(archive, "P-1"), take(archive, "P-2")
    cookie = patient(archive, mine)
    pair = one(archive, "P-1").id, one(archive, "P-2").id
    archive.join(*pair)
    assert seen(archive, cookie) == {mine, other}
    archive.identities.part(archive.who, *pair, reason="It was her sister")
    assert seen(archive, cookie) == {mine}


def test_what_is_labelled_in_doubt_or_changed_is_not_seen(archive: Archive) -> None:
    study, sensitive = take(archive, "P-1"), take(archive, "P-1")
    cookie = patient(archive, study)
    for label in Label:
        until = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
        ends = until if label is Label.EMBARGOED else None
        archive.labels.put(archive.who, UID(sensitive), label, reason="why", until=ends)
        assert visitor(archive, cookie).principal.scope.withheld == {sensitive}
        archive.labels.take(archive.who, UID(sensitive), label)
    shadow = take(archive, "P-1", "Smith^Anna", "19800101")  # quarantined: the same id
    assert shadow not in seen(archive, cookie)
    with archive.database.transaction() as tx:  # what is said of its patient has just changed
        tx.execute("INSERT INTO identity_due VALUES (%s)", (study,))
    assert seen(archive, cookie) == {sensitive}
    archive.identities.keep_up()
    assert seen(archive, cookie) == {study, sensitive}


def test_a_code_is_good_once_with_the_birth_date_and_locks_after_five(archive: Archive) -> None:
    study = take(archive, "P-1")
    code = code_for(archive, study)
    accounts = archive.patient_accounts
    for typed, born in ((code, "1970-01-02"), ("ABCD-EFGH-JKMN", BORN), (code, ""), ("", "")):
        with pytest.raises(NotAuthenticated, match="not right"):
            accounts.beginnings.redeem(typed, born, HERE)
    cookie = accounts.beginnings.redeem(code.lower().replace("-", " "), "1.1.1970", HERE)
    assert visitor(archive, cookie).level is Level.ENROLLING
    again = accounts.beginnings.redeem(code, BORN, HERE)  # begun anew: whoever was in before is out
    assert archive.people.sessions.visitor(cookie, None) is None
    enrol(archive, again)
    with pytest.raises(NotAuthenticated):
        accounts.beginnings.redeem(code, BORN, HERE)

    locked = code_for(archive, study)
    for _ in range(5):
        with pytest.raises(NotAuthenticated):
            accounts.beginnings.redeem(locked, "1.2.1970", Browser(address="10.0.0.10"))
    with pytest.raises(NotAuthenticated):
        accounts.beginnings.redeem(locked, BORN, HERE)
    holder = accounts.holder(archive.who, UID(study))
    assert [code.is_locked for code in holder.codes.values()] == [True]
    told = audited(archive)
    assert [(kind, outcome) for kind, outcome, _ in told].count(("account.code", "refused")) >= 6
    assert not any(locked in detail or "Doe" in detail or "1970" in detail for *_, detail in told)


def test_a_code_opens_with_the_birth_date_of_its_own_patient_alone(archive: Archive) -> None:
    """Who finds a letter knows somebody's birth date, if only their own."""
    days = {"P-1": "19700101", "P-2": "19800202", "P-3": "19900303"}
    codes = {
        who: code_for(archive, take(archive, who, f"{who}^X", day)) for who, day in days.items()
    }
    redeem = archive.patient_accounts.beginnings.redeem
    for who, code in reversed(codes.items()):  # the first is not the one that is found first
        for other, day in days.items():
            if other != who:
                with pytest.raises(NotAuthenticated):
                    redeem(code, f"{day[:4]}-{day[4:6]}-{day[6:]}", HERE)
    for who, code in codes.items():
        day = days[who]
        enrol(archive, redeem(code, f"{day[:4]}-{day[4:6]}-{day[6:]}", HERE))


def test_an_address_that_keeps_guessing_is_slowed_down(archive: Archive) -> None:
    for _ in range(20):
        with pytest.raises(NotAuthenticated):
            archive.patient_accounts.beginnings.redeem("ABCD-EFGH-JKMN", BORN, HERE)
    with pytest.raises(TooMany):
        archive.patient_accounts.beginnings.redeem("ABCD-EFGH-JKMN", BORN, HERE)


def test_an_address_begins_so_many_accounts_by_links(archive: Archive) -> None:
    def begin(browser: Browser) -> None:
        archive.patient_accounts.beginnings.keep(archive.who, 1, ["1.2.3"], browser)

    for _ in range(20):
        with pytest.raises(Conflict):
            begin(HERE)
    with pytest.raises(TooMany):
        begin(HERE)
    with pytest.raises(Conflict):
        begin(Browser(address="10.0.0.77"))


def test_a_code_ends_with_its_time_and_is_kept_by_nobody(archive: Archive) -> None:
    code = code_for(archive, take(archive, "P-1"))
    with archive.database.transaction() as tx:
        row = tx.execute("SELECT code_hash, ends_at - issued_at FROM desk_code").fetchone()
        assert row is not None
        assert row[1] == dt.timedelta(days=14)
        assert code.encode() not in bytes(row[0])
        tx.execute(
            "UPDATE desk_code SET issued_at = issued_at - interval '15 days', ends_at = now()"
        )
    with pytest.raises(NotAuthenticated):
        archive.patient_accounts.beginnings.redeem(code, BORN, HERE)


def test_a_new_code_makes_the_old_ways_of_signing_in_void(archive: Archive) -> None:
    study = take(archive, "P-1")
    cookie = patient(archive, study)
    (binding,) = archive.patient_accounts.holder(archive.who, UID(study)).bindings
    code = code_for(archive, study, binding.binding_id)
    assert seen(archive, cookie) == {study}  # until it is used
    again = enrol(archive, archive.patient_accounts.beginnings.redeem(code, BORN, HERE))
    assert archive.people.sessions.visitor(cookie, None) is None
    assert seen(archive, again) == {study}
    assert len(archive.patient_accounts.holder(archive.who, UID(study)).bindings) == 1


def test_an_account_made_by_a_link_shows_nothing_before_a_desk_has_compared(
    archive: Archive,
) -> None:
    study = take(archive, "P-1")
    accounts = archive.patient_accounts
    guest = Principal(kind=Kind.SHARE, name="share/AAAA-BBBB/7", actions=frozenset(), scope=Scope())
    with pytest.raises(Conflict):
        accounts.beginnings.keep(guest, 7, [study, "9.9.9"], HERE)
    cookie = enrol(archive, accounts.beginnings.keep(guest, 7, [study], HERE))
    assert seen(archive, cookie) == frozenset()
    own = accounts.own.of(visitor(archive, cookie).account_id)
    assert own is not None
    assert (own.is_open, own.name) == (False, "")
    with pytest.raises(Conflict, match="before"):
        accounts.beginnings.keep(guest, 7, [study], HERE)
    (waits,) = accounts.waiting(archive.who)
    assert (waits.study, waits.identity.patient_id) == (study, "P-1")
    number = waits.binding.binding_id
    with pytest.raises(InvalidRequest, match="two"):
        accounts.confirm(archive.who, UID(study), number, compared=["name"])
    with pytest.raises(NotFound):  # of another person
        accounts.confirm(archive.who, UID(take(archive, "P-2")), number, compared=TWO)
    with pytest.raises(Conflict):
        code_for(archive, study, number)
    accounts.confirm(archive.who, UID(study), number, compared=TWO)
    assert seen(archive, cookie) == {study}
    assert accounts.waiting(archive.who) == []
    with pytest.raises(Conflict):
        accounts.confirm(archive.who, UID(study), number, compared=TWO)


def test_an_account_waits_before_whoever_sees_any_study_of_its_person(archive: Archive) -> None:
    """What a label withholds is named to nobody, and keeps no other study from being named."""
    guest = Principal(kind=Kind.SHARE, name="share/AAAA-BBBB/7", actions=frozenset(), scope=Scope())
    first, second = sorted((take(archive, "P-1"), take(archive, "P-1")))
    enrol(archive, archive.patient_accounts.beginnings.keep(guest, 7, [first], HERE))

    def named(*withheld: str) -> list[str]:
        scope = replace(archive.who.scope, withheld=frozenset(map(UID, withheld)))
        clerk = replace(archive.who, scope=scope)
        return [str(waits.study) for waits in archive.patient_accounts.waiting(clerk)]

    assert (named(), named(second), named(first, second)) == ([first], [first], [])
    assert named(first) == [second]


def test_an_account_that_is_ended_lets_nobody_in(archive: Archive) -> None:
    study = take(archive, "P-1")
    cookie = patient(archive, study)
    code = code_for(archive, study, None)
    accounts = archive.patient_accounts
    begun, used = accounts.holder(archive.who, UID(study)).bindings
    assert (begun.state, used.state) == ("begun", "open")
    with pytest.raises(InvalidRequest):
        accounts.end(archive.who, UID(study), used.binding_id, reason=" ")
    for binding in (begun, used):
        accounts.end(archive.who, UID(study), binding.binding_id, reason="Somebody else's papers")
    assert archive.people.sessions.visitor(cookie, None) is None
    with pytest.raises(NotAuthenticated):
        accounts.beginnings.redeem(code, BORN, HERE)
    with pytest.raises(NotAuthenticated):
        archive.people.signing.passphrase(used.login, PASSPHRASE, HERE)
    with pytest.raises(NotFound):
        accounts.end(archive.who, UID(study), used.binding_id, reason="Again")
    assert [kind for kind, *_ in audited(archive)].count("account.unbound") == 2


def test_what_an_account_shared_is_out_when_it_is_ended_until_somebody_has_looked(
    archive: Archive,
) -> None:
    study = take(archive, "P-1")
    who = visitor(archive, patient(archive, study)).principal
    offer = offer_of(study)
    sharing, accounts = archive.sharing, archive.patient_accounts
    theirs = sharing.own.offer(who, offer).share_id
    of_staff = replace(
        offer,
        legal_basis="patient-request",
        person=Person(name="Doe, Jane", confirmed=frozenset(Confirmed) - {Confirmed.ACCOUNT}),
    )
    other = sharing.offer(archive.who, of_staff).share_id
    secret = next(m for m in archive.posted.messages if "link" in m.values).values["link"]
    (binding,) = accounts.holder(archive.who, UID(study)).bindings
    accounts.end(archive.who, UID(study), binding.binding_id, reason="Somebody else was in it")
    states = {one: sharing.detail(archive.who, one).summary.state for one in (theirs, other)}
    assert states == {theirs: ShareState.SUSPENDED, other: ShareState.SENT}
    found = sharing.open(secret.partition("#")[2], HERE)
    assert isinstance(found, Refused)
    assert found.reason is Reason.SUSPENDED
    sharing.reinstate(archive.who, theirs)
    with pytest.raises(NotFound):  # and it stays so
        accounts.end(archive.who, UID(study), binding.binding_id, reason="Again")
    assert sharing.detail(archive.who, theirs).summary.state is ShareState.SENT
    with pytest.raises(NotPermitted):
        sharing.own.suspend_all(who, who.name)


@pytest.mark.parametrize("begun", ["before", "while"])
def test_what_an_account_shares_while_it_is_ended_is_not_shared(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    """Whoever is in with a stolen telephone was let begin; the desk ends the account meanwhile."""
    study = take(archive, "P-1")
    who = visitor(archive, patient(archive, study)).principal
    sharing, accounts = archive.sharing, archive.patient_accounts
    (binding,) = accounts.holder(archive.who, UID(study)).bindings

    def end() -> None:
        accounts.end(archive.who, UID(study), binding.binding_id, reason="Somebody was in it")

    if begun == "before":  # drawn, wrapped and hashed, but nothing of it is written down yet
        usual = Offers.prepare

        def prepare(offers: Offers, *given: Any) -> Prepared:
            found = usual(offers, *given)
            end()
            return found

        monkeypatch.setattr(Offers, "prepare", prepare)
        with pytest.raises(NotPermitted):
            sharing.own.offer(who, offer_of(study))
    else:
        with together(archive.database, monkeypatch) as meanwhile:
            ended = meanwhile(Rooms, "tell", end)
            sharing.own.offer(who, offer_of(study))
            ended.result()
    states = [one.state for one in sharing.shares(archive.who)]
    assert states == ([] if begun == "before" else [ShareState.SUSPENDED])


def offer_of(study: str) -> Offer:
    """What a patient types into the four steps."""
    return Offer(
        studies=frozenset({StudyRef(UID(study))}),
        person=Person(name="Doe, Jane"),
        recipient=Recipient(name="Dr Kim"),
        purpose=Purpose.PATIENT_REQUEST,
        to=channel("email", "kim@example.org"),
        by=channel("sms", "+44 20 7946 0018"),
        proof=frozenset({Protection.SMS}),
        until=dt.datetime.now(dt.UTC) + dt.timedelta(days=9),
    )


def test_only_who_corrects_gives_accounts_and_never_where_there_is_doubt(archive: Archive) -> None:
    study = take(archive, "P-1")
    nobody = Principal(kind=Kind.PERSON, name="x", actions=frozenset({Action.QUERY}))
    some = Principal(
        kind=Kind.PERSON, name="x", actions=frozenset({Action.CORRECT}),
        scope=Scope(studies=frozenset({UID(study)})),
    )  # fmt: skip
    for who, error in ((nobody, NotPermitted), (some, NotFound)):
        with pytest.raises(error):
            archive.patient_accounts.issue(who, UID(study), compared=TWO, binding_id=None)
    with pytest.raises(NotPermitted):
        archive.patient_accounts.waiting(nobody)
    with pytest.raises(NotFound):
        archive.patient_accounts.holder(archive.who, UID("9.9.9"))
    with pytest.raises(Conflict, match="birth date"):
        code_for(archive, take(archive, "P-3", born=None))
    take(archive, "P-1", "Smith^Anna", "19800101")
    with pytest.raises(Conflict, match="doubt"):
        code_for(archive, study)


def test_a_patient_s_account_is_nobody_else_s(archive: Archive) -> None:
    study = take(archive, "P-1")
    who = visitor(archive, patient(archive, study))
    people = archive.people
    with pytest.raises(Conflict):
        people.accounts.give_roles(archive.who, who.login, ["radiologist"])
    people.accounts.add(archive.who, "ada", ["radiologist"])
    with pytest.raises(Conflict):
        people.accounts.give_roles(archive.who, "ada", ["patient"])
    with pytest.raises(InvalidRequest):
        people.accounts.add(archive.who, "eve", ["patient", "radiologist"])
    with archive.database.transaction() as tx:
        tx.execute("UPDATE session SET proven_at = now() - interval '6 minutes'")
    with pytest.raises(NotProven):
        people.signing.renew_recovery_codes(visitor(archive, _cookie(archive, who)))


def _cookie(archive: Archive, who: Visitor) -> str:
    """Sign somebody in again whose passphrase is known."""
    from vna.crypto.credentials import digest, new_secret

    secret = new_secret()
    with archive.database.transaction() as tx:
        tx.execute(
            "UPDATE session SET secret_hash = %s WHERE session_id = %s",
            (digest(secret), who.session_id),
        )
    return secret


def test_a_reindex_leaves_an_account_its_person(archive: Archive) -> None:
    first, second = take(archive, "P-1", born=None), take(archive, "P-1")
    cookie = patient(archive, second)
    assert seen(archive, cookie) == {first, second}
    archive.recovery.reindex()
    archive.identities.keep_up()
    assert seen(archive, cookie) == {first, second}
    identity = one(archive, "P-1")
    history = archive.identities.views.person(archive.who, identity.id).history
    assert [decision.op for decision in history] == ["identity-bound"]


def test_an_identity_an_account_is_bound_to_stays_when_its_studies_go_elsewhere(
    archive: Archive,
) -> None:
    study = take(archive, "P-1")
    cookie = patient(archive, study)
    archive.lifecycle.delete(archive.who, StudyRef(UID(study)))
    archive.identities.keep_up()
    assert seen(archive, cookie) == frozenset()
    assert one(archive, "P-1").said.name == "Doe^Jane"


@pytest.mark.parametrize(
    ("typed", "day"),
    [
        ("1970-01-02", dt.date(1970, 1, 2)),
        (" 2.1.1970 ", dt.date(1970, 1, 2)),
        ("2. 1. 1970", dt.date(1970, 1, 2)),
        ("02-01-1970", dt.date(1970, 1, 2)),
        ("\u0662/\u0661/\u0661\u0669\u0667\u0660", dt.date(1970, 1, 2)),
        ("\uff11\uff19\uff17\uff10-1-2", dt.date(1970, 1, 2)),
        ("02/01/1970", dt.date(1970, 1, 2)),
        ("31.2.1970", None),
        ("1970-13-01", None),
        ("yesterday", None),
        ("", None),
        ("1" * 500, None),
    ],
)
def test_a_birth_date_is_read_as_people_type_it(typed: str, day: dt.date | None) -> None:
    assert read_day(typed) == day


def test_what_is_not_released_is_counted_and_what_is_opened_is_not_new(archive: Archive) -> None:
    study, held = take(archive, "P-1"), take(archive, "P-1")
    who = visitor(archive, patient(archive, study))
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    archive.labels.put(archive.who, UID(held), Label.EMBARGOED, reason="reading", until=until)
    accounts = archive.patient_accounts
    own = accounts.own.of(who.account_id)
    assert own is not None
    assert (own.not_released, own.released_by) == (1, until)
    assert accounts.own.seen(who.account_id, [study, held]) == set()
    accounts.own.mark_seen(who.principal, who.account_id, UID(study))
    accounts.own.mark_seen(who.principal, who.account_id, UID(study))
    assert accounts.own.seen(who.account_id, [study, held]) == {study}
    with pytest.raises(NotFound):
        accounts.own.mark_seen(who.principal, who.account_id, UID("9.9.9"))
    accounts.own.choose_language(who.account_id, "de")
    assert accounts.own.language(who.account_id) == "de"
    accounts.own.choose_language(who.account_id, None)
    assert accounts.own.language(who.account_id) is None
