"""Rules: what comes in and falls under one is queued with it, once, and never sent back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archive import Archive, open_archive
from tests.dimse.holding import fill
from tests.factories import ct
from vna.access.principal import Kind, Principal, system
from vna.access.remotes import Remote
from vna.access.routes import Route
from vna.db.pool import Database
from vna.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from vna.index.register import clear

WHO = system("test")
GATHERS = {"gather_s": 3600.0}


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database, jobs=GATHERS) as archive:
        for title in ("DEST", "SENDER"):
            archive.remotes.add(WHO, Remote(ae_title=title, host="127.0.0.1", port=104))
        yield archive


def rule(
    archive: Archive, *keys: str, name: str = "one", to: str = "DEST", **differs: object
) -> None:
    archive.routes.add(WHO, Route(name=name, remote=to, keys=keys, **differs))  # type: ignore[arg-type]  # fields of a Route


def queued(archive: Archive) -> list[tuple[str, str, str, list[str]]]:
    """The jobs: kind, to whom, asked by whom, instances in order."""
    with archive.database.reading() as conn:
        return conn.execute(
            "SELECT kind, remote, requested_by,"
            " array_agg(sop_instance_uid ORDER BY number) FROM job"
            " JOIN job_item USING (job_id) GROUP BY job_id ORDER BY job_id"
        ).fetchall()


def test_what_comes_in_of_a_study_goes_out_as_one_job(archive: Archive) -> None:
    rule(archive)
    made = [ct(1, 1, 1), ct(1, 1, 2), ct(1, 2, 1)]
    fill(archive, *made, ct(2))
    assert queued(archive) == [
        ("forward", "DEST", "route:one", [one.instance for one in made]),
        ("forward", "DEST", "route:one", [ct(2).instance]),
    ]


@pytest.mark.parametrize(
    ("keys", "takes"),
    [
        (["Modality=CT"], True),
        (["Modality=MR"], False),
        (["Modality=MR\\CT"], True),
        (["Modality=CT", "StudyDescription=*hest"], True),
        (["Modality=CT", "StudyDescription=Knee"], False),
        (["PatientName=doe*"], True),
        (["StudyDate=20240101-20240131"], True),
        (["StudyDate=-20231231"], False),
        (["StudyDate=20240102-20240102", "StudyTime=101000-102000"], True),
        (["00080060=CT"], True),
        (["Manufacturer=Example"], True),
        (["Manufacturer=Other"], False),
        (["ImageType=PRIMARY"], True),
        ([], True),
    ],
)
def test_all_keys_of_a_rule_must_match(archive: Archive, keys: list[str], takes: bool) -> None:
    rule(archive, *keys)
    fill(archive, ct(1))
    assert len(queued(archive)) == int(takes)


def test_a_rule_on_items_passes_over_what_is_no_sequence(archive: Archive) -> None:
    """PS3.6 says what is a sequence; a sender that writes text there is stored all the same."""
    rule(archive, "RequestAttributesSequence.RequestedProcedureID=P1")
    fill(archive, ct(1, extra=[("00400275", "LO", "P1")]))
    assert queued(archive) == []


def test_a_rule_finds_what_is_past_the_cap_of_ready_metadata(archive: Archive) -> None:
    many = [("00081140", "SQ", [[("00081150", "UI", "1.2.840.10008.5.1.4.1.1.2")]] * 40_000)]
    rule(archive, "KVP=110")
    made = ct(extra=many, values={"KVP": "110"})
    fill(archive, made)
    assert queued(archive) == [("forward", "DEST", "route:one", [made.instance])]


@pytest.mark.parametrize(("callers", "takes"), [(["SENDER"], True), (["CT9"], False), ([], True)])
def test_a_rule_asks_who_sent_it(archive: Archive, callers: list[str], takes: bool) -> None:
    rule(archive, callers=tuple(callers))
    fill(archive, ct(1))
    assert len(queued(archive)) == int(takes)


def test_who_stores_by_dicomweb_is_a_caller_too(archive: Archive) -> None:
    rule(archive, callers=("test",))
    archive.take(ct(1).part10())
    assert len(queued(archive)) == 1


def test_what_was_stored_already_is_not_sent_again(archive: Archive) -> None:
    fill(archive, ct(1))
    rule(archive)
    fill(archive, ct(1), ct(1))
    assert queued(archive) == []


def test_nothing_is_sent_to_where_it_came_from(archive: Archive) -> None:
    rule(archive, to="SENDER")
    fill(archive, ct(1))
    assert queued(archive) == []


def test_a_version_that_is_shown_is_sent_and_another_is_not(
    tmp_path: Path, database: Database
) -> None:
    newest = {"policy": "newest"}
    for policy, count in (({}, 1), (newest, 2)):
        folder = tmp_path / str(count)
        folder.mkdir()
        with open_archive(folder, database, jobs=GATHERS, versions=policy) as archive:
            archive.remotes.add(WHO, Remote(ae_title="DEST", host="127.0.0.1", port=104))
            rule(archive)
            study = count + 10
            fill(archive, ct(study))
            archive.database.changing(lambda tx: tx.execute("UPDATE job SET due_at = now()"))
            fill(archive, dataclasses.replace(ct(study), patient_name="Other^Name"))
            assert len([one for one in queued(archive) if one[3] == [ct(study).instance]]) == count


def test_a_changed_instance_that_comes_back_is_kept_and_goes_no_further(
    tmp_path: Path, database: Database
) -> None:
    with open_archive(tmp_path, database, jobs=GATHERS, versions={"policy": "newest"}) as archive:
        for title in ("DEST", "SENDER"):
            archive.remotes.add(WHO, Remote(ae_title=title, host="127.0.0.1", port=104))
        archive.take(ct(1).part10())
        rule(archive, name="there", to="SENDER")
        rule(archive, name="elsewhere")
        fill(archive, dataclasses.replace(ct(1), patient_name="Other^Name"))
        assert queued(archive) == []


def test_an_adopted_instance_is_sent_too_but_a_rebuilt_index_sends_nothing(
    archive: Archive,
) -> None:
    archive.take(ct(1).part10())
    with archive.database.transaction() as tx:
        clear(tx)
    rule(archive)
    archive.recovery.adopt(older_s=0.0)
    assert len(queued(archive)) == 1
    archive.recovery.reindex()
    assert len(queued(archive)) == 1


def test_a_rule_removed_sends_no_more_and_what_it_queued_is_sent(archive: Archive) -> None:
    rule(archive)
    fill(archive, ct(1))
    archive.routes.remove(WHO, "one")
    fill(archive, ct(2))
    assert len(queued(archive)) == 1
    with pytest.raises(NotFound):
        archive.routes.remove(WHO, "one")


def test_a_remote_that_a_rule_leads_to_stays(archive: Archive) -> None:
    rule(archive)
    with pytest.raises(Conflict, match="route"):
        archive.remotes.remove(WHO, "DEST")
    archive.routes.remove(WHO, "one")
    archive.remotes.remove(WHO, "DEST")


def test_the_queue_and_the_instance_are_there_together_or_not_at_all(archive: Archive) -> None:
    rule(archive)
    with archive.database.transaction() as tx:
        tx.execute("ALTER TABLE job_item ADD CONSTRAINT no_more CHECK (number < 2)")
    fill(archive, ct(1, 1, 1))
    with pytest.raises(AssertionError):
        fill(archive, ct(1, 1, 2))
    with archive.database.reading() as conn:
        assert conn.execute("SELECT count(*) FROM instance").fetchone() == (1,)
    assert queued(archive)[0][3] == [ct(1, 1, 1).instance]


def test_adding_again_changes_and_everything_is_in_the_trail(archive: Archive) -> None:
    rule(archive, "PatientName=Doe*")
    rule(archive, "Modality=CT", commit=True)
    (found,) = archive.routes.all(WHO)
    assert (found.keys, found.commit) == (("Modality=CT",), True)
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT kind, detail::text FROM audit WHERE kind LIKE 'route%' ORDER BY id"
        ).fetchall()
    assert [kind for kind, _ in rows] == ["route.added", "route.changed"]
    assert "PatientName" in rows[0][1]
    assert "Doe" not in rows[0][1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"keys": ("Modality",)},
        {"keys": ("Nonsense=1",)},
        {"keys": ("StudyDate=tomorrow",)},
        {"keys": ("limit=1",)},
        {"keys": ("includefield=all",)},
        {"keys": tuple(f"0008{n:04X}=1" for n in range(40))},
        {"callers": ("DEST",)},
        {"remote": None},
        {"peer": "also"},
        {"remote": None, "peer": "P", "commit": True},
    ],
)
def test_what_is_no_rule_is_refused_in_words(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        Route(**{"name": "one", "remote": "DEST", **wrong})  # type: ignore[arg-type]  # wrong on purpose


def test_a_rule_leads_to_somebody_known_and_not_to_ourselves(archive: Archive) -> None:
    with pytest.raises(NotFound):
        rule(archive, to="NOBODY")
    with pytest.raises(NotFound):
        archive.routes.add(WHO, Route(name="one", peer="nobody"))
    with pytest.raises(InvalidRequest, match="itself"):
        rule(archive, to=archive.settings.dicom.ae_title)
    clerk = Principal(kind=Kind.PERSON, name="clerk", actions=frozenset())
    with pytest.raises(NotPermitted):
        archive.routes.add(clerk, Route(name="one", remote="DEST"))
