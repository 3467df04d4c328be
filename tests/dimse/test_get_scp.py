"""C-GET: what is asked for comes back on the same association, bit for bit."""

from __future__ import annotations

import select
import socket
import struct
import time
import tracemalloc
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.archive import Archive, open_archive
from tests.dimse import wire
from tests.dimse.asker import PATIENT_GET, STUDY_GET, associated, counts, get, identifier
from tests.dimse.edge import Edge, wait_for
from tests.dimse.holding import PDUS, datasets, fill, of_every_syntax, pairs_of, served
from tests.dimse.puller import GET, Puller
from tests.dimse.test_peers import run
from tests.factories import BIG_ENDIAN, CT, EXPLICIT, IMPLICIT, SECONDARY_CAPTURE, ct, ct_of_bytes
from vna.access.principal import system
from vna.access.remotes import Remote
from vna.db.pool import Database
from vna.dicom.encode import encode_dataset
from vna.dimse.messages import Command, Field, cancel, request

Serve = Callable[..., Edge]
STUDY = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ct(1).study}


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        yield archive


@pytest.fixture
def edge(archive: Archive, serve: Serve) -> Edge:
    return served(archive, serve)


@pytest.mark.parametrize("pdu", PDUS)
def test_twelve_syntaxes_come_bit_for_bit_in_pdus_of_any_size(
    edge: Edge, archive: Archive, pdu: int
) -> None:
    made = of_every_syntax()
    fill(archive, *made)
    got = get(edge.port, pairs_of(made), keys=STUDY, pdu=pdu)
    assert got.status == 0
    assert got.counts == (None, 12, 0, 0)
    assert {uid: data for uid, (_, data) in got.objects.items()} == datasets(made)
    assert {uid: syntax for uid, (syntax, _) in got.objects.items()} == {
        one.instance: one.transfer_syntax for one in made
    }


@pytest.mark.parametrize(
    ("model", "keys", "wanted"),
    [
        ("-S", ["STUDY", "0020000D=1"], [(1, 1, 1), (1, 1, 2), (1, 2, 1)]),
        ("-S", ["SERIES", "0020000D=1", "0020000E=1.1"], [(1, 1, 1), (1, 1, 2)]),
        ("-S", ["IMAGE", "0020000D=1", "0020000E=1.1", "00080018=1.1.2"], [(1, 1, 2)]),
        ("-P", ["PATIENT", "00100020=P-0001"], [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]),
        ("-P", ["STUDY", "00100020=P-0001", "0020000D=2"], [(2, 1, 1)]),
        ("-O", ["PATIENT", "00100020=P-0002"], [(3, 1, 1)]),
        ("-O", ["STUDY", "00100020=P-0002", "0020000D=3"], [(3, 1, 1)]),
        ("-S", ["STUDY", "0020000D=1\\2"], [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]),
    ],
)
def test_getscu_gets_each_level_of_each_model(
    edge: Edge, archive: Archive, model: str, keys: list[str], wanted: list[tuple[int, int, int]]
) -> None:
    fill(archive, *(ct(*numbers) for numbers in [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]))
    fill(archive, ct(3, patient_id="P-0002"))
    out = archive.settings.data / "out"
    out.mkdir()
    said = [part for key in _with_uids(keys) for part in ("-k", key)]
    done = run(
        *("/usr/bin/getscu", "-v", "-B", "-od", str(out), model, "-aec", "VNA"),
        *(*said, "127.0.0.1", str(edge.port)),
    )
    assert done.returncode == 0, done.stderr
    found = {str(dcmread(path).SOPInstanceUID): path for path in out.iterdir()}
    assert sorted(found) == sorted(ct(*numbers).instance for numbers in wanted)
    for numbers in wanted:
        one = ct(*numbers, patient_id="P-0002" if numbers[0] == 3 else "P-0001")
        raw = found[one.instance].read_bytes()
        assert raw.endswith(one.dataset())
        assert len(raw) - len(one.dataset()) == _head_size(raw)


def _with_uids(keys: list[str]) -> list[str]:
    """Write keys of numbers as those of the tests' UIDs; the first is the level."""
    root = ct(1).study.rpartition(".")[0]
    level, *others = keys
    said = [f"0008,0052={level}"]
    for key in others:
        tag, _, value = key.partition("=")
        if not tag.startswith("0010"):
            value = "\\".join(f"{root}.{number}" for number in value.split("\\"))
        said.append(f"{tag[:4]},{tag[4:]}={value}")
    return said


