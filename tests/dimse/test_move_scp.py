"""C-MOVE: what is asked for goes to a registered AE, whatever that one does."""

from __future__ import annotations

import dataclasses
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pynetdicom import AE, evt

from tests.archive import Archive, open_archive
from tests.dimse import wire
from tests.dimse.asker import PATIENT_MOVE, STUDY_MOVE, associated, counts, identifier, move
from tests.dimse.edge import Edge, wait_for
from tests.dimse.holding import PDUS, datasets, fill, of_every_syntax, served
from tests.dimse.shelf import Shelf, refused
from tests.dimse.shelf import served as shelved
from tests.dimse.test_peers import run
from tests.factories import (
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    compressed,
    ct,
    ct_of_bytes,
    header,
    jpeg,
    writing,
)
from tests.flows.serving import free_port
from vna.access.principal import system
from vna.access.remotes import Remote
from vna.config import Limits
from vna.db.pool import Database
from vna.dicom.rewrite import evened
from vna.dimse import retrieve_scp
from vna.dimse.messages import (
    SUCCESS,
    Command,
    DataSetPart,
    Field,
    Messages,
    Status,
    decode_command,
    request,
    response,
)
from vna.dimse.pdu import (
    AnsweredContext,
    AssociateAccept,
    UserInformation,
    decode_request,
    encode_accept,
)
from vna.dimse.upper_layer import Fragment
from vna.ingest.outcome import Cause, Caution, Outcome, Refused, Stored

Serve = Callable[..., Edge]
STUDY = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ct(1).study}
SERIES = {
    "QueryRetrieveLevel": "SERIES",
    "StudyInstanceUID": ct(1).study,
    "SeriesInstanceUID": ct(1).series,
}


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database, dicom={"response_s": 2.0}) as archive:
        yield archive


@pytest.fixture
def edge(archive: Archive, serve: Serve) -> Edge:
    return served(archive, serve)


def register(archive: Archive, title: str, port: int, **differs: Any) -> None:
    remote = Remote(ae_title=title, host="127.0.0.1", port=port, **differs)
    archive.remotes.add(system("test"), remote)


def shelf_at(
    archive: Archive, serve: Serve, answer: Callable[[], Outcome] | None = None, **options: Any
) -> Shelf:
    """Register DEST, a Storage SCP that keeps the bytes it is sent."""
    shelf = Shelf(answer) if answer else Shelf()
    edge = serve(shelved(ingest=shelf), **options)
    register(archive, "DEST", edge.port)
    return shelf


