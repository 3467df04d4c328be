"""Carers: who acts for whom, by whose word, how far, until when; and nothing after that."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.archive import Archive, open_archive
from tests.conftest import SCHEMA, TestPostgres
from tests.operate.test_identities import one, take
from tests.operate.test_patient_accounts import BORN, HERE, code_for, enrol, patient, seen, visitor
from tests.sharing.conftest import MAIL, PHONE, in_days
from tests.sharing.own import PERSON
from tests.together import together
from vna.access import labels as access_labels
from vna.access.principal import Action, Kind, Label, Principal, Scope
from vna.access.trail import Trail, Wanted
from vna.db.pool import Database
from vna.dicom.refs import UID, StudyRef
from vna.errors import (
    ConfigError,
    Conflict,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotPermitted,
)
from vna.operate.carer_book import CarerBook
from vna.operate.carers import CarerEngine, Given, Relation
from vna.operate.patient_accounts import Issued
from vna.sharing import wishes
from vna.sharing.rooms import Rooms
from vna.sharing.values import Offer, Person, Protection, Purpose, Recipient
from vna.sharing.wishes import Wish

TODAY = dt.datetime.now(dt.UTC).date()
CHILD = f"{TODAY.year - 9}0615"


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        yield archive


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed by this test is seen by its next line."""
    monkeypatch.setattr(access_labels, "LOOK_S", -1.0)


def given(**changed: Any) -> Given:
    said = {"called": "Ann", "may_view": True, "may_share": True, "until": in_days(30).date()}
    return Given(**{**said, **changed})


def added(
    archive: Archive, study: str, relation: Relation, *, login: str = "", **changed: Any
) -> Issued | None:
    evidence = ["identity", "birth-certificate"]
    return archive.carers.desk.add(
        archive.who, UID(study), given(**changed), relation=relation, evidence=evidence, login=login
    )


def number(archive: Archive, study: str) -> int:
    return archive.carers.desk.at(archive.who, UID(study)).carers[0].carer.carer_id


def parent(archive: Archive, study: str, born: str) -> tuple[str, int]:
    """A parent without images of their own, signed in and acting; the cookie and the number."""
    issued = added(archive, study, Relation.PARENT, until=None)
    assert issued is not None
    cookie = enrol(archive, archive.patient_accounts.beginnings.redeem(issued.code, born, HERE))
    carer_id = number(archive, study)
    return archive.carers.switch(visitor(archive, cookie), carer_id), carer_id


def trusted(archive: Archive, cookie: str, **changed: Any) -> tuple[str, int]:
    """A patient who trusts another patient: the other's cookie while acting, and the number."""
    friend = patient(archive, take(archive, "P-7", "Roe^Ann"))
    archive.carers.give(visitor(archive, cookie), visitor(archive, friend).login, given(**changed))
    (ward,) = archive.carers.wards(visitor(archive, friend).account_id)
    acting = archive.carers.switch(visitor(archive, friend), ward.carer.carer_id)
    return acting, ward.carer.carer_id


def kinds(archive: Archive) -> list[tuple[str, str]]:
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT kind, principal FROM audit WHERE kind LIKE 'carer.%' ORDER BY id"
        ).fetchall()
    return [tuple(row) for row in rows]


def test_a_parent_acts_for_a_child_and_sees_what_the_child_would(archive: Archive) -> None:
    study, other = take(archive, "P-1", born=CHILD), take(archive, "P-2")
    issued = added(archive, other, Relation.TRUSTED)
    assert issued is not None
    with pytest.raises(NotAuthenticated):  # the birth date is that of whom they act for
        archive.patient_accounts.beginnings.redeem(issued.code, "1.2.1970", HERE)
    cookie, carer_id = parent(archive, study, f"{CHILD[:4]}-06-15")
    who = visitor(archive, cookie)
    assert who.acting is not None
    assert (who.acting.carer_id, who.acting.holds) == (carer_id, True)
    assert who.principal.name == f"{who.login}#for-{carer_id}"
    assert who.principal.actions == {Action.QUERY, Action.RETRIEVE, Action.SHARE_OWN}
    assert seen(archive, cookie) == {study}
    later = take(archive, "P-1", born=CHILD)
    assert seen(archive, cookie) == {study, later}
    own = archive.carers.own(who.acting)
    assert own is not None
    assert (own.name, own.is_open) == ("Doe^Jane", True)
    back = archive.carers.switch(who, None)
    assert archive.people.sessions.visitor(cookie, None) is None  # another cookie, other forms
    assert seen(archive, back) == frozenset()  # nothing is about the parent here
    assert visitor(archive, back).acting is None
    assert [kind for kind, _ in kinds(archive)][-2:] == ["carer.acting", "carer.left"]