def _head_size(raw: bytes) -> int:
    return 132 + 12 + int.from_bytes(raw[140:144], "little")


def test_every_answer_but_the_last_is_pending_and_counts(edge: Edge, archive: Archive) -> None:
    """PS3.4 C.4.3.3.1: Pending says Remaining, Completed, Failed and Warning."""
    fill(archive, *(ct(1, 1, number) for number in range(1, 6)))
    got = get(edge.port, [(CT, EXPLICIT)], keys=STUDY)
    *pending, last = got.answers
    assert {answer.Status for answer in pending} == {0xFF00}
    assert counts(pending[0]) == (5, 0, 0, 0)
    assert all(sum(counts(answer)) == 5 for answer in pending)  # type: ignore[arg-type]
    assert (last.Status, counts(last)) == (0, (None, 5, 0, 0))
    assert not any(got.identifiers)
    assert got.order == [ct(1, 1, number).instance for number in range(1, 6)]


def test_what_the_asker_refuses_or_warns_of_is_counted_and_listed(
    edge: Edge, archive: Archive
) -> None:
    """PS3.4 Table C.4-3: B000 when some failed; the failed ones stand in the list."""
    made = [ct(1, 1, number) for number in range(1, 5)]
    fill(archive, *made)
    answers = {made[1].instance: 0xA700, made[2].instance: 0xB000}
    got = get(
        edge.port,
        [(CT, EXPLICIT)],
        keys=STUDY,
        on_store=lambda event: answers.get(str(event.request.AffectedSOPInstanceUID), 0),
    )
    assert (got.status, got.counts) == (0xB000, (None, 2, 1, 1))
    assert got.failed == [made[1].instance]


def test_a_warning_alone_is_b000_without_a_list(edge: Edge, archive: Archive) -> None:
    fill(archive, ct(1))
    got = get(edge.port, [(CT, EXPLICIT)], keys=STUDY, on_store=lambda event: 0xB007)
    assert (got.status, got.counts, got.failed) == (0xB000, (None, 0, 0, 1), [])
    assert not got.identifiers[-1]


def test_a_class_without_a_context_fails_and_the_others_come(edge: Edge, archive: Archive) -> None:
    """PS3.4 C.4.3.3.1: without an appropriate Presentation Context a sub-operation has failed."""
    fill(archive, ct(1, 1, 1), ct(1, 1, 2, sop_class=SECONDARY_CAPTURE))
    got = get(edge.port, [(CT, EXPLICIT)], keys=STUDY)
    assert (got.status, got.counts) == (0xB000, (None, 1, 1, 0))
    assert got.failed == [ct(1, 1, 2).instance]


def test_without_role_selection_nothing_can_be_sent(edge: Edge, archive: Archive) -> None:
    fill(archive, ct(1))
    got = get(edge.port, [(CT, EXPLICIT)], keys=STUDY, roles=False)
    assert (got.status, got.counts, got.failed) == (0xA702, (None, 0, 1, 0), [ct(1).instance])
    eager = Puller(edge.port, GET, TAKES, roles=False)  # it would say it stored what came
    keys = {"00080052": "STUDY", "0020000D": ct(1).study}
    assert eager.ask(keys)[0] == 0xA702
    eager.close()


@pytest.mark.parametrize("stored", [IMPLICIT, EXPLICIT, BIG_ENDIAN, "1.2.840.10008.1.2.1.99"])
@pytest.mark.parametrize("taken", [IMPLICIT, EXPLICIT])
def test_what_is_not_taken_as_stored_is_rewritten(
    edge: Edge, archive: Archive, stored: str, taken: str
) -> None:
    one = ct(1, transfer_syntax=stored)
    fill(archive, one)
    got = get(edge.port, [(CT, taken)], keys=STUDY)
    assert (got.status, got.counts) == (0, (None, 1, 0, 0))
    syntax, data = got.objects[one.instance]
    assert syntax == taken
    pixels = one.elements()[-1][2]
    if stored == BIG_ENDIAN:
        words = array("H", pixels)
        words.byteswap()
        pixels = words.tobytes()
    assert data == ct(1, transfer_syntax=taken, pixels=pixels).dataset()