@pytest.mark.parametrize("pdu", PDUS)
def test_twelve_syntaxes_arrive_bit_for_bit_in_pdus_of_any_size(
    edge: Edge, archive: Archive, serve: Serve, pdu: int
) -> None:
    made = of_every_syntax()
    fill(archive, *made)
    shelf = shelf_at(archive, serve, max_pdu_bytes=pdu)
    got = move(edge.port, "DEST", keys=STUDY)
    assert (got.status, got.counts) == (0, (None, 12, 0, 0))
    assert {t.expected.sop_instance: bytes(t.data) for t in shelf.taken} == datasets(made)
    assert {t.expected.sop_instance: t.transfer_syntax for t in shelf.taken} == {
        one.instance: one.transfer_syntax for one in made
    }
    assert {t.source.calling_ae for t in shelf.taken} == {"VNA"}


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """Run DCMTK's storescp on a free port until the end."""
    folder.mkdir()
    port = free_port()
    command = ["/usr/bin/storescp", "-od", str(folder), *options, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("model", "keys", "wanted"),
    [
        ("-S", {"0020,000D": ct(1).study}, [(1, 1, 1), (1, 1, 2), (1, 2, 1)]),
        ("-S", {"0020,000D": ct(1).study, "0020,000E": ct(1).series}, [(1, 1, 1), (1, 1, 2)]),
        (
            "-S",
            {
                "0020,000D": ct(1).study,
                "0020,000E": ct(1).series,
                "0008,0018": "\\".join(ct(1, 1, n).instance for n in (1, 2)),
            },
            [(1, 1, 1), (1, 1, 2)],
        ),
        ("-P", {"0010,0020": "P-0001"}, [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]),
        ("-O", {"0010,0020": "P-0001", "0020,000D": ct(2).study}, [(2, 1, 1)]),
    ],
    ids=["study", "series", "images", "patient", "patient study only"],
)
def test_movescu_moves_each_level_to_storescp(
    edge: Edge,
    archive: Archive,
    model: str,
    keys: dict[str, str],
    wanted: list[tuple[int, int, int]],
) -> None:
    fill(archive, *(ct(*numbers) for numbers in [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]))
    levels = {"0010,0020": "PATIENT", "0020,000D": "STUDY", "0020,000E": "SERIES"}
    level = levels.get([*keys][-1], "IMAGE")
    said = [part for tag, value in keys.items() for part in ("-k", f"{tag}={value}")]
    folder = archive.settings.data / "out"
    with storescp(folder, "-B") as port:
        register(archive, "STORESCP", port)
        done = run(
            *("/usr/bin/movescu", "-v", model, "-aec", "VNA", "-aem", "STORESCP"),
            *("-k", f"0008,0052={level}", *said, "127.0.0.1", str(edge.port)),
        )
        assert done.returncode == 0, done.stderr
    found = {str(dcmread(path).SOPInstanceUID): path.read_bytes() for path in folder.iterdir()}
    assert sorted(found) == sorted(ct(*numbers).instance for numbers in wanted)
    assert all(found[ct(*n).instance].endswith(ct(*n).dataset()) for n in wanted)


@pytest.mark.parametrize("pdu", ["4096", "131072"])
def test_storescp_that_reads_only_implicit_vr_gets_it(
    edge: Edge, archive: Archive, pdu: str
) -> None:
    one = ct(1, rows=200, columns=200)
    fill(archive, one)
    folder = archive.settings.data / "out"
    with storescp(folder, "-B", "+xi", "-pdu", pdu) as port:
        register(archive, "OLD", port)
        assert move(edge.port, "OLD", keys=STUDY).counts == (None, 1, 0, 0)
    (path,) = folder.iterdir()
    assert path.read_bytes().endswith(
        ct(1, rows=200, columns=200, transfer_syntax=IMPLICIT).dataset()
    )


@pytest.mark.parametrize(
    ("syntax", "last"),
    [
        (EXPLICIT, header("7FE00010", "OB", 3) + b"abc"),
        (EXPLICIT, header("00104000", "LT", 3) + b"abc"),
        (IMPLICIT, header("7FE00010", "OW", 3, writing(IMPLICIT)) + b"abc"),
        (DEFLATED, b""),
    ],
    ids=["pixels", "text", "implicit", "deflated"],
)
def test_what_came_with_an_odd_number_of_bytes_goes_out_with_an_even_one(
    edge: Edge, archive: Archive, syntax: str, last: bytes
) -> None:
    """PS3.5 7.1.1 and A.5; DCMTK ends an association at a fragment of odd length."""
    one = ct(1, transfer_syntax=syntax)
    whole = one.dataset()
    if last:
        data = whole[: whole.rindex(header("7FE00010", "OW", 512, one.how))] + last
    else:
        data = whole.rstrip(b"\0") if len(whole.rstrip(b"\0")) % 2 else whole + b"\0"
    assert len(data) % 2
    taken = archive.take_dataset(data, syntax, sop_class=CT, sop_instance=one.instance)
    assert not isinstance(taken, Refused)
    folder = archive.settings.data / "out"
    with storescp(folder, "+xd" if syntax == DEFLATED else "+xa") as port:
        register(archive, "DEST", port)
        assert move(edge.port, "DEST", keys=STUDY).counts == (None, 1, 0, 0)
    (path,) = folder.iterdir()
    found = dcmread(path)
    assert found.file_meta.TransferSyntaxUID == syntax
    assert not last or found[_tag(last)].value in (b"abc\0", "abc")


