"""C-FIND: what is asked, what is answered, in which syntax and characters, how it is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from tests.dimse import wire
from tests.dimse.edge import Edge, wait_for
from tests.dimse.shelf import Rows, served
from tests.dimse.test_peers import run
from tests.dimse.test_store_scp import raw, status_of
from vna.dicom.encode import decode_dataset
from vna.dicom.matching import Name, Single
from vna.dicom.refs import Level
from vna.dimse.collecting import MAX_IDENTIFIER_BYTES
from vna.dimse.messages import Field, cancel, decode_command, request
from vna.dimse.scu import Requestor
from vna.dimse.sop_classes import VERIFICATION
from vna.dimse.syntaxes import encode_identifier
from vna.errors import NotPermitted, Unavailable, VNAError

Serve = Callable[..., Edge]
PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
SYNTAXES = [wire.IMPLICIT, wire.EXPLICIT, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]
ROW: dict[str, Any] = {
    "00080020": {"vr": "DA", "Value": ["20240102"]},
    "00080052": {"vr": "CS", "Value": ["STUDY"]},
    "00080056": {"vr": "CS", "Value": ["ONLINE"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Adams^John"}]},
    "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
}
STUDY_LEVEL: dict[str, Any] = {
    "00080052": {"vr": "CS", "Value": ["STUDY"]},
    "00080020": {"vr": "DA"},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "adams*"}]},
    "0020000D": {"vr": "UI"},
}


def finder(edge: Edge, model: str = wire.STUDY_FIND, syntax: str = wire.IMPLICIT) -> Requestor:
    contexts = [(model, [syntax]), (VERIFICATION, [wire.IMPLICIT])]
    return Requestor("127.0.0.1", edge.port, calling="ASKER", called="VNA", contexts=contexts)


def asked(elements: dict[str, Any], syntax: str = wire.IMPLICIT, charset: str = "") -> bytes:
    return encode_identifier(elements, syntax, charset=charset)


def one() -> Iterator[dict[str, Any]]:
    yield ROW


def endless() -> Iterator[dict[str, Any]]:
    while True:
        yield ROW


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_answer_comes_in_every_syntax(serve: Serve, syntax: str) -> None:
    rows = Rows(one)
    with finder(serve(served(query=rows)), syntax=syntax) as remote:
        (answer,) = remote.find(wire.STUDY_FIND, asked(STUDY_LEVEL, syntax), transfer_syntax=syntax)
        assert remote.status.code == 0
    retrieve_ae = {"00080054": {"vr": "AE", "Value": ["VNA"]}}
    assert decode_dataset(answer, syntax) == {**ROW, **retrieve_ae}
    (query,) = rows.asked
    assert query.level is Level.STUDY
    assert [key.condition for key in query.keys] == [Name("adams*")]


def test_thousands_of_answers_come_in_order(serve: Serve) -> None:
    def numbered() -> Iterator[dict[str, Any]]:
        for number in range(3000):
            yield {**ROW, "00200010": {"vr": "SH", "Value": [str(number)]}}

    with finder(serve(served(query=Rows(numbered)))) as remote:
        found = remote.find(wire.STUDY_FIND, asked(STUDY_LEVEL), transfer_syntax=wire.IMPLICIT)
        numbers = [decode_dataset(a, wire.IMPLICIT)["00200010"]["Value"] for a in found]
    assert numbers == [[str(number)] for number in range(3000)]


def test_answers_fit_a_peer_that_takes_small_pdus(serve: Serve) -> None:
    edge = serve(served(query=Rows(one)))
    sock, layer = raw(edge, wire.context(1, wire.STUDY_FIND), max_pdu_bytes=64)
    with sock:
        command = request(Field.C_FIND, 1, wire.STUDY_FIND)
        sock.sendall(layer.message(1, command, asked(STUDY_LEVEL)))
        sizes = [len(wire.answer(sock)[1]) for _ in range(3)]
    assert max(sizes) == 64


def test_a_key_that_is_not_supported_is_said(serve: Serve) -> None:
    unsupported = {**STUDY_LEVEL, "00104000": {"vr": "LT", "Value": ["x"]}}
    for identifier, code in ((STUDY_LEVEL, 0xFF00), (unsupported, 0xFF01)):
        with finder(serve(served(query=Rows(one)))) as remote:
            found = remote.find(wire.STUDY_FIND, asked(identifier), transfer_syntax=wire.IMPLICIT)
            next(found)
            assert remote.status.code == code
            assert not list(found)


@pytest.mark.parametrize(
    ("charset", "name", "answered"),
    [
        ("ISO_IR 100", "Müller^Jörg", "ISO_IR 100"),
        ("ISO_IR 100", "Σωκράτης", "ISO_IR 192"),
        ("", "Müller^Jörg", "ISO_IR 192"),
        ("ISO_IR 144", "Люксембург", "ISO_IR 144"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎", "\\ISO 2022 IR 87"),
    ],
)
def test_the_askers_characters_are_used_if_they_can_carry_it(
    serve: Serve, charset: str, name: str, answered: str
) -> None:
    groups = dict(zip(("Alphabetic", "Ideographic"), name.split("="), strict=False))
    row = {**ROW, "00100010": {"vr": "PN", "Value": [groups]}}
    identifier = asked({**STUDY_LEVEL, "00100010": {"vr": "PN"}})
    if charset:
        value = charset.encode() + b" " * (len(charset) % 2)
        head = b"\x08\0\x05\0" + len(value).to_bytes(4, "little") + value
        identifier = head + identifier
    with finder(serve(served(query=Rows(lambda: iter([row]))))) as remote:
        (answer,) = remote.find(wire.STUDY_FIND, identifier, transfer_syntax=wire.IMPLICIT)
    read = decode_dataset(answer, wire.IMPLICIT)
    assert read["00100010"]["Value"] == [groups]
    assert "\\".join(v or "" for v in read["00080005"]["Value"]) == answered


FAULTS: list[tuple[dict[str, Any], int, tuple[int, ...]]] = [
    ({"0020000D": {"vr": "UI"}}, 0xA900, (0x00080052,)),
    ({"00080052": {"vr": "CS", "Value": ["FRAME"]}}, 0xA900, (0x00080052,)),
    ({"00080052": {"vr": "CS", "Value": ["PATIENT"]}}, 0xA900, (0x00080052,)),
    ({"00080052": {"vr": "CS", "Value": ["SERIES"]}}, 0xA900, (0x0020000D,)),
    ({"00080052": {"vr": "CS", "Value": ["IMAGE"]}}, 0xA900, (0x0020000D, 0x0020000E)),
    ({**STUDY_LEVEL, "00080020": {"vr": "DA", "Value": ["yesterday"]}}, 0xA900, (0x00080020,)),
]


@pytest.mark.parametrize(("elements", "code", "offending"), FAULTS)
def test_a_wrong_identifier_names_the_attribute_at_fault(
    serve: Serve, elements: dict[str, Any], code: int, offending: tuple[int, ...]
) -> None:
    sock, layer = raw(serve(served(query=Rows(one))), wire.context(1, wire.STUDY_FIND))
    with sock:
        sock.sendall(layer.message(1, request(Field.C_FIND, 1, wire.STUDY_FIND), asked(elements)))
        _, body = wire.answer(sock)
    assert decode_command(1, body[6:]).status == code
    assert decode_command(1, body[6:]).comment
    raw_tags = b"".join(
        (t >> 16).to_bytes(2, "little") + t.to_bytes(4, "little")[:2] for t in offending
    )
    assert b"\0\0\x01\x09" + len(raw_tags).to_bytes(4, "little") + raw_tags in body


def test_relational_queries_need_their_negotiation(serve: Serve) -> None:
    rows = Rows(one)
    edge = serve(served(query=rows))
    series = Dataset()
    series.QueryRetrieveLevel = "SERIES"
    series.Modality = "CT"
    series.SeriesInstanceUID = ""
    for relational, codes in ((False, [0xA900]), (True, [0xFF00, 0x0000])):
        ae = AE(ae_title="ASKER")
        ae.add_requested_context(wire.STUDY_FIND)
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid = wire.STUDY_FIND
        item.service_class_application_information = bytes([relational])
        assoc = ae.associate("127.0.0.1", edge.port, ext_neg=[item])
        found = [s.Status for s, _ in assoc.send_c_find(series, wire.STUDY_FIND)]
        assoc.release()
        assert found == codes
    assert [key.condition for key in rows.asked[0].keys] == [Single("CT")]


@pytest.mark.parametrize(
    ("error", "code"),
    [(NotPermitted(), 0x0124), (Unavailable(), 0xA700), (VNAError(), 0xC000)],
)
def test_an_error_of_the_engine_is_a_status(serve: Serve, error: VNAError, code: int) -> None:
    def fails() -> Iterator[dict[str, Any]]:
        yield ROW
        raise error

    with finder(serve(served(query=Rows(fails)))) as remote:
        found = remote.find(wire.STUDY_FIND, asked(STUDY_LEVEL), transfer_syntax=wire.IMPLICIT)
        assert len(list(found)) == 1
        assert (remote.status.code, remote.status.comment) == (code, str(error))


def test_a_fault_of_ours_while_answering_is_a_status_too(serve: Serve) -> None:
    def fails() -> Iterator[dict[str, Any]]:
        yield {"00080020": {"vr": "OB", "BulkDataURI": "bulkdata/1"}}
        raise AssertionError

    with finder(serve(served(query=Rows(fails)))) as remote:
        assert not list(
            remote.find(wire.STUDY_FIND, asked(STUDY_LEVEL), transfer_syntax=wire.IMPLICIT)
        )
        assert remote.status.code == 0xA700
        assert remote.echo() == 0


def test_an_identifier_at_the_limit_is_read_and_past_it_refused(serve: Serve) -> None:
    edge = serve(served(query=Rows(one)))
    base = asked(STUDY_LEVEL)
    fill = MAX_IDENTIFIER_BYTES - len(base) - 8
    for extra, code in ((0, 0x0000), (2, 0xA700)):
        size = fill + extra
        filler = b"\xfc\xff\xfc\xff" + size.to_bytes(4, "little") + bytes(size)
        with finder(edge) as remote:
            list(remote.find(wire.STUDY_FIND, base + filler, transfer_syntax=wire.IMPLICIT))
            assert remote.status.code == code
            assert remote.echo() == 0


@pytest.mark.parametrize("data", [b"garbage!", b"\x08\0\x52\0\xff\xff\xff\x7fSTUDY "])
def test_what_is_no_identifier_cannot_be_understood(serve: Serve, data: bytes) -> None:
    with finder(serve(served(query=Rows(one)))) as remote:
        assert not list(remote.find(wire.STUDY_FIND, data, transfer_syntax=wire.IMPLICIT))
        assert remote.status.code in (0xC000, 0xA900)


def test_a_request_without_identifier_is_refused(serve: Serve) -> None:
    sock, layer = raw(serve(served(query=Rows(one))), wire.context(1, wire.STUDY_FIND))
    with sock:
        sock.sendall(
            layer.message(1, request(Field.C_FIND, 1, wire.STUDY_FIND, has_data_set=False))
        )
        assert status_of(sock) == 0xC000


def test_leaving_early_cancels_and_the_association_goes_on(serve: Serve) -> None:
    rows = Rows(endless)
    with finder(serve(served(query=rows))) as remote:
        found = remote.find(wire.STUDY_FIND, asked(STUDY_LEVEL), transfer_syntax=wire.IMPLICIT)
        for _ in range(10):
            next(found)
        found.close()
        assert remote.status.code == 0xFE00
        assert rows.closed.wait(10)
        assert remote.echo() == 0


def test_a_cancel_of_another_request_cancels_nothing(serve: Serve) -> None:
    gate = threading.Event()

    def waits() -> Iterator[dict[str, Any]]:
        for number in range(2000):
            if number == 1000:
                assert gate.wait(10)
            yield ROW

    sock, layer = raw(serve(served(query=Rows(waits))), wire.context(1, wire.STUDY_FIND))
    with sock:
        command = request(Field.C_FIND, 7, wire.STUDY_FIND)
        sock.sendall(layer.message(1, command, asked(STUDY_LEVEL)))
        sock.sendall(layer.message(1, cancel(8)))
        gate.set()
        answers = 0
        while (status := status_of(sock)) == 0xFF00:
            answers += 1
            wire.answer(sock)
    assert (status, answers) == (0, 2000)


def test_a_request_sent_while_another_is_answered_waits(serve: Serve) -> None:
    gate = threading.Event()

    def many() -> Iterator[dict[str, Any]]:
        for number in range(1000):
            if number == 500:
                assert gate.wait(10)
            yield ROW

    sock, layer = raw(
        serve(served(query=Rows(many))),
        wire.context(1, wire.STUDY_FIND),
        wire.context(3, VERIFICATION),
    )
    with sock:
        find = layer.message(1, request(Field.C_FIND, 1, wire.STUDY_FIND), asked(STUDY_LEVEL))
        sock.sendall(find)
        echo = layer.message(3, request(Field.C_ECHO, 2, VERIFICATION, has_data_set=False))
        sock.sendall(echo + find)
        gate.set()
        codes = []
        while len(codes) < 3:
            if (code := status_of(sock)) == 0xFF00:
                wire.answer(sock)
            else:
                codes.append(code)
    assert codes == [0, 0, 0]


@pytest.mark.parametrize("ending", ["close", "abort", "release", "garbage"])
def test_an_asker_that_leaves_ends_the_search(serve: Serve, ending: str) -> None:
    rows = Rows(endless)
    edge = serve(served(query=rows))
    sock, layer = raw(edge, wire.context(1, wire.STUDY_FIND))
    with sock:
        command = request(Field.C_FIND, 1, wire.STUDY_FIND)
        sock.sendall(layer.message(1, command, asked(STUDY_LEVEL)))
        assert status_of(sock) == 0xFF00
        last = {
            "abort": wire.ABORT,
            "release": wire.RELEASE,
            "garbage": wire.pdu(4, wire.pdv(1, 2, b"ab")),
        }
        if ending != "close":
            sock.sendall(last[ending])
            assert wire.is_closed(sock) or ending != "abort"
    assert rows.closed.wait(10)
    wait_for(lambda: len(edge.acceptor) == 0)


def test_findscu_prints_the_answers(serve: Serve) -> None:
    edge = serve(served(query=Rows(one)))
    done = run(
        *("/usr/bin/findscu", "-S", "-aec", "VNA", "-k", "QueryRetrieveLevel=STUDY"),
        *("-k", "PatientName=A*", "-k", "StudyInstanceUID", "127.0.0.1", str(edge.port)),
    )
    assert done.returncode == 0, done.stderr
    assert "Adams^John" in done.stdout + done.stderr


def test_pynetdicom_finds_by_patient_root(serve: Serve) -> None:
    rows = Rows(one)
    edge = serve(served(query=rows))
    ae = AE(ae_title="ASKER")
    ae.add_requested_context(PATIENT_FIND)
    ds = Dataset()
    ds.QueryRetrieveLevel = "STUDY"
    ds.PatientID = "4711"
    ds.StudyInstanceUID = ""
    assoc = ae.associate("127.0.0.1", edge.port)
    found = [(s.Status, ds and ds.PatientName) for s, ds in assoc.send_c_find(ds, PATIENT_FIND)]
    assoc.release()
    assert found == [(0xFF00, "Adams^John"), (0x0000, None)]
    assert rows.asked[0].keys[0].condition == Single("4711")