def test_no_match_is_a_success_of_nothing(edge: Edge) -> None:
    got = get(edge.port, [(CT, EXPLICIT)], keys={**STUDY, "StudyInstanceUID": "1.2.3"})
    assert (got.status, got.counts) == (0, (None, 0, 0, 0))
    assert len(got.answers) == 1


@pytest.mark.parametrize(
    "keys",
    [
        {"StudyInstanceUID": "1.2"},
        {"QueryRetrieveLevel": "PATIENT", "PatientID": "P-0001"},
        {"QueryRetrieveLevel": "STUDY"},
        {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""},
        {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "1.2"},
        {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3"},
        {
            "QueryRetrieveLevel": "SERIES",
            "StudyInstanceUID": ["1.2", "1.3"],
            "SeriesInstanceUID": "1.4",
        },
    ],
    ids=["no level", "other level", "no key", "empty key", "no key above", "below", "two above"],
)
def test_an_identifier_that_does_not_match_the_model_is_a900(
    edge: Edge, keys: dict[str, Any]
) -> None:
    got = get(edge.port, [(CT, EXPLICIT)], keys=keys)
    assert got.status == 0xA900
    assert got.answers[-1].ErrorComment


def test_relational_retrieval_needs_no_keys_above(edge: Edge, archive: Archive) -> None:
    """PS3.4 C.4.3.3.2.1, and only where it was negotiated."""
    fill(archive, ct(1, 1, 1), ct(1, 1, 2), ct(2, 1, 1))
    keys = {"QueryRetrieveLevel": "IMAGE", "SOPInstanceUID": [ct(1, 1, 2).instance, ct(2).instance]}
    got = get(edge.port, [(CT, EXPLICIT)], keys=keys, relational=True)
    assert (got.status, sorted(got.order)) == (0, sorted([ct(1, 1, 2).instance, ct(2).instance]))
    assert get(edge.port, [(CT, EXPLICIT)], keys=keys).status == 0xA900


def test_patient_root_keys_above_must_agree(edge: Edge, archive: Archive) -> None:
    fill(archive, ct(1))
    keys = {**STUDY, "PatientID": "P-0002"}
    got = get(edge.port, [(CT, EXPLICIT)], model=PATIENT_GET, keys=keys)
    assert (got.status, got.order) == (0, [])


def test_a_cancel_stops_it_between_two_objects(edge: Edge, archive: Archive) -> None:
    """PS3.4 C.4.3.3.1: FE00, with the sub-operations that were not begun as Remaining."""
    fill(archive, *(ct(1, 1, number) for number in range(1, 21)))
    with associated(edge.port, STUDY_GET, [(CT, EXPLICIT)], on_store=_cancelling) as (assoc, got):
        for status, ds in assoc.send_c_get(identifier(**STUDY), STUDY_GET, msg_id=9):
            got.answers.append(status)
            got.identifiers.append(ds)
        assert assoc.is_established
    assert got.status == 0xFE00
    remaining, completed, failed, warning = got.counts
    assert (failed, warning, remaining + completed) == (0, 0, 20)  # type: ignore[operator]
    assert 1 <= completed <= 3  # type: ignore[operator]
    assert len(got.order) == completed


def test_a_cancel_of_another_request_stops_nothing(edge: Edge, archive: Archive) -> None:
    """PS3.7 9.3.3.3: it names the request it is about."""
    fill(archive, *(ct(1, 1, number) for number in range(1, 6)))
    stores = partial(_cancelling, request=8)
    with associated(edge.port, STUDY_GET, [(CT, EXPLICIT)], on_store=stores) as (assoc, got):
        for status, _ in assoc.send_c_get(identifier(**STUDY), STUDY_GET, msg_id=9):
            got.answers.append(status)
    assert (got.status, got.counts) == (0, (None, 5, 0, 0))


def _cancelling(event: Any, *, request: int = 9) -> int:
    if event.assoc.is_established and event.request.MessageID == 1:
        event.assoc.send_c_cancel(request, query_model=STUDY_GET)
    return 0


def test_a_damaged_object_fails_and_the_others_come(edge: Edge, archive: Archive) -> None:
    made = [ct(1, 1, number, rows=100, columns=100) for number in range(1, 4)]
    fill(archive, *made)
    _damage(archive, made[1].instance)
    got = get(edge.port, [(CT, EXPLICIT)], keys=STUDY)
    assert (got.status, got.counts) == (0xB000, (None, 2, 1, 0))
    assert got.failed == [made[1].instance]
    assert got.order == [made[0].instance, made[2].instance]


def test_an_object_damaged_far_inside_ends_the_association(edge: Edge, archive: Archive) -> None:
    """What was sent of it cannot be taken back, so the data set is never ended."""
    one = ct_of_bytes(3 << 20)
    fill(archive, one)
    _damage(archive, one.instance, at=2 << 20)
    got = get(edge.port, [(CT, EXPLICIT)], keys=STUDY)
    assert got.order == []
    assert "Status" not in got.answers[-1]  # pynetdicom's word for an association that ended
    assert list(got.objects) == []
    wait_for(lambda: len(edge.acceptor) == 0)


def _damage(archive: Archive, instance: str, *, at: int = 5000) -> None:
    with archive.database.reading() as conn:
        row = conn.execute(
            "SELECT blob_id FROM instance WHERE sop_instance_uid = %s", (instance,)
        ).fetchone()
    assert row is not None
    (path,) = archive.settings.data.rglob(f"*{_uuid(bytes(row[0]))}.vnb")
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"damage")


