"""Every DIMSE service, asked by every sort of AE, about what is there and what is withheld.

The services come from the table that serves them: a new one without a row here fails the build.
What an association that is open loses meanwhile stands in `test_standing`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association

from tests.archive import Archive, open_archive
from tests.dimse import wire
from tests.dimse.asker import (
    PATIENT_GET,
    PATIENT_MOVE,
    STUDY_GET,
    STUDY_MOVE,
    counts,
    identifier,
)
from tests.dimse.committer import PUSH, WELL_KNOWN, action, pairs
from tests.dimse.edge import Edge
from tests.dimse.holding import fill, served
from tests.factories import CT, EXPLICIT, Instance, ct
from vna.access import labels as access_labels
from vna.access import roles
from vna.access.principal import Action, Label, system
from vna.access.remotes import Remote
from vna.db.pool import Database
from vna.dicom.refs import uid
from vna.dimse.messages import Field
from vna.dimse.scps import services
from vna.dimse.sop_classes import PATIENT_ROOT_FIND, VERIFICATION

ROOT = Path(__file__).resolve().parents[2]
WHO = system("test")
OPEN, SECRET, NOWHERE = ct(1, patient_id="P-1"), ct(2, patient_id="P-2"), ct(9, patient_id="P-9")
SUCCESS, REFUSED = 0x0000, 0x0124  # PS3.7 C.5.19: Refused: Not Authorized
FINDS = (wire.STUDY_FIND, PATIENT_ROOT_FIND)
GETS, MOVES = (STUDY_GET, PATIENT_GET), (STUDY_MOVE, PATIENT_MOVE)

# Command Field -> the action its engine asks for; None is for everybody who may associate
NEEDED: dict[int, Action | None] = {
    Field.C_ECHO: None,
    Field.C_STORE: Action.STORE,
    Field.C_FIND: Action.QUERY,
    Field.C_MOVE: Action.RETRIEVE,
    Field.C_GET: Action.RETRIEVE,
    Field.N_ACTION: Action.COMMIT,
    Field.N_EVENT_REPORT: None,  # of what we asked for ourselves: nobody's to ask
}
TITLES = ("NONE", "S", "F", "M", "SF", "SM", "FM", "SFM")  # may store, find, move


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_labels, "LOOK_S", -1.0)


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        fill(archive, OPEN, SECRET)
        archive.labels.put(WHO, uid(SECRET.study), Label.SENSITIVE, reason="a test")
        for title in TITLES:
            rights = {"may_store": "S" in title, "may_find": "F" in title, "may_move": "M" in title}
            if title == "NONE":
                rights = dict.fromkeys(rights, False)
            archive.remotes.add(WHO, Remote(ae_title=title, host="127.0.0.1", port=1, **rights))
        yield archive


@contextmanager
def calling(edge: Edge, title: str, got: list[str] | None = None) -> Iterator[Association]:
    """Open an association for every service."""

    def store(event: Any) -> int:
        if got is not None:
            got.append(str(event.request.AffectedSOPInstanceUID))
        return SUCCESS

    ae = AE(ae_title=title)
    for model in (VERIFICATION, CT, *FINDS, *GETS, *MOVES, PUSH):
        ae.add_requested_context(model, EXPLICIT)
    both = build_role(CT, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_STORE, store)]
    assoc = ae.associate("127.0.0.1", edge.port, ext_neg=[both], evt_handlers=handlers)
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def turned_away(edge: Edge, title: str) -> bool:
    """Whether it is told that its AE title is not known, by hand.

    pynetdicom takes a rejection for a connection never made when it comes before it looked.
    """
    with edge.connect() as sock:
        sock.sendall(wire.associate(calling=title))
        return wire.answer(sock) == (3, bytes((0, 1, 1, 3)))  # PS3.8 9.3.4


def test_every_service_has_its_row(archive: Archive) -> None:
    engines: Any = archive
    assert set(services(engines, archive.settings)) == set(NEEDED)


def test_each_service_asks_each_sort_of_ae_for_its_action(
    archive: Archive, serve: Callable[..., Edge]
) -> None:
    edge = served(archive, serve, dev=False, labels=archive.people.labels)
    for number, title in enumerate(TITLES, 1):
        may = archive.remotes.find(title).actions  # type: ignore[union-attr]  # it was added
        got: list[str] = []
        with calling(edge, title, got) as assoc:
            assert assoc.is_established
            assert int(assoc.send_c_echo().Status) == SUCCESS
            require_stores(assoc, number, may=Action.STORE in may)
            require_finds(assoc, may=Action.QUERY in may)
            require_gets(assoc, got, may=Action.RETRIEVE in may)
            require_moves(assoc, title, may=Action.RETRIEVE in may)
            require_commitment(assoc, may=Action.COMMIT in may)
            status, _ = assoc.send_n_event_report(
                action(pairs(OPEN)), 1, PUSH, WELL_KNOWN, meta_uid=None
            )
            assert int(status.Status) != SUCCESS
    assert turned_away(edge, "NOBODY")
    assert not turned_away(edge, "FM")
    archive.remotes.remove(WHO, "FM")
    assert turned_away(edge, "FM")


def test_the_role_of_aes_narrows_what_each_was_given(
    archive: Archive, serve: Callable[..., Edge], tmp_path: Path
) -> None:
    """One place says what none of them may, whatever `vna remote` gave it."""
    shipped = (ROOT / "conf" / "roles.toml").read_text()
    own = shipped.replace('"store", "query", "retrieve", "commit"]\nreach', '"query"]\nreach')
    file = tmp_path / "roles.toml"
    file.write_text(own)
    assert roles.load(str(file)).ae.actions == {Action.QUERY}
    edge = served(archive, serve, dev=False, labels=archive.people.labels, roles=str(file))
    got: list[str] = []
    with calling(edge, "SFM", got) as assoc:
        require_stores(assoc, 1, may=False)
        require_finds(assoc, may=True)
        require_gets(assoc, got, may=False)
        require_moves(assoc, "SFM", may=False)
        require_commitment(assoc, may=False)


def require_stores(assoc: Association, number: int, *, may: bool) -> None:
    """What belongs to a withheld study still comes in."""
    for study in (1, 2):
        one = ct(study, 1, 100 + number, patient_id=f"P-{study}")
        ds = dcmread(io.BytesIO(one.part10()))
        assert int(assoc.send_c_store(ds).Status) == (SUCCESS if may else REFUSED), study


def asked(one: Instance, model: str) -> Dataset:
    keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": one.study}
    if model not in (wire.STUDY_FIND, STUDY_GET, STUDY_MOVE):
        keys["PatientID"] = one.patient_id
    return identifier(**keys)


def require_finds(assoc: Association, *, may: bool) -> None:
    for model in FINDS:
        for one in (OPEN, SECRET, NOWHERE):
            answers = list(assoc.send_c_find(asked(one, model), model))
            assert int(answers[-1][0].Status) == (SUCCESS if may else REFUSED), model
            found = [ds.StudyInstanceUID for _, ds in answers if ds is not None]
            assert found == ([one.study] if may and one is OPEN else []), model


def require_gets(assoc: Association, got: list[str], *, may: bool) -> None:
    for model in GETS:
        for one in (OPEN, SECRET, NOWHERE):
            got.clear()
            status = list(assoc.send_c_get(asked(one, model), model))[-1][0]
            assert int(status.Status) == (SUCCESS if may else REFUSED), model
            assert (one.instance in got) == (may and one is OPEN), model
            assert (may and one is OPEN) or not got, model


def require_moves(assoc: Association, to: str, *, may: bool) -> None:
    """Nobody listens at the destination: what would be sent fails, and is counted."""
    for model in MOVES:
        for one in (OPEN, SECRET, NOWHERE):
            status = list(assoc.send_c_move(asked(one, model), to, model))[-1][0]
            if may and one is OPEN:
                assert int(status.Status) == 0xA702
                assert status.NumberOfFailedSuboperations
            else:
                assert int(status.Status) == (SUCCESS if may else REFUSED), model
                assert not any(counts(status)), model


def require_commitment(assoc: Association, *, may: bool) -> None:
    for one in (OPEN, SECRET):
        asked = action(pairs(one), generate_uid(None))
        status, _ = assoc.send_n_action(asked, 1, PUSH, WELL_KNOWN)
        assert int(status.Status) == (SUCCESS if may else REFUSED)