@pytest.mark.parametrize(
    ("born", "until"),
    [
        (dt.date(2008, 3, 1), "2026-03-01"),
        (dt.date(2008, 2, 29), "2026-03-01"),  # no such day that year
        (dt.date(2007, 3, 1), "2025-03-01"),
        (dt.date(2006, 12, 31), "2024-12-31"),
    ],
)
def test_somebody_is_of_age_at_midnight_of_the_birthday(
    archive: Archive, born: dt.date, until: str
) -> None:
    with archive.database.reading() as conn:
        row = conn.execute(
            "SELECT comes_of_age(%s, 18, 'Europe/Berlin') AT TIME ZONE 'Europe/Berlin'", (born,)
        ).fetchone()
    assert row == (dt.datetime.fromisoformat(until),)


def test_a_parent_acts_no_more_once_the_child_is_of_age(archive: Archive) -> None:
    grown = f"{TODAY.year - 18}{TODAY:%m%d}" if (TODAY.month, TODAY.day) != (2, 29) else CHILD
    with pytest.raises(Conflict, match="of age"):
        added(archive, take(archive, "P-3", "Roe^Grown", grown), Relation.PARENT, until=None)
    study = take(archive, "P-1", born=CHILD)
    cookie, carer_id = parent(archive, study, f"{CHILD[:4]}-06-15")
    share = shared(archive, visitor(archive, cookie).principal, study)
    assert archive.carers.lapse() == 0
    assert standing(archive, share) != "revoked"
    with archive.database.transaction() as tx:  # the years go by
        tx.execute(
            "UPDATE identity SET birth_date = birth_date - interval '9 years' "
            "WHERE patient_id = 'P-1'"
        )
    who = visitor(archive, cookie)
    assert who.acting is not None
    assert not who.acting.holds
    assert (who.principal.actions, who.principal.scope.studies) == ({Action.QUERY}, frozenset())
    assert archive.carers.own(who.acting) is None
    assert archive.carers.wards(who.account_id) == []
    with pytest.raises(NotFound):
        archive.carers.switch(who, carer_id)
    assert archive.carers.lapse() == 1
    assert archive.carers.lapse() == 0
    assert standing(archive, share) == "revoked"


def test_a_patient_trusts_somebody_and_takes_it_back_at_once(archive: Archive) -> None:
    study = take(archive, "P-1")
    jane = patient(archive, study)
    acting, carer_id = trusted(archive, jane)
    assert seen(archive, acting) == {study}
    (named,) = archive.carers.mine(visitor(archive, jane))
    assert (named.called, named.carer.holds, named.carer.evidence) == ("Ann", True, ())
    assert "Ann" not in repr(named)
    with pytest.raises(NotFound):
        archive.carers.take_back(visitor(archive, jane), carer_id + 1)
    share = shared(archive, visitor(archive, acting).principal, study)
    archive.carers.take_back(visitor(archive, jane), carer_id)
    assert seen(archive, acting) == frozenset()
    assert Action.RETRIEVE not in visitor(archive, acting).principal.actions
    assert standing(archive, share) == "revoked"
    with pytest.raises(NotFound):
        archive.carers.take_back(visitor(archive, jane), carer_id)
    told = kinds(archive)
    assert [kind for kind, _ in told] == ["carer.given", "carer.acting", "carer.ended"]
    assert len({name for _, name in told}) == 2
    login = visitor(archive, acting).login  # whatever they did, also for others, by one name
    rows = Trail(archive.database, archive.audit).search(
        archive.who, Wanted(principal=login, kinds=["share"]), act="search"
    )
    assert [row.principal for row in rows] == [f"{login}#for-{carer_id}"]