def _uuid(blob_id: bytes) -> str:
    text = blob_id.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def test_more_than_may_be_asked_for_is_a701(
    tmp_path: Path, database: Database, serve: Serve
) -> None:
    """PS3.4 Table C.4-3: out of resources, unable to calculate the number of matches."""
    with open_archive(tmp_path, database, limits={"retrieve_instances": 2}) as archive:
        fill(archive, *(ct(1, 1, number) for number in (1, 2, 3)))
        edge = served(archive, serve)
        got = get(edge.port, [(CT, EXPLICIT)], keys=STUDY)
        assert (got.status, got.order) == (0xA701, [])
        edge.close()


def test_who_may_not_retrieve_is_told_so(archive: Archive, edge: Edge) -> None:
    """PS3.7 C.5.19."""
    fill(archive, ct(1))
    barred = Remote(ae_title="BARRED", host="127.0.0.1", port=104, may_move=False)
    archive.remotes.add(system("test"), barred)
    got = get(edge.port, [(CT, EXPLICIT)], keys=STUDY, calling="BARRED")
    assert (got.status, got.order) == (0x0124, [])


def test_a_retrieval_is_two_rows_of_the_trail(archive: Archive, edge: Edge) -> None:
    fill(archive, ct(1, 1, 1), ct(1, 1, 2))
    get(edge.port, [(CT, EXPLICIT)], keys=STUDY)
    archive.audit.flush()
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT kind, outcome, study, detail FROM audit"
            " WHERE kind IN ('read', 'sent') ORDER BY kind"
        ).fetchall()
    (read, sent) = rows
    assert read[:3] == ("read", "first", ct(1).study)
    assert (read[3]["what"], read[3]["count"]) == ("get", 2)
    assert sent[:3] == ("sent", "done", ct(1).study)
    assert (sent[3]["to"], sent[3]["completed"], sent[3]["failures"]) == ("ASKER", 2, [])


class Slow(Puller):
    """An asker that reads by hand: as much as a test wants, and answers what it wants."""

    def begin(self) -> None:
        """Ask for the study."""
        keys = {"00080052": "STUDY", "0020000D": ct(1).study}
        elements = {tag: {"vr": "UI", "Value": [value]} for tag, value in keys.items()}
        data = encode_dataset(elements, explicit=False)
        self._sock.sendall(self._layer.message(1, request(Field.C_GET, 1, GET), data))

    def command(self) -> Command:
        """Read a message; return its command."""
        return self._command()

    def send(self, context_id: int, command: bytes) -> None:
        """Send a command."""
        self._sock.sendall(self._layer.message(context_id, command))

    @property
    def sock(self) -> socket.socket:
        """The connection."""
        return self._sock


TAKES = (CT, EXPLICIT)


