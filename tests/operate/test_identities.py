"""Identities: rules make and propose them, people decide, and nothing is ever merged by a name."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.archive import Archive, open_archive
from tests.factories import ct
from vna.access.principal import Action, Kind, Principal, Scope, system
from vna.db.pool import Database
from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, InvalidRequest, NotFound, NotPermitted, Unavailable
from vna.operate.identity_decisions import IdentityDecisions
from vna.operate.identity_views import Identity

WHY = "Asked the patient"
NHS = "9434765919"
_STUDIES = itertools.count(1000)


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database, patients={"identifying": "NHS:mod11"}) as archive:
        yield archive


def take(  # noqa: PLR0917 -- a patient as a table row
    archive: Archive,
    patient_id: str,
    name: str = "Doe^Jane",
    born: str | None = "19700101",
    sex: str = "F",
    nhs: str | None = None,
    date: str = "20240102",
) -> str:
    """Store a study of a patient, and look at it; its UID."""
    values: dict[str, Any] = {"PatientBirthDate": born, "PatientSex": sex, "StudyDate": date}
    if nhs is not None:
        item = [("00100020", "LO", nhs), ("00100021", "LO", "NHS")]
        values["OtherPatientIDsSequence"] = [item]
    made = ct(next(_STUDIES), patient_id=patient_id, patient_name=name, values=values)
    archive.take(made.part10())
    archive.identities.keep_up()
    return made.study


def of(archive: Archive, patient_id: str) -> list[Identity]:
    return archive.identities.views.named(archive.who, archive.settings.site.issuer, patient_id)


def one(archive: Archive, patient_id: str) -> Identity:
    (found,) = of(archive, patient_id)
    return found


def persons(archive: Archive) -> set[frozenset[tuple[str, int]]]:
    """The persons, each as ids and numbers of shadows."""
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT array_agg(patient_id), array_agg(variant) FROM identity GROUP BY person_id"
        ).fetchall()
    return {frozenset(zip(*row, strict=True)) for row in rows}


def work(archive: Archive) -> list[tuple[str, str]]:
    return [
        (one.case.rule, one.case.state) for one in archive.identities.views.worklist(archive.who)
    ]


def test_one_id_is_one_identity_whatever_small_differs(archive: Archive) -> None:
    studies = [
        take(archive, "P-1"),
        take(archive, "P-1", "DOE^JANE"),
        take(archive, "P-1", born=None),
    ]
    identity = one(archive, "P-1")
    assert {archive.identities.standing(uid(s)).identity for s in studies} == {identity.id}  # type: ignore[union-attr]  # there
    assert work(archive) == []


def test_the_same_id_of_somebody_else_is_a_shadow_and_not_shared(archive: Archive) -> None:
    first, second = take(archive, "P-1"), take(archive, "P-1", "Smith^Anna", "19800101")
    identity, shadow = of(archive, "P-1")
    assert (shadow.variant, shadow.quarantined, identity.quarantined) == (1, True, False)
    assert work(archive) == [("R2", "open")]
    standing = archive.identities.standing(uid(second))
    assert standing is not None
    assert (standing.quarantined, standing.disputed) == (True, True)
    assert archive.identities.standing(uid(first)).disputed  # type: ignore[union-attr]  # it is there
    take(archive, "P-1", "Smith^Anna", "19800101")
    assert len(of(archive, "P-1")) == 2  # it is known now
    archive.identities.part(archive.who, identity.id, shadow.id, reason=WHY)
    assert work(archive) == []
    assert not any(found.quarantined for found in of(archive, "P-1"))
    assert len(persons(archive)) == 2


def test_what_only_looks_alike_is_proposed_and_never_twice(archive: Archive) -> None:
    take(archive, "P-1")
    take(archive, "P-2")
    take(archive, "P-3", sex="")
    take(archive, "P-4", "Doe^Jane", "19800101")
    assert work(archive) == [("R5", "open"), ("R6", "open"), ("R6", "open")]
    assert len(persons(archive)) == 4
    first, second = one(archive, "P-1").id, one(archive, "P-2").id
    archive.identities.part(archive.who, second, first, reason=WHY)
    take(archive, "P-2")
    take(archive, "P-1")
    assert work(archive) == [("R6", "open"), ("R6", "open")]
    archive.identities.defer(archive.who, first, one(archive, "P-3").id)
    assert work(archive) == [("R6", "open"), ("R6", "deferred")]


def test_a_number_that_identifies_links_and_its_contradiction_does_not(archive: Archive) -> None:
    take(archive, "P-1", nhs=NHS)
    take(archive, "P-2", "Roe^Jane", nhs=NHS)
    take(archive, "P-3", sex="M", nhs=NHS)
    assert persons(archive) == {
        frozenset([("P-1", 0), ("P-2", 0)]),
        frozenset([("P-3", 0)]),
    }
    assert work(archive) == [("R4", "open"), ("R4", "open")]
    first, second = one(archive, "P-1").id, one(archive, "P-2").id
    archive.identities.part(archive.who, first, second, reason=WHY)
    take(archive, "P-2", "Roe^Jane", nhs=NHS)
    assert len(persons(archive)) == 3  # no rule turns round what somebody decided


def test_a_study_whose_number_is_contradicted_is_disputed_though_put_off(archive: Archive) -> None:
    take(archive, "P-1", nhs=NHS)
    study = uid(take(archive, "P-2", "Roe^Rick", "19800101", "M", NHS))
    pair = one(archive, "P-1").id, one(archive, "P-2").id
    assert archive.identities.standing(study).disputed  # type: ignore[union-attr]  # it is there
    archive.identities.defer(archive.who, *pair)
    assert archive.identities.standing(study).disputed  # type: ignore[union-attr]  # it is there
    archive.identities.part(archive.who, *pair, reason=WHY)
    assert not archive.identities.standing(study).disputed  # type: ignore[union-attr]  # the same


def test_a_link_taken_back_leaves_everything_as_it_was(archive: Archive) -> None:
    for patient in ("P-1", "P-2", "P-3", "P-4"):
        take(archive, patient, f"Name{patient}^A")
    ids = {patient: one(archive, patient).id for patient in ("P-1", "P-2", "P-3", "P-4")}
    archive.identities.link(archive.who, ids["P-1"], ids["P-2"], reason=WHY)
    archive.identities.link(archive.who, ids["P-3"], ids["P-4"], reason=WHY)
    before = persons(archive)
    studies = archive.identities.link(archive.who, ids["P-2"], ids["P-3"], reason=WHY)
    assert isinstance(studies, tuple)
    assert len(studies) == 4
    assert len(persons(archive)) == 1
    impact = archive.identities.part(archive.who, ids["P-3"], ids["P-2"], reason="Wrong")
    assert len(impact) == 4
    assert persons(archive) == before
    person = archive.identities.views.person(archive.who, ids["P-2"])
    assert [(d.op, d.reason) for d in person.history] == [
        ("identity-link", WHY),
        ("identity-link", WHY),
        ("identity-apart", "Wrong"),
    ]
    assert {found.patient_id for found in person.identities} == {"P-1", "P-2"}
    with pytest.raises(Conflict, match="apart"):
        archive.identities.part(archive.who, ids["P-2"], ids["P-3"], reason=WHY)


Arrival = tuple[str, str, str | None, str, str | None]
arrivals = st.lists(
    st.tuples(
        st.sampled_from(["P-1", "P-2", "P-3"]),
        st.sampled_from(["Doe^Jane", "Doe^John", "Smith^Anna", ""]),
        st.sampled_from(["19700101", "19800101", "19000101", None]),
        st.sampled_from(["F", "M", ""]),
        st.sampled_from([None, None, NHS]),
    ),
    min_size=1,
    max_size=6,
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(arriving=arrivals)
def test_no_arrivals_make_two_ids_one_person_but_by_a_number(
    archive: Archive, arriving: list[Arrival]
) -> None:
    prefix = str(next(_STUDIES))
    numbered: set[str] = set()
    for patient, name, born, sex, nhs in arriving:
        take(archive, f"{prefix}-{patient}", name, born, sex, nhs)
        numbered |= {f"{prefix}-{patient}"} if nhs else set()
    for person in persons(archive):
        ids = {patient for patient, _ in person if patient.startswith(prefix)}
        assert len(person) == 1 or ids <= numbered
    with archive.database.transaction() as tx:
        linked = tx.execute(
            "SELECT DISTINCT rule FROM identity_pair WHERE state = 'linked'"
        ).fetchall()
        tx.execute("TRUNCATE identity, identity_pair, study_identity")
    assert linked in ([], [("R3",)])


def test_decisions_come_back_with_a_rebuilt_index(archive: Archive) -> None:
    take(archive, "P-1")
    take(archive, "P-1", "Smith^Anna", "19800101")
    take(archive, "P-2", "Roe^Rita")
    take(archive, "P-3", nhs=NHS)
    take(archive, "P-4", nhs=NHS)
    first, shadow = of(archive, "P-1")
    archive.identities.link(archive.who, first.id, one(archive, "P-2").id, reason=WHY)
    archive.identities.part(archive.who, first.id, shadow.id, reason=WHY)
    archive.identities.part(archive.who, one(archive, "P-3").id, one(archive, "P-4").id, reason=WHY)
    died = dt.date(2020, 1, 1)
    archive.identities.deceased(archive.who, shadow.id, died, reason="Register")
    before = _everything(archive)
    archive.recovery.reindex()
    archive.identities.keep_up()
    assert _everything(archive) == before


def _everything(archive: Archive) -> list[Any]:
    with archive.database.reading() as conn:
        return [
            conn.execute(statement).fetchall()
            for statement in (
                "SELECT identity_id, issuer, patient_id, variant, person_id, birth_date,"
                " death_date, quarantined FROM identity ORDER BY 1",
                "SELECT first, second, state, act, reason FROM identity_pair ORDER BY 1, 2",
                "SELECT * FROM identity_act ORDER BY 1",
                "SELECT * FROM study_identity ORDER BY 1",
            )
        ]


def test_a_corrected_study_is_about_somebody_else(archive: Archive) -> None:
    study = take(archive, "P-1")
    take(archive, "P-2", "Roe^Rita", "19800101")
    archive.corrections.move(archive.who, uid(study), patient_id="P-2", reason=WHY)
    archive.identities.keep_up()
    assert of(archive, "P-1") == []
    standing = archive.identities.standing(uid(study))
    assert standing is not None
    assert standing.identity == one(archive, "P-2").id
    assert work(archive) == []


def test_a_wrong_number_that_goes_takes_its_link_with_it(archive: Archive) -> None:
    take(archive, "P-1", nhs=NHS)
    wrong = take(archive, "P-2", nhs=NHS)
    take(archive, "P-2")
    assert len(persons(archive)) == 1
    archive.lifecycle.delete(archive.who, StudyRef(uid(wrong)))
    archive.identities.keep_up()
    assert len(persons(archive)) == 2
    assert work(archive) == [("R5", "open")]


def test_what_somebody_decided_outlives_the_studies_it_was_decided_on(archive: Archive) -> None:
    take(archive, "P-1")
    gone = take(archive, "P-2", "Roe^Jane")
    archive.identities.link(archive.who, one(archive, "P-1").id, one(archive, "P-2").id, reason=WHY)
    archive.lifecycle.delete(archive.who, StudyRef(uid(gone)))
    archive.identities.keep_up()
    assert persons(archive) == {frozenset({("P-1", 0), ("P-2", 0)})}
    take(archive, "P-2", "Roe^Jane")
    assert persons(archive) == {frozenset({("P-1", 0), ("P-2", 0)})}


def test_a_deleted_patient_leaves_no_name_behind(archive: Archive) -> None:
    study = take(archive, "P-1")
    archive.lifecycle.delete(archive.who, StudyRef(uid(study)))
    archive.identities.keep_up()
    with archive.database.reading() as conn:
        assert conn.execute("SELECT count(*) FROM identity").fetchone() == (0,)
        assert conn.execute("SELECT count(*) FROM identity_due").fetchone() == (0,)


def test_a_study_whose_other_ids_are_no_sequence_keeps_nobody_waiting(archive: Archive) -> None:
    """One data set that is not as PS3.3 C.2.2 has it stops the identities of no other."""
    odd = ct(9, patient_id="P-9", extra=[("00101002", "LO", "P-1")])
    archive.take(odd.part10())
    take(archive, "P-1")
    archive.identities.keep_up()
    assert archive.identities.standing(uid(odd.study)) is not None
    assert one(archive, "P-1").quarantined is False


def test_a_study_without_a_patient_id_is_nobodys(archive: Archive) -> None:
    study = take(archive, "")
    assert archive.identities.standing(uid(study)) is None
    assert persons(archive) == set()


def test_of_two_who_say_when_somebody_died_the_later_one_is_believed(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They write it down one after the other, and take effect the other way round."""
    take(archive, "P-1")
    identity, usual = one(archive, "P-1").id, IdentityDecisions.effect
    engine = archive.identities

    def effect(decisions: IdentityDecisions, *given: Any) -> None:
        monkeypatch.setattr(IdentityDecisions, "effect", usual)
        engine.deceased(archive.who, identity, None, reason="Another person's register")
        usual(decisions, *given)

    monkeypatch.setattr(IdentityDecisions, "effect", effect)
    engine.deceased(archive.who, identity, dt.date(2020, 1, 1), reason="Register")
    assert one(archive, "P-1").died is None
    archive.recovery.reindex()
    engine.keep_up()
    assert one(archive, "P-1").died is None