@pytest.mark.parametrize(("count", "table"), [(3, b""), (1, b""), (1, bytes(4))])
def test_odd_fragments_go_out_even(edge: Edge, archive: Archive, count: int, table: bytes) -> None:
    """PS3.5 A.4: a fragment has an even length."""
    frames = [jpeg(number) + b"x" for number in range(1, count + 1)]
    one = dataclasses.replace(
        compressed([[frame] for frame in frames]), pixel_element=odd_fragments(frames, table)
    )
    assert len(one.dataset()) % 2
    fill(archive, one)
    folder = archive.settings.data / "out"
    with storescp(folder, "+xa") as port:
        register(archive, "DEST", port)
        assert move(edge.port, "DEST", keys=STUDY).counts == (None, 1, 0, 0)
    (path,) = folder.iterdir()
    found = dcmread(path).PixelData
    assert list(generate_frames(found, number_of_frames=count)) == [f + b"\0" for f in frames]


def test_fragments_a_table_speaks_of_stay_where_they_are() -> None:
    frames = [jpeg(number) + b"x" for number in range(1, 4)]
    table = struct.pack("<3I", 0, len(frames[0]) + 8, 2 * (len(frames[0]) + 8))
    pixels = odd_fragments(frames, table)
    assert b"".join(evened(iter([pixels]), JPEG, Limits())) == pixels


def odd_fragments(frames: list[bytes], table: bytes) -> bytes:
    """Write encapsulated Pixel Data as it comes, a fragment a frame."""
    items = b"".join(header("FFFEE000", "", len(item)) + item for item in (table, *frames))
    return header("7FE00010", "OB", 0xFFFFFFFF) + items + header("FFFEE0DD", "", 0)


def _tag(element: bytes) -> int:
    """The tag of an element, written little endian."""
    group, number = struct.unpack_from("<HH", element)
    return int(group << 16 | number)


def test_dcmqrscp_takes_a_study_and_has_it_then(edge: Edge, archive: Archive) -> None:
    fill(archive, ct(1, 1, 1), ct(1, 1, 2))
    folder = archive.settings.data / "qr"
    folder.mkdir()
    port = free_port()
    config = archive.settings.data / "dcmqrscp.cfg"
    config.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 4\n"
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQR {folder} RW (9, 1024mb) ANY\nAETable END\n"
    )
    command = ["/usr/bin/dcmqrscp", "-c", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _listens(port))
        register(archive, "QR", port)
        got = move(edge.port, "QR", keys=STUDY)
        assert (got.status, got.counts) == (0, (None, 2, 0, 0))
        found = run(
            *("/usr/bin/findscu", "-S", "-aec", "QR", "-k", "QueryRetrieveLevel=IMAGE"),
            *("-k", f"StudyInstanceUID={ct(1).study}", "-k", f"SeriesInstanceUID={ct(1).series}"),
            *("-k", "SOPInstanceUID", "127.0.0.1", str(port)),
        )
        said = found.stdout + found.stderr
        assert all(ct(1, 1, number).instance in said for number in (1, 2)), said
    finally:
        process.terminate()
        process.wait(10)


def test_the_asker_is_named_in_every_request(edge: Edge, archive: Archive) -> None:
    """PS3.7 9.1.1.1.9: Move Originator AE Title and Message ID, and the priority of the C-MOVE."""
    fill(archive, ct(1, 1, 1), ct(1, 1, 2))
    seen: list[tuple[str, int, int, int]] = []

    def store(event: Any) -> int:
        asked = event.request
        originator = asked.MoveOriginatorApplicationEntityTitle
        seen.append((originator, asked.MoveOriginatorMessageID, asked.Priority, asked.MessageID))
        return 0

    ae = AE(ae_title="DEST")
    ae.add_supported_context(CT, EXPLICIT)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        register(archive, "DEST", server.server_address[1])
        with associated(edge.port, STUDY_MOVE, calling="WS1") as (assoc, _):
            answers = assoc.send_c_move(identifier(**STUDY), "DEST", STUDY_MOVE, 77, 1)
            assert [status.Status for status, _ in answers][-1] == 0
    finally:
        server.shutdown()
    assert seen == [("WS1", 77, 1, 1), ("WS1", 77, 1, 2)]


