"""C-MOVE and C-GET of the Query/Retrieve Service Class, row by row: PS3.4 C.4.2, C.4.3, B.2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.archive import Archive, open_archive
from tests.conftest import SCHEMA, TestPostgres
from tests.dimse.asker import (
    PATIENT_GET,
    PATIENT_MOVE,
    STUDY_GET,
    STUDY_MOVE,
    Retrieved,
    associated,
    counts,
    get,
    move,
)
from tests.dimse.edge import Edge
from tests.dimse.holding import fill
from tests.dimse.shelf import Shelf
from tests.dimse.shelf import served as shelved
from tests.factories import CT, EXPLICIT, SECONDARY_CAPTURE, ct
from vna.access.principal import system
from vna.access.remotes import Remote
from vna.config import Dicom, Settings
from vna.db.pool import Database
from vna.dimse.scps import services
from vna.dimse.sop_classes import PATIENT_STUDY_ONLY_GET, PATIENT_STUDY_ONLY_MOVE

HELD = [
    *(ct(1, 1, 1), ct(1, 1, 2), ct(1, 2, 1)),
    ct(2, 1, 1, sop_class=SECONDARY_CAPTURE),
    ct(3, 1, 1, patient_id="P-0002"),
]
PAIRS = [(CT, EXPLICIT), (SECONDARY_CAPTURE, EXPLICIT)]
MODELS = {
    "patient": (PATIENT_GET, PATIENT_MOVE),
    "study": (STUDY_GET, STUDY_MOVE),
    "patient/study only": (PATIENT_STUDY_ONLY_GET, PATIENT_STUDY_ONLY_MOVE),
}
STUDY_1 = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ct(1).study}


@pytest.fixture(scope="module")
def archive(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    dsn = postgres.clone()
    database = Database(dsn, schema=SCHEMA)
    with open_archive(tmp_path_factory.mktemp("held"), database) as archive:
        fill(archive, *HELD)
        yield archive
    database.close()
    postgres.drop(dsn)


@pytest.fixture(scope="module")
def edge(archive: Archive) -> Iterator[Edge]:
    engines: Any = archive
    settings = Settings(dev=True, dicom=Dicom(associations_per_address=100))
    edge = Edge(settings, services(engines, archive.settings), 1, 30.0, remotes=archive.remotes)
    yield edge
    edge.close()


@pytest.fixture(scope="module")
def shelf(archive: Archive) -> Iterator[Shelf]:
    """DEST, a Storage SCP."""
    shelf = Shelf()
    edge = Edge(Settings(dev=True), shelved(ingest=shelf), 1, 30.0)
    archive.remotes.add(system("test"), Remote(ae_title="DEST", host="127.0.0.1", port=edge.port))
    yield shelf
    edge.close()


def both(
    edge: Edge, shelf: Shelf, keys: dict[str, Any], *, root: str = "study", **how: Any
) -> tuple[tuple[Retrieved, list[str]], tuple[Retrieved, list[str]]]:
    """Ask the same by C-GET and by C-MOVE; give each answer and what arrived."""
    getting, moving = MODELS[root]
    got = get(edge.port, PAIRS, model=getting, keys=keys, **how)
    shelf.taken.clear()
    moved = move(edge.port, "DEST", model=moving, keys=keys, **how)
    arrived = [str(taken.expected.sop_instance) for taken in shelf.taken]
    return (got, got.order), (moved, arrived)


LEVELS = [
    ("patient", {"QueryRetrieveLevel": "PATIENT", "PatientID": "P-0001"}, HELD[:4]),
    ("patient", {**STUDY_1, "PatientID": "P-0001"}, HELD[:3]),
    (
        "patient",
        {
            "QueryRetrieveLevel": "SERIES",
            "PatientID": "P-0001",
            "StudyInstanceUID": ct(1).study,
            "SeriesInstanceUID": ct(1).series,
        },
        HELD[:2],
    ),
    ("study", STUDY_1, HELD[:3]),
    (
        "study",
        {
            "QueryRetrieveLevel": "SERIES",
            "StudyInstanceUID": ct(1).study,
            "SeriesInstanceUID": [ct(1).series, ct(1, 2).series],
        },
        HELD[:3],
    ),
    (
        "study",
        {
            "QueryRetrieveLevel": "IMAGE",
            "StudyInstanceUID": ct(1).study,
            "SeriesInstanceUID": ct(1).series,
            "SOPInstanceUID": ct(1, 1, 2).instance,
        },
        HELD[1:2],
    ),
    ("patient/study only", {"QueryRetrieveLevel": "PATIENT", "PatientID": "P-0002"}, HELD[4:]),
    ("patient/study only", {**STUDY_1, "PatientID": "P-0001"}, HELD[:3]),
]


@pytest.mark.parametrize(("root", "keys", "wanted"), LEVELS)
def test_every_level_of_every_model_is_retrieved(
    edge: Edge, shelf: Shelf, root: str, keys: dict[str, Any], wanted: list[Any]
) -> None:
    """PS3.4 C.6.1, C.6.2, C.6.3; C.4.2.2.1: one UID or a list of them at the level."""
    for answer, arrived in both(edge, shelf, keys, root=root):
        assert answer.status == 0x0000
        assert sorted(arrived) == sorted(one.instance for one in wanted)


@pytest.mark.parametrize(
    ("root", "keys"),
    [
        ("study", {"StudyInstanceUID": ct(1).study}),
        ("study", {"QueryRetrieveLevel": "PATIENT", "PatientID": "P-0001"}),
        ("study", {"QueryRetrieveLevel": "STUDY"}),
        ("study", {**STUDY_1, "SOPInstanceUID": "1.2"}),
        ("study", {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": ct(1).series}),
        ("patient", STUDY_1),
        ("patient", {"QueryRetrieveLevel": "PATIENT", "PatientID": ["P-0001", "P-0002"]}),
        ("patient", {"QueryRetrieveLevel": "PATIENT", "PatientID": "P-*"}),
        (
            "patient/study only",
            {
                "QueryRetrieveLevel": "SERIES",
                "PatientID": "P-0001",
                "StudyInstanceUID": ct(1).study,
                "SeriesInstanceUID": ct(1).series,
            },
        ),
    ],
)
def test_an_identifier_that_does_not_match_the_sop_class_is_a900(
    edge: Edge, shelf: Shelf, root: str, keys: dict[str, Any]
) -> None:
    """PS3.4 Tables C.4-2, C.4-3: A900 with an Error Comment; nothing is sent."""
    for answer, arrived in both(edge, shelf, keys, root=root):
        assert (answer.status, arrived) == (0xA900, [])
        assert answer.answers[-1].ErrorComment


def test_relational_retrieval_needs_no_keys_above(edge: Edge, shelf: Shelf) -> None:
    """PS3.4 C.4.2.3.2.1, C.4.3.3.2.1; C.5.2.1.1, C.5.3.1.1: byte 1 of the negotiation."""
    keys = {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": [ct(1, 2).series, ct(3).series]}
    for answer, arrived in both(edge, shelf, keys, relational=True):
        assert answer.status == 0x0000
        assert sorted(arrived) == sorted([HELD[2].instance, HELD[4].instance])
    for answer, _ in both(edge, shelf, keys):
        assert answer.status == 0xA900


def test_no_match_is_a_success(edge: Edge, shelf: Shelf) -> None:
    """PS3.4 C.4.2.1.5: no sub-operation is none that failed."""
    for answer, arrived in both(edge, shelf, {**STUDY_1, "StudyInstanceUID": "1.9"}):
        assert (answer.status, answer.counts, arrived) == (0x0000, (None, 0, 0, 0), [])


def test_pending_holds_the_four_counts_and_no_identifier(edge: Edge, shelf: Shelf) -> None:
    """PS3.4 C.4.2.1.6 to C.4.2.1.9; C.4.2.1.4.2: only a final response has an Identifier."""
    for answer, _ in both(edge, shelf, STUDY_1):
        pending = answer.answers[:-1]
        assert pending
        assert {one.Status for one in pending} == {0xFF00}
        assert all(None not in counts(one) for one in pending)
        assert not any(answer.identifiers)


def test_a_final_response_says_no_remaining(edge: Edge, shelf: Shelf) -> None:
    """PS3.7 9.1.4.1.7, 9.1.3.1.6: Remaining is of Pending and Cancel."""
    for answer, _ in both(edge, shelf, STUDY_1):
        assert answer.counts == (None, 3, 0, 0)


def test_without_a_context_it_is_a_failure_in_the_list(edge: Edge) -> None:
    """PS3.4 C.4.3.3.1, C.4.3.1.3.2: Failed SOP Instance UID List (0008,0058)."""
    keys = {"QueryRetrieveLevel": "PATIENT", "PatientID": "P-0001"}
    got = get(edge.port, [(CT, EXPLICIT)], model=PATIENT_GET, keys=keys)
    assert (got.status, got.counts) == (0xB000, (None, 3, 1, 0))
    assert got.failed == [HELD[3].instance]


@pytest.mark.parametrize(
    ("stored", "final", "said"),
    [
        (0x0000, 0x0000, (None, 3, 0, 0)),
        (0xB000, 0xB000, (None, 0, 0, 3)),
        (0xB006, 0xB000, (None, 0, 0, 3)),
        (0xB007, 0xB000, (None, 0, 0, 3)),
        (0xA700, 0xA702, (None, 0, 3, 0)),
        (0xA900, 0xA702, (None, 0, 3, 0)),
        (0xC000, 0xA702, (None, 0, 3, 0)),
        (0x0122, 0xA702, (None, 0, 3, 0)),
    ],
)
def test_the_status_of_the_sub_operations_decides(
    edge: Edge, stored: int, final: int, said: tuple[int | None, ...]
) -> None:
    """PS3.4 Table B.2-1 for each, Table C.4-3 for all: B000 unless all went well or all failed."""
    got = get(edge.port, PAIRS, keys=STUDY_1, on_store=lambda event: stored)
    assert (got.status, got.counts) == (final, said)
    assert len(got.failed) == (3 if final == 0xA702 else 0)


def test_an_unknown_destination_is_a801(edge: Edge, shelf: Shelf) -> None:
    """PS3.4 Table C.4-2: Refused: Move Destination unknown; and of a C-MOVE alone."""
    assert move(edge.port, "NOWHERE", keys=STUDY_1).status == 0xA801


def test_the_models_are_accepted_with_role_selection_of_storage(edge: Edge) -> None:
    """PS3.4 C.5.3.1: the requestor of a C-GET is SCP of Storage."""
    with associated(edge.port, STUDY_GET, PAIRS) as (assoc, _):
        taken = {one.abstract_syntax: one for one in assoc.accepted_contexts}
        assert set(taken) == {STUDY_GET, CT, SECONDARY_CAPTURE}
        assert (taken[CT].as_scp, taken[CT].as_scu) == (True, False)
        assert (taken[STUDY_GET].as_scp, taken[STUDY_GET].as_scu) == (False, True)