def test_a_study_after_death_is_an_alert(archive: Archive) -> None:
    early, late = take(archive, "P-1", date="20190101"), take(archive, "P-1", date="20240102")
    identity = one(archive, "P-1").id
    archive.identities.deceased(archive.who, identity, dt.date(2020, 1, 1), reason="Register")
    assert [study for study, _ in archive.identities.views.alerts(archive.who)] == [late]
    standing = archive.identities.standing(uid(early))
    assert standing is not None
    assert standing.alert is None
    again = take(archive, "P-1", date="20240103")
    assert archive.identities.standing(uid(again)).alert == "R9"  # type: ignore[union-attr]  # it is there
    archive.identities.deceased(archive.who, identity, None, reason="Another person")
    assert archive.identities.views.alerts(archive.who) == []


def test_what_a_crash_kept_from_the_index_is_brought_in(archive: Archive) -> None:
    take(archive, "P-1", "Roe^Rita")
    take(archive, "P-2")
    first, second = one(archive, "P-1").id, one(archive, "P-2").id
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE identity_act ADD CONSTRAINT away CHECK (false) NOT VALID")
    with pytest.raises(Unavailable, match="written down"):
        archive.identities.link(archive.who, first, second, reason=WHY)
    assert len(persons(archive)) == 2
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE identity_act DROP CONSTRAINT away")
    assert archive.identities.catch_up(older_s=0.0) == 1
    assert len(persons(archive)) == 1
    assert archive.identities.catch_up(older_s=0.0) == 0