def test_pending_answers_count_down(edge: Edge, archive: Archive, serve: Serve) -> None:
    """PS3.4 C.4.2.3.1."""
    fill(archive, *(ct(1, 1, number) for number in range(1, 6)))
    shelf_at(archive, serve)
    got = move(edge.port, "DEST", keys=STUDY)
    *pending, last = got.answers
    assert {answer.Status for answer in pending} == {0xFF00}
    assert counts(pending[0]) == (5, 0, 0, 0)
    assert (last.Status, counts(last)) == (0, (None, 5, 0, 0))


def test_the_asker_is_told_now_and_then_while_one_object_takes_long(
    edge: Edge, archive: Archive, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PS3.4 C.4.2.3.1: an asker that hears nothing for long would give up on a large object."""
    monkeypatch.setattr(retrieve_scp, "_SILENCE_S", 0.1)
    fill(archive, ct(1, 1, 1), ct(1, 1, 2))
    patient = threading.Event()

    def slowly() -> Outcome:
        assert patient.wait(10)
        return Stored(ref=None, sop_class=CT)  # type: ignore[arg-type]

    shelf_at(archive, serve, slowly)
    with associated(edge.port, STUDY_MOVE) as (assoc, got):
        answers = assoc.send_c_move(identifier(**STUDY), "DEST", STUDY_MOVE, 9)
        got.answers += [next(answers)[0] for _ in range(4)]
        assert {counts(answer) for answer in got.answers} == {(2, 0, 0, 0)}
        assert {answer.Status for answer in got.answers} == {0xFF00}
        patient.set()
        got.answers += [status for status, _ in answers]
    assert (got.status, got.counts) == (0, (None, 2, 0, 0))


def test_an_unknown_destination_is_a801(edge: Edge, archive: Archive) -> None:
    """PS3.4 Table C.4-2: Refused: Move Destination unknown."""
    fill(archive, ct(1))
    got = move(edge.port, "NOBODY", keys=STUDY)
    assert (got.status, got.counts) == (0xA801, (None, None, None, None))


def test_a_destination_the_caller_may_not_send_to_is_unknown_to_it(
    edge: Edge, archive: Archive, serve: Serve
) -> None:
    fill(archive, ct(1))
    shelf = shelf_at(archive, serve)
    register(archive, "WS1", 104, destinations=("WS1",))
    assert move(edge.port, "DEST", keys=STUDY, calling="WS1").status == 0xA801
    assert shelf.taken == []
    register(archive, "WS1", 104, destinations=("WS1", "DEST"))
    assert move(edge.port, "DEST", keys=STUDY, calling="WS1").status == 0


def test_warnings_and_failures_are_counted_and_listed(
    edge: Edge, archive: Archive, serve: Serve
) -> None:
    made = [ct(1, 1, number) for number in range(1, 5)]
    fill(archive, *made)
    outcomes: list[Outcome] = [
        Stored(ref=None, sop_class=CT),  # type: ignore[arg-type]  # nothing looks at it
        refused(Cause.CANNOT_UNDERSTAND),
        Stored(ref=None, sop_class=CT, caution=Caution.DIFFERS),  # type: ignore[arg-type]
        refused(Cause.OUT_OF_RESOURCES),
    ]
    answers = iter(outcomes)
    shelf_at(archive, serve, lambda: next(answers))
    got = move(edge.port, "DEST", keys=STUDY)
    assert (got.status, got.counts) == (0xB000, (None, 1, 2, 1))
    assert got.failed == [made[1].instance, made[3].instance]


def test_when_all_fail_it_is_a702(edge: Edge, archive: Archive, serve: Serve) -> None:
    """PS3.4 Table C.4-2: unable to perform sub-operations, with the list."""
    made = [ct(1, 1, number) for number in (1, 2)]
    fill(archive, *made)
    shelf_at(archive, serve, lambda: refused(Cause.FAILED))
    got = move(edge.port, "DEST", keys=STUDY)
    assert (got.status, got.counts) == (0xA702, (None, 0, 2, 0))
    assert got.failed == [one.instance for one in made]


def test_a_destination_that_is_down_fails_all_with_a_list(edge: Edge, archive: Archive) -> None:
    made = [ct(1, 1, number) for number in range(1, 41)]
    fill(archive, *made)
    register(archive, "DOWN", free_port())
    got = move(edge.port, "DOWN", keys=STUDY)
    assert (got.status, got.counts) == (0xA702, (None, 0, 40, 0))
    assert got.failed == [one.instance for one in made]


def test_a_destination_that_rejects_us_fails_all(
    edge: Edge, archive: Archive, serve: Serve
) -> None:
    fill(archive, ct(1))
    strict = serve(shelved(ingest=Shelf()), called_ae_any=False, ae_title="ELSE")
    register(archive, "DEST", strict.port)
    assert move(edge.port, "DEST", keys=STUDY).counts == (None, 0, 1, 0)


def test_a_context_the_destination_refuses_fails_its_instances(
    edge: Edge, archive: Archive
) -> None:
    """PS3.4 C.4.2.3.1: what cannot be negotiated is a failed sub-operation."""
    fill(archive, ct(1, 1, 1), compressed([[jpeg(1)]], study=1, series=1, instance=2))
    folder = archive.settings.data / "out"
    with storescp(folder, "+xe") as port:
        register(archive, "PLAIN", port)
        got = move(edge.port, "PLAIN", keys=STUDY)
    assert (got.status, got.counts) == (0xB000, (None, 1, 1, 0))
    assert got.failed == [ct(1, 1, 2).instance]
    assert len(list(folder.iterdir())) == 1


class Stub:
    """A destination written by hand: it opens associations and then does as a test wants."""

    def __init__(self, behave: Callable[[socket.socket, int], None]) -> None:
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.opened = 0
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Stub:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.opened += 1
            thread = threading.Thread(target=self._open, args=(sock, self.opened), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _open(self, sock: socket.socket, number: int) -> None:
        with sock:
            _accept(sock)
            self._behave(sock, number)


def _accept(sock: socket.socket) -> None:
    """Take every context with its first Transfer Syntax."""
    kind, body = wire.answer(sock)
    assert kind == 1
    asked = decode_request(body)
    contexts = tuple(
        AnsweredContext(
            context_id=one.context_id, result=0, transfer_syntax=one.transfer_syntaxes[0]
        )
        for one in asked.contexts
    )
    sock.sendall(
        encode_accept(
            AssociateAccept(
                called=asked.called,
                calling=asked.calling,
                contexts=contexts,
                user=UserInformation(max_pdu_bytes=16384, implementation_class="1.2.3"),
            )
        )
    )


def _abort(sock: socket.socket, number: int) -> None:
    sock.recv(100)
    sock.sendall(wire.ABORT)
    assert wire.is_closed(sock)


def _reset(sock: socket.socket, number: int) -> None:
    sock.recv(1000)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _never_answers(sock: socket.socket, number: int) -> None:
    assert wire.is_closed(sock)


def _stops_reading(sock: socket.socket, number: int) -> None:
    released.wait(20)


def _answers_another(sock: socket.socket, number: int) -> None:
    """Say something else every now and then, and what was asked for long past its time."""
    sock.settimeout(0.3)
    for message_id in [999] * 20 + [1]:
        answer = response(dataclasses.replace(_ANY, message_id=message_id), SUCCESS)
        try:
            while sock.recv(65536):
                pass
            return
        except TimeoutError:
            sock.sendall(wire.pdu(4, wire.pdv(1, 3, answer)))
        except ConnectionResetError:
            return


def _answers_nonsense(sock: socket.socket, number: int) -> None:
    sock.recv(1000)
    sock.sendall(wire.pdu(4, wire.pdv(1, 3, b"\xff" * 20)))
    assert wire.is_closed(sock)


released = threading.Event()
_ANY = decode_command(1, request(Field.C_STORE, 1, CT, sop_instance="1.2.3"))


@pytest.mark.parametrize(
    "behave",
    [_abort, _reset, _never_answers, _stops_reading, _answers_nonsense, _answers_another],
)
def test_a_destination_that_breaks_off_fails_what_it_was_sent(
    edge: Edge, archive: Archive, behave: Callable[[socket.socket, int], None]
) -> None:
    """Nothing hangs: each try ends within the time for a response, and there are few of them."""
    made = [ct_of_bytes(9 << 20, 1), ct(1, 1, 2), ct(1, 1, 3)]
    fill(archive, *made)
    released.clear()
    with Stub(behave) as stub:
        register(archive, "DEST", stub.port)
        got = move(edge.port, "DEST", keys=STUDY)
        released.set()
    assert (got.status, got.counts) == (0xA702, (None, 0, 3, 0))
    assert got.failed == [one.instance for one in made]
    assert stub.opened == 2
    wait_for(lambda: len(edge.acceptor) == 0)


def test_an_object_that_breaks_the_association_does_not_cost_the_others(
    edge: Edge, archive: Archive, serve: Serve
) -> None:
    """The destination aborts over the third of five; the fourth and fifth go on another."""
    made = [ct(1, 1, number) for number in range(1, 6)]
    fill(archive, *made)

    def breaks() -> Outcome:
        if shelf.taken[-1].expected.sop_instance == made[2].instance:
            raise ConnectionResetError("over this object")
        return Stored(ref=None, sop_class=CT)  # type: ignore[arg-type]

    shelf = shelf_at(archive, serve, breaks)
    got = move(edge.port, "DEST", keys=STUDY)
    assert (got.status, got.counts) == (0xB000, (None, 4, 1, 0))
    assert got.failed == [made[2].instance]
    finished = [t.expected.sop_instance for t in shelf.taken if t.ended == "finished"]
    assert finished == [one.instance for one in made if one is not made[2]]


def _takes_two(sock: socket.socket, number: int) -> None:
    """Answer two requests, and ask for the release with the second answer."""
    messages, left, command = Messages(), 2, None
    while (pdu := wire.answer(sock))[0] == 4:
        _, context_id, flags = struct.unpack_from(">IBB", pdu[1])
        is_command, is_last = bool(flags & 1), bool(flags & 2)
        data = memoryview(pdu[1])[6:]
        came = messages.receive(
            Fragment(context_id=context_id, is_command=is_command, is_last=is_last, data=data)
        )
        command = came if isinstance(came, Command) else command
        if isinstance(came, DataSetPart) and came.is_last and command is not None:
            left -= 1
            said = wire.pdu(4, wire.pdv(context_id, 3, response(command, SUCCESS)))
            sock.sendall(said if left else said + wire.pdu(5, bytes(4)))
    if pdu[0] == 5:
        sock.sendall(wire.pdu(6, bytes(4)))


def _tells_of_another_first(sock: socket.socket, number: int) -> None:
    """Refuse each object, but say before that one nobody asked about is stored."""
    messages, command = Messages(), None
    while (pdu := wire.answer(sock))[0] == 4:
        _, context_id, flags = struct.unpack_from(">IBB", pdu[1])
        data = memoryview(pdu[1])[6:]
        is_command, is_last = bool(flags & 1), bool(flags & 2)
        came = messages.receive(
            Fragment(context_id=context_id, is_command=is_command, is_last=is_last, data=data)
        )
        command = came if isinstance(came, Command) else command
        if isinstance(came, DataSetPart) and came.is_last and command is not None:
            another = dataclasses.replace(command, message_id=command.message_id + 7)
            for one, status in ((another, SUCCESS), (command, Status(code=0xA700))):
                sock.sendall(wire.pdu(4, wire.pdv(context_id, 3, response(one, status))))
    if pdu[0] == 5:
        sock.sendall(wire.pdu(6, bytes(4)))


def test_a_status_is_that_of_the_request_it_names(edge: Edge, archive: Archive) -> None:
    """PS3.7 9.3.1.2: Message ID Being Responded To; what is refused is not told as stored."""
    fill(archive, ct(1), ct(1, 1, 2))
    with Stub(_tells_of_another_first) as stub:
        register(archive, "DEST", stub.port)
        got = move(edge.port, "DEST", keys=STUDY)
    assert (got.status, got.counts) == (0xA702, (None, 0, 2, 0))


def test_a_destination_that_takes_so_many_an_association_gets_all_of_them(
    edge: Edge, archive: Archive
) -> None:
    """It releases with every second answer; what was not sent by then goes on another."""
    fill(archive, *(ct(1, 1, number) for number in range(1, 8)))
    with Stub(_takes_two) as stub:
        register(archive, "DEST", stub.port)
        got = move(edge.port, "DEST", keys=STUDY)
    assert (got.status, got.counts) == (0, (None, 7, 0, 0))
    assert stub.opened == 4


def test_a_cancel_stops_it_between_two_objects(edge: Edge, archive: Archive, serve: Serve) -> None:
    """PS3.4 C.4.2.3.1: FE00 with the Remaining ones, and the association goes on."""
    fill(archive, *(ct(1, 1, number) for number in range(1, 31)))
    cancelled, going = threading.Event(), threading.Event()

    def slowly() -> Outcome:
        going.set()
        assert cancelled.wait(10)
        return Stored(ref=None, sop_class=CT)  # type: ignore[arg-type]

    shelf = shelf_at(archive, serve, slowly)
    with associated(edge.port, STUDY_MOVE) as (assoc, got):
        answers = assoc.send_c_move(identifier(**STUDY), "DEST", STUDY_MOVE, 9)
        got.answers.append(next(answers)[0])
        assert going.wait(10)
        assoc.send_c_cancel(9, query_model=STUDY_MOVE)
        cancelled.set()
        got.answers += [status for status, _ in answers]
    remaining, completed, failed, warning = got.counts
    assert got.status == 0xFE00
    assert (failed, warning, remaining + completed) == (0, 0, 30)  # type: ignore[operator]
    assert len(shelf.taken) == completed
    assert completed < 30  # type: ignore[operator]


def test_an_asker_that_vanishes_ends_it(edge: Edge, archive: Archive, serve: Serve) -> None:
    fill(archive, *(ct(1, 1, number) for number in range(1, 31)))
    gone, going = threading.Event(), threading.Event()

    def slowly() -> Outcome:
        going.set()
        assert gone.wait(10)
        return Stored(ref=None, sop_class=CT)  # type: ignore[arg-type]

    shelf = shelf_at(archive, serve, slowly)
    with associated(edge.port, STUDY_MOVE) as (assoc, _):
        answers = assoc.send_c_move(identifier(**STUDY), "DEST", STUDY_MOVE, 9)
        next(answers)
        assert going.wait(10)
        assoc.abort()
        wait_for(lambda: not assoc.is_established)
        gone.set()
    wait_for(lambda: len(edge.acceptor) == 0)
    assert len(shelf.taken) < 30


def test_several_associations_share_the_work(edge: Edge, archive: Archive, serve: Serve) -> None:
    made = [ct(1, 1, number) for number in range(1, 41)]
    fill(archive, *made)
    together = threading.Barrier(3)

    def answer() -> Outcome:
        if len(shelf.taken) <= 3:
            together.wait(10)  # three are on their way at the same time, or this breaks
        return Stored(ref=None, sop_class=CT)  # type: ignore[arg-type]

    shelf = Shelf(answer)
    destination = serve(shelved(ingest=shelf))
    register(archive, "DEST", destination.port, parallel=3)
    got = move(edge.port, "DEST", keys=STUDY)
    assert (got.status, got.counts) == (0, (None, 40, 0, 0))
    assert sorted(str(t.expected.sop_instance) for t in shelf.taken) == sorted(
        one.instance for one in made
    )


def test_several_associations_to_one_that_is_down_fail_all(edge: Edge, archive: Archive) -> None:
    fill(archive, *(ct(1, 1, number) for number in range(1, 6)))
    register(archive, "DOWN", free_port(), parallel=4)
    assert move(edge.port, "DOWN", keys=STUDY).counts == (None, 0, 5, 0)


def test_the_syntax_a_remote_wants_is_used_where_there_is_a_choice(
    edge: Edge, archive: Archive, serve: Serve
) -> None:
    fill(archive, ct(1, 1, 1), compressed([[jpeg(1)]], study=1, series=1, instance=2))
    shelf = Shelf()
    register(
        archive,
        "DEST",
        serve(shelved(ingest=shelf)).port,
        transfer_syntaxes=(IMPLICIT,),
    )
    assert move(edge.port, "DEST", keys=STUDY).counts == (None, 2, 0, 0)
    assert [t.transfer_syntax for t in shelf.taken] == [IMPLICIT, JPEG]


COMPRESSED = (
    "MR_small_RLE.dcm",
    "JPEG2000.dcm",
    "SC_rgb_rle_2frame.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
)
SAMPLES = Path(pydicom.data.__file__).parent / "test_files"


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("option", ["+xe", "+xi"])
def test_compressed_pixels_are_decoded_for_who_takes_nothing_else(
    edge: Edge, archive: Archive, name: str, option: str
) -> None:
    before = dcmread(SAMPLES / name)
    archive.take((SAMPLES / name).read_bytes())
    folder = archive.settings.data / "out"
    keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": before.StudyInstanceUID}
    with storescp(folder, "-B", option) as port:
        register(archive, "PLAIN", port)
        assert move(edge.port, "PLAIN", keys=keys).counts == (None, 1, 0, 0)
    (path,) = folder.iterdir()
    after = dcmread(path)
    assert after.file_meta.TransferSyntaxUID == (EXPLICIT if option == "+xe" else IMPLICIT)
    assert after.SOPInstanceUID == before.SOPInstanceUID
    assert (after.pixel_array == before.pixel_array).all()


def test_a_remote_that_wants_a_lossless_codec_gets_it(
    edge: Edge, archive: Archive, serve: Serve
) -> None:
    one = ct(1, rows=64, columns=64)
    fill(archive, one)
    shelf = Shelf()
    wanted = ("1.2.840.10008.1.2.4.80",)
    port = serve(shelved(ingest=shelf)).port
    register(archive, "DEST", port, transfer_syntaxes=wanted)
    assert move(edge.port, "DEST", keys=STUDY).counts == (None, 1, 0, 0)
    (taken,) = shelf.taken
    assert taken.transfer_syntax == wanted[0]
    assert len(taken.data) < len(one.dataset())


def test_a_series_and_a_patient_are_moved_whole(edge: Edge, archive: Archive, serve: Serve) -> None:
    fill(archive, ct(1, 1, 1), ct(1, 1, 2), ct(1, 2, 1), ct(2))
    shelf = shelf_at(archive, serve)
    assert move(edge.port, "DEST", keys=SERIES).counts == (None, 2, 0, 0)
    keys = {"QueryRetrieveLevel": "PATIENT", "PatientID": "P-0001"}
    got = move(edge.port, "DEST", model=PATIENT_MOVE, keys=keys)
    assert got.counts == (None, 4, 0, 0)
    assert len(shelf.taken) == 6
    assert {t.transfer_syntax for t in shelf.taken} == {EXPLICIT}