def test_an_asker_that_stops_reading_is_given_up(
    tmp_path: Path, database: Database, serve: Serve
) -> None:
    """The association ends when too little is taken of it; others go on meanwhile."""
    with open_archive(tmp_path, database) as archive:
        fill(archive, ct_of_bytes(16 << 20))
        edge = served(archive, serve, response_s=1.0)
        slow = Slow(edge.port, GET, TAKES)
        slow.begin()
        other = Puller(edge.port, GET, TAKES)
        keys = {"00080052": "STUDY", "0020000D": ct(1).study}
        assert other.ask(keys)[0] == 0
        wait_for(lambda: len(edge.acceptor) == 1, 20)
        other.close()
        slow.sock.close()
        edge.close()


def test_an_asker_that_never_answers_is_given_up(
    tmp_path: Path, database: Database, serve: Serve
) -> None:
    with open_archive(tmp_path, database) as archive:
        fill(archive, ct(1))
        edge = served(archive, serve, response_s=0.5, slow_window_s=0.5)
        slow = Slow(edge.port, GET, TAKES)
        slow.begin()
        assert slow.command().status == 0xFF00
        assert slow.command().field == Field.C_STORE
        kind, _ = wire.answer(slow.sock)
        assert kind == 7
        slow.sock.close()
        edge.close()


def test_an_asker_that_cancels_another_request_again_and_again_is_given_up(
    tmp_path: Path, database: Database, serve: Serve
) -> None:
    """What is no answer wins no time: the association would stand, and its retrieval, for ever."""
    with open_archive(tmp_path, database) as archive:
        fill(archive, ct(1))
        edge = served(archive, serve, response_s=1.0, slow_window_s=0.5)
        slow = Slow(edge.port, GET, TAKES)
        slow.begin()
        assert slow.command().status == 0xFF00
        assert slow.command().field == Field.C_STORE
        until = time.monotonic() + 20
        while not select.select([slow.sock], [], [], 0.2)[0]:
            assert time.monotonic() < until, "it was waited for on and on"
            slow.send(1, cancel(77))
        assert wire.answer(slow.sock)[0] == 7
        slow.sock.close()
        edge.close()


@pytest.mark.parametrize("offset", [0, 1, 5, 6, 11, 12, 13, 100, 700, 4000, 70_000, 400_000])
def test_an_asker_that_is_reset_anywhere_leaves_nothing_behind(
    edge: Edge, archive: Archive, offset: int
) -> None:
    fill(archive, ct_of_bytes(1 << 20))
    slow = Slow(edge.port, GET, TAKES)
    slow.begin()
    left = offset
    while left:
        left -= len(slow.sock.recv(min(left, 65536)))
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    slow.sock.close()
    wait_for(lambda: len(edge.acceptor) == 0)
    assert get(edge.port, [TAKES], keys=STUDY).status == 0


@pytest.mark.parametrize(
    "message",
    [
        (1, request(Field.C_ECHO, 2, wire.VERIFICATION, has_data_set=False)),
        (3, request(Field.C_STORE, 2, CT, sop_instance="1.2.3")),
        (1, b"\xff" * 20),
    ],
    ids=["request", "store", "nonsense"],
)
def test_another_message_than_the_response_ends_the_association(
    edge: Edge, archive: Archive, message: tuple[int, bytes]
) -> None:
    """One operation at a time is negotiated (PS3.7 D.3.3.3): A-ABORT, and the archive lives."""
    fill(archive, ct(1))
    slow = Slow(edge.port, GET, TAKES)
    slow.begin()
    assert slow.command().status == 0xFF00
    assert slow.command().field == Field.C_STORE
    slow.send(*message)
    kind, body = wire.answer(slow.sock)
    assert (kind, body[2]) == (7, 2)
    slow.sock.close()
    assert get(edge.port, [TAKES], keys=STUDY).status == 0


def test_memory_does_not_grow_with_the_object(edge: Edge, archive: Archive) -> None:
    """64 MiB go out through buffers of about two."""
    fill(archive, ct_of_bytes(64 << 20))
    asker = Puller(edge.port, GET, TAKES)
    keys = {"00080052": "STUDY", "0020000D": ct(1).study}
    assert asker.ask(keys)[0] == 0
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        assert asker.ask(keys)[0] == 0
        assert tracemalloc.get_traced_memory()[1] - before < 4 << 20
    finally:
        tracemalloc.stop()
    asker.close()