def test_no_patient_is_named_in_the_trail(archive: Archive) -> None:
    take(archive, "Zk3xhQ", "Zk3xhQ^Canary")
    take(archive, "P-2")
    archive.identities.link(
        archive.who, one(archive, "Zk3xhQ").id, one(archive, "P-2").id, reason="Zk3xhQ said so"
    )
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT kind, detail::text FROM audit WHERE kind LIKE 'identity%'"
        ).fetchall()
    assert [kind for kind, _ in rows] == ["identity.link"]
    assert "Zk3xhQ" not in str(rows)


def test_it_needs_the_right_all_of_the_archive_and_a_reason(archive: Archive) -> None:
    take(archive, "P-1")
    take(archive, "P-2", "Roe^Rita")
    first, second = one(archive, "P-1").id, one(archive, "P-2").id
    engine = archive.identities
    reader = Principal(kind=Kind.PERSON, name="r", actions=frozenset([Action.QUERY]))
    narrow = dataclasses.replace(system("x"), scope=Scope(studies=frozenset([uid("1.2")])))
    for who, refusal in ((reader, NotPermitted), (narrow, NotFound)):
        for act in (
            engine.views.worklist,
            lambda who: engine.views.person(who, first),
            lambda who: engine.link(who, first, second, reason=WHY),
            lambda who: engine.deceased(who, first, None, reason=WHY),
        ):
            with pytest.raises(refusal):
                act(who)
    for wrong in (" ", "two\nlines", "x" * 501):
        with pytest.raises(InvalidRequest):
            engine.link(archive.who, first, second, reason=wrong)
    with pytest.raises(InvalidRequest):
        engine.link(archive.who, first, first, reason=WHY)
    with pytest.raises(NotFound):
        engine.link(archive.who, first, b"nobody", reason=WHY)
    with pytest.raises(NotFound):
        engine.defer(archive.who, first, second)


def test_no_worklist_names_of_whom_a_label_withholds_every_study(archive: Archive) -> None:
    """No search finds them; what only looked like one of another's did."""
    hidden = uid(take(archive, "P-1"))
    take(archive, "P-2")
    ours = archive.who
    clerk = dataclasses.replace(
        ours, scope=dataclasses.replace(ours.scope, withheld=frozenset({hidden}))
    )
    views = archive.identities.views
    assert (len(views.worklist(ours)), views.worklist(clerk)) == (1, [])
    seen = uid(take(archive, "P-1"))  # another study of theirs, which is not withheld
    assert len(views.worklist(clerk)) == 1
    both = dataclasses.replace(
        ours, scope=dataclasses.replace(ours.scope, withheld=frozenset({hidden, seen}))
    )
    archive.identities.link(ours, one(archive, "P-1").id, one(archive, "P-2").id, reason=WHY)
    assert (len(views.linked(clerk)), views.linked(both)) == (1, [])