def test_trust_that_is_given_twice_at_once_is_given_once(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes it back takes one of the two back; the other one goes on."""
    jane = patient(archive, take(archive, "P-1"))
    friend = visitor(archive, patient(archive, take(archive, "P-7", "Roe^Ann"))).login
    me = visitor(archive, jane)
    with together(archive.database, monkeypatch) as meanwhile:
        again = meanwhile(CarerBook, "tell", lambda: archive.carers.give(me, friend, given()))
        archive.carers.give(me, friend, given())
        with pytest.raises(Conflict, match="already"):
            again.result()
    assert len(archive.carers.mine(me)) == 1


def test_what_a_carer_shares_while_their_right_is_taken_back_ends_with_it(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = take(archive, "P-1")
    jane = patient(archive, study)
    acting, carer_id = trusted(archive, jane)
    me, they = visitor(archive, jane), visitor(archive, acting).principal
    with together(archive.database, monkeypatch) as meanwhile:
        taken = meanwhile(Rooms, "tell", lambda: archive.carers.take_back(me, carer_id))
        share = shared(archive, they, study)
        taken.result()
    assert standing(archive, share) == "revoked"
    with pytest.raises(NotPermitted):
        shared(archive, they, study)  # as somebody who was let begin before


def test_trust_given_by_an_account_that_was_ended_is_worth_nothing(archive: Archive) -> None:
    study = take(archive, "P-1")
    jane = patient(archive, study)
    acting, _ = trusted(archive, jane)
    (binding,) = archive.patient_accounts.holder(archive.who, UID(study)).bindings
    archive.patient_accounts.end(
        archive.who, UID(study), binding.binding_id, reason="Somebody else's papers"
    )
    assert seen(archive, acting) == frozenset()
    assert archive.carers.wards(visitor(archive, acting).account_id) == []


def test_limits_hold_looking_sharing_or_both(archive: Archive) -> None:
    study = take(archive, "P-1")
    jane = patient(archive, study)
    acting, carer_id = trusted(archive, jane, may_share=False)
    assert visitor(archive, acting).principal.actions == {Action.QUERY, Action.RETRIEVE}
    with pytest.raises(NotPermitted):
        shared(archive, visitor(archive, acting).principal, study)
    archive.carers.take_back(visitor(archive, jane), carer_id)
    login = visitor(archive, acting).login
    archive.carers.give(visitor(archive, jane), login, given(may_view=False))
    again = archive.carers.switch(
        visitor(archive, acting), archive.carers.mine(visitor(archive, jane))[0].carer.carer_id
    )
    assert visitor(archive, again).principal.actions == {Action.QUERY, Action.SHARE_OWN}
    for bad in (given(may_view=False, may_share=False), given(called=" "), given(until=None)):
        with pytest.raises(InvalidRequest):
            archive.carers.give(visitor(archive, jane), login, bad)
    for day in (TODAY - dt.timedelta(days=1), TODAY + dt.timedelta(days=400), dt.date.max):
        with pytest.raises(InvalidRequest, match="ahead"):
            archive.carers.give(visitor(archive, jane), login, given(until=day))
    with pytest.raises(Conflict, match="already"):
        archive.carers.give(visitor(archive, jane), login, given())


def test_who_acts_decides_nothing_about_who_acts(archive: Archive) -> None:
    study = take(archive, "P-1")
    jane = patient(archive, study)
    acting, carer_id = trusted(archive, jane)
    who, engine = visitor(archive, acting), archive.carers
    for act in (
        lambda: engine.mine(who),
        lambda: engine.give(who, "p-none-none", given()),
        lambda: engine.take_back(who, carer_id),
        lambda: engine.keep_from_carers(who, UID(study), is_kept=True),
    ):
        with pytest.raises(NotPermitted):
            act()
    for login in ("p-none-none", "ann", visitor(archive, jane).login):
        with pytest.raises(InvalidRequest):
            engine.give(visitor(archive, jane), login, given())
    stranger = visitor(archive, patient(archive, take(archive, "P-8", "Poe^Eve")))
    with pytest.raises(NotFound):
        engine.switch(stranger, carer_id)
    with pytest.raises(NotFound):
        engine.take_back(stranger, carer_id)


def test_what_a_person_keeps_from_carers_and_what_is_labelled_nobody_acts_on(
    archive: Archive,
) -> None:
    study, kept = take(archive, "P-1"), take(archive, "P-1")
    jane = patient(archive, study)
    acting, _ = trusted(archive, jane)
    assert seen(archive, acting) == {study, kept}
    me = visitor(archive, jane)
    archive.carers.keep_from_carers(me, UID(kept), is_kept=True)
    archive.carers.keep_from_carers(me, UID(kept), is_kept=True)
    assert seen(archive, acting) == {study}
    assert seen(archive, jane) == {study, kept}
    assert archive.carers.is_kept(UID(kept))
    with pytest.raises(NotFound):
        archive.carers.keep_from_carers(me, UID("9.9.9"), is_kept=True)
    archive.carers.keep_from_carers(me, UID(study), is_kept=True)
    archive.carers.keep_from_carers(me, UID(kept), is_kept=False)
    assert seen(archive, acting) == {kept}  # the other stays as it was
    archive.carers.keep_from_carers(me, UID(study), is_kept=False)
    assert seen(archive, acting) == {study, kept}
    archive.labels.put(archive.who, UID(study), Label.SENSITIVE, reason="why", until=None)
    assert visitor(archive, acting).principal.scope.withheld == {study}


def test_the_person_looks_after_what_was_shared_for_them(archive: Archive) -> None:
    study = take(archive, "P-1")
    jane = patient(archive, study)
    acting, _ = trusted(archive, jane)
    share = shared(archive, visitor(archive, acting).principal, study)
    own, friend = archive.sharing.own, visitor(archive, acting)
    (found,) = own.shares(visitor(archive, jane).principal)
    assert (found.summary.share_id, found.is_own) == (share, True)
    assert [one.summary.share_id for one in own.shares(friend.principal)] == [share]
    for_self = archive.carers.switch(friend, None)
    assert own.shares(visitor(archive, for_self).principal) == []
    with pytest.raises(NotFound):
        own.stop(visitor(archive, for_self).principal, share)
    happened = own.detail(visitor(archive, jane).principal, share).happened
    assert [one.who for one in happened] == [friend.principal.name]
    assert archive.carers.called(visitor(archive, jane)) == {friend.principal.name: "Ann"}
    own.stop(visitor(archive, jane).principal, share)
    assert standing(archive, share) == "revoked"
    happened = own.detail(friend.principal, share).happened
    assert [one.who for one in happened] == ["other", "you"]
    requests = archive.sharing.requests
    wish = Wish(kind=wishes.Kind.CORRECT, person=PERSON, words="It was the LEFT knee.")
    requests.ask(friend.principal, wish)
    (asked,) = requests.own(visitor(archive, jane).principal)
    assert requests.own(visitor(archive, for_self).principal) == []
    requests.withdraw(visitor(archive, jane).principal, asked.request_id)


def test_only_a_desk_that_was_shown_something_lets_somebody_act(archive: Archive) -> None:
    study = take(archive, "P-1", born=CHILD)
    nobody = Principal(kind=Kind.PERSON, name="x", actions=frozenset({Action.QUERY}))
    some = replace(
        nobody,
        actions=frozenset({Action.CORRECT}),
        scope=Scope(studies=frozenset({UID(study)})),
    )
    engine = archive.carers
    for who, error in ((nobody, NotPermitted), (some, NotFound)):
        with pytest.raises(error):
            engine.desk.at(who, UID(study))
        with pytest.raises(error):
            engine.desk.end(who, UID(study), 1, reason="why")
    for evidence in ([], ["identity"], ["a letter"]):
        with pytest.raises(InvalidRequest, match="shown"):
            engine.desk.add(
                archive.who, UID(study), given(until=None), relation=Relation.PARENT,
                evidence=evidence, login="",
            )  # fmt: skip
    cookie, carer_id = parent(archive, study, f"{CHILD[:4]}-06-15")
    with pytest.raises(InvalidRequest):
        engine.desk.code(archive.who, UID(study), carer_id, compared=False)
    with pytest.raises(NotFound):  # of another person
        engine.desk.end(archive.who, UID(take(archive, "P-2")), carer_id, reason="why")
    with pytest.raises(InvalidRequest):
        engine.desk.end(archive.who, UID(study), carer_id, reason=" ")
    code = engine.desk.code(archive.who, UID(study), carer_id, compared=True).code
    again = enrol(
        archive, archive.patient_accounts.beginnings.redeem(code, f"{CHILD[:4]}-06-15", HERE)
    )
    assert archive.people.sessions.visitor(cookie, None) is None
    acting = engine.switch(visitor(archive, again), carer_id)
    engine.desk.end(archive.who, UID(study), carer_id, reason="The court decided otherwise")
    assert seen(archive, acting) == frozenset()
    with pytest.raises(Conflict):
        engine.desk.code(archive.who, UID(study), carer_id, compared=True)
    take(archive, "P-1", "Smith^Anna", "19800101")
    with pytest.raises(Conflict, match="doubt"):
        added(archive, study, Relation.GUARDIAN)


def test_who_trusts_an_account_has_no_code_made_for_it(archive: Archive) -> None:
    """They named its login and called it as they liked: papers of that name prove nothing."""
    study, born = take(archive, "P-1", born=CHILD), f"{CHILD[:4]}-06-15"
    cookie, carer_id = parent(archive, study, born)
    login = visitor(archive, cookie).login
    theirs = take(archive, "P-2", "Roe^Eve")
    eve = visitor(archive, patient(archive, theirs))
    archive.carers.give(eve, login, given(called="Tom Roe"))
    desk = archive.carers.desk
    for _ in range(2):  # by the patient's word, and by a desk's that was told the login
        assert desk.at(archive.who, UID(theirs)).elsewhere
        with pytest.raises(Conflict, match="somebody else"):
            desk.code(archive.who, UID(theirs), number(archive, theirs), compared=True)
        desk.end(archive.who, UID(theirs), number(archive, theirs), reason="why")
        added(archive, theirs, Relation.TRUSTED, login=login)
    assert seen(archive, cookie) == {study}
    assert not desk.at(archive.who, UID(study)).elsewhere
    code = desk.code(archive.who, UID(study), carer_id, compared=True).code
    with pytest.raises(NotAuthenticated):  # of whom it also acts for
        archive.patient_accounts.beginnings.redeem(code, BORN, HERE)
    enrol(archive, archive.patient_accounts.beginnings.redeem(code, born, HERE))


def test_the_person_is_told_that_somebody_may_act_for_them(archive: Archive) -> None:
    study = take(archive, "P-1")
    me = visitor(archive, patient(archive, study))
    contacts = archive.sharing.contacts
    codes = {}
    for to in (MAIL, PHONE):
        contacts.begin(me.principal, me.account_id, to, language="en")
        codes[to.kind] = archive.posted.last("prove").values["code"]
    for kind, code in codes.items():
        contacts.prove(me.principal, me.account_id, kind, code)
    added(archive, study, Relation.GUARDIAN)
    told = [one for one in archive.posted.messages if one.template == "carer-given"]
    assert [(one.to, one.values) for one in told] == [(MAIL, {}), (PHONE, {})]


def test_who_acts_for_whom_outlives_the_tables(archive: Archive) -> None:
    study, kept = take(archive, "P-1"), take(archive, "P-1")
    jane = patient(archive, study)
    acting, carer_id = trusted(archive, jane)
    archive.carers.keep_from_carers(visitor(archive, jane), UID(kept), is_kept=True)
    added(archive, study, Relation.GUARDIAN, called="Ned")
    ended = number(archive, study)
    archive.carers.desk.end(archive.who, UID(study), ended, reason="Over")

    def told() -> list[Any]:
        found = archive.carers.desk.at(archive.who, UID(study)).carers
        return [(one.called, replace(one.carer, account_id=None)) for one in found]

    before = told()
    with archive.database.transaction() as tx:
        tx.execute("DELETE FROM carer")
        tx.execute("DELETE FROM carer_hidden")
    archive.recovery.reindex()
    archive.identities.keep_up()
    assert told() == before
    assert seen(archive, acting) == {study}
    assert archive.carers.catch_up(older_s=0.0) == 0
    with archive.database.transaction() as tx:  # a crash between the journal and the tables
        tx.execute("DELETE FROM carer WHERE carer_id = %s", (carer_id,))
        tx.execute("DELETE FROM journal_entry WHERE op = 'carer'")
    assert archive.carers.catch_up(older_s=0.0) == 2
    assert told() == before


def test_a_carer_whose_account_was_lost_gets_another_at_the_desk(archive: Archive) -> None:
    study = take(archive, "P-1", born=CHILD)
    born = f"{CHILD[:4]}-06-15"
    cookie, carer_id = parent(archive, study, born)
    other = take(archive, "P-2", "Roe^Tom", CHILD)
    theirs, _ = parent(archive, other, born)
    with archive.database.transaction() as tx:
        tx.execute("DELETE FROM account WHERE login = %s", (visitor(archive, cookie).login,))
    (named,) = archive.carers.desk.at(archive.who, UID(study)).carers
    assert (named.carer.account_id, named.carer.holds) == (None, True)
    issued = archive.carers.desk.code(archive.who, UID(study), carer_id, compared=True)
    again = enrol(archive, archive.patient_accounts.beginnings.redeem(issued.code, born, HERE))
    assert len(archive.carers.wards(visitor(archive, again).account_id)) == 1
    assert seen(archive, archive.carers.switch(visitor(archive, again), carer_id)) == {study}
    assert seen(archive, theirs) == {other}  # who acts for another child still does
    archive.recovery.reindex()
    archive.identities.keep_up()
    (named,) = archive.carers.desk.at(archive.who, UID(study)).carers
    assert (named.carer.carer_id, named.carer.login) == (carer_id, issued.login)


def test_a_lost_database_leaves_persons_and_who_acts_for_them_and_a_desk_lets_them_in_again(
    archive: Archive, tmp_path: Path, postgres: TestPostgres
) -> None:
    """Accounts come back with the database's backup only; what was done by them stays theirs."""
    study = take(archive, "P-1", born=CHILD)
    born = f"{CHILD[:4]}-06-15"
    cookie = enrol(
        archive, archive.patient_accounts.beginnings.redeem(code_for(archive, study), born, HERE)
    )
    mine = shared(archive, visitor(archive, cookie).principal, study)
    wish = Wish(kind=wishes.Kind.CORRECT, person=PERSON, words="It was the LEFT knee.")
    archive.sharing.requests.ask(visitor(archive, cookie).principal, wish)
    acting, carer_id = parent(archive, study, born)
    theirs = shared(archive, visitor(archive, acting).principal, study)
    fresh = Database(postgres.clone(), schema=SCHEMA)
    with contextlib.closing(fresh), open_archive(tmp_path, fresh) as again:
        again.recovery.reindex()
        again.identities.keep_up()
        assert again.people.sessions.visitor(cookie, None) is None
        (named,) = again.carers.desk.at(again.who, UID(study)).carers
        assert (named.called, named.carer.carer_id, named.carer.holds) == ("Ann", carer_id, True)
        assert named.carer.account_id is None

        code = code_for(again, study)
        me = visitor(
            again, enrol(again, again.patient_accounts.beginnings.redeem(code, born, HERE))
        )
        assert me.principal.scope.studies == {study}
        own = {one.summary.share_id: one.is_own for one in again.sharing.own.shares(me.principal)}
        assert own == {mine: True, theirs: True}
        (asked,) = again.sharing.requests.own(me.principal)
        again.sharing.requests.withdraw(me.principal, asked.request_id)
        again.sharing.own.stop(me.principal, mine)

        code = again.carers.desk.code(again.who, UID(study), carer_id, compared=True).code
        back = enrol(again, again.patient_accounts.beginnings.redeem(code, born, HERE))
        assert seen(again, again.carers.switch(visitor(again, back), carer_id)) == {study}
        again.carers.take_back(me, carer_id)
        assert (standing(again, mine), standing(again, theirs)) == ("revoked", "revoked")


def test_an_identity_somebody_acts_for_stays(archive: Archive) -> None:
    study = take(archive, "P-1", born=CHILD)
    added(archive, study, Relation.PARENT, until=None)
    archive.lifecycle.delete(archive.who, StudyRef(UID(study)))
    archive.identities.keep_up()
    assert one(archive, "P-1").said.name == "Doe^Jane"


def test_nobody_comes_of_age_at_an_age_there_is_not(archive: Archive) -> None:
    settings = replace(archive.settings, access=replace(archive.settings.access, of_age=0))
    with pytest.raises(ConfigError, match="of_age"):
        CarerEngine(
            store=archive.store, database=archive.database, audit=archive.audit,
            settings=settings, people=archive.people, vault=None,  # type: ignore[arg-type]  # not asked
            accounts=archive.patient_accounts, stop=archive.sharing.own.stop_all,
        )  # fmt: skip


def shared(archive: Archive, who: Principal, study: str) -> int:
    offer = Offer(
        studies=frozenset({StudyRef(UID(study))}),
        person=Person(name="Doe, Jane", birth_date=dt.date.fromisoformat(BORN)),
        recipient=Recipient(name="Dr Kim"),
        purpose=Purpose.PATIENT_REQUEST,
        to=MAIL,
        by=PHONE,
        proof=frozenset({Protection.SMS}),
        until=in_days(30),
    )
    return archive.sharing.own.offer(who, offer).share_id


def standing(archive: Archive, share_id: int) -> str:
    with archive.database.reading() as conn:
        row = conn.execute("SELECT state FROM share WHERE share_id = %s", (share_id,)).fetchone()
    assert row is not None
    return str(row[0])
