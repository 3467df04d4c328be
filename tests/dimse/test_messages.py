"""Command sets: pynetdicom's messages are the oracle; broken ones raise one error."""

from __future__ import annotations

import contextlib
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pynetdicom.dimse_messages import C_FIND_RQ, C_STORE_RQ
from pynetdicom.dimse_primitives import C_FIND, C_STORE
from pynetdicom.dsutils import decode as decode_dataset

from tests.dimse import wire
from vna.dimse.messages import (
    MAX_COMMAND_BYTES,
    SUCCESS,
    Command,
    DataSetPart,
    Field,
    Messages,
    Status,
    cancel,
    decode_command,
    encode_command,
    request,
    response,
)
from vna.dimse.upper_layer import Fragment
from vna.errors import InvalidRequest

STORE = request(Field.C_STORE, 7, wire.CT, sop_instance="1.2.3")


def fragment(data: bytes, *, command: bool, last: bool = True, context: int = 1) -> Fragment:
    return Fragment(context_id=context, is_command=command, is_last=last, data=memoryview(data))


def test_our_request_is_pynetdicoms_request() -> None:
    primitive = C_STORE()
    primitive.MessageID = 7
    primitive.AffectedSOPClassUID = wire.CT
    primitive.AffectedSOPInstanceUID = "1.2.3"
    primitive.Priority = 0
    primitive.DataSet = io.BytesIO(b"\0\0")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    assert decode_command(1, STORE) == decode_command(1, encoded(message))


def test_a_request_of_pynetdicom_is_read() -> None:
    primitive = C_FIND()
    primitive.MessageID = 65535
    primitive.AffectedSOPClassUID = wire.STUDY_FIND
    primitive.Priority = 2
    primitive.Identifier = io.BytesIO(b"\0\0")
    message = C_FIND_RQ()
    message.primitive_to_message(primitive)
    assert decode_command(5, encoded(message)) == Command(
        context_id=5,
        field=Field.C_FIND,
        message_id=65535,
        responded_id=0,
        sop_class=wire.STUDY_FIND,
        sop_instance="",
        has_data_set=True,
        status=0,
        priority=primitive.Priority,
    )


def encoded(message: C_STORE_RQ | C_FIND_RQ) -> bytes:
    pdvs = message.encode_msg(1, 16384)
    return b"".join(
        data[1:] for pdv in pdvs for _, data in pdv.presentation_data_value_list if data[0] & 1
    )


def test_a_response_says_what_it_is_about() -> None:
    command = decode_command(1, STORE)
    status = Status(code=0xA900, comment="word " * 20, offending=(0x0020000D,))
    ds = decode_dataset(io.BytesIO(response(command, status)), True, True)
    assert (ds.CommandField, ds.MessageIDBeingRespondedTo, ds.Status) == (0x8001, 7, 0xA900)
    assert (ds.AffectedSOPClassUID, ds.AffectedSOPInstanceUID) == (wire.CT, "1.2.3")
    assert ds.ErrorComment == "word " * 11 + "word..."
    assert ds.OffendingElement == 0x0020000D
    assert ds.CommandDataSetType == 0x0101
    assert ds.CommandGroupLength == len(response(command, status)) - 12


def test_a_pending_response_announces_its_identifier() -> None:
    command = decode_command(1, request(Field.C_FIND, 1, wire.STUDY_FIND))
    ds = decode_dataset(
        io.BytesIO(response(command, Status(code=0xFF00), has_data_set=True)), True, True
    )
    assert ds.CommandDataSetType != 0x0101


def test_a_cancel_names_the_request() -> None:
    command = decode_command(1, cancel(9))
    assert (command.field, command.responded_id) == (Field.C_CANCEL, 9)
    assert not command.has_data_set


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0",
        STORE[:-1],
        STORE + b"\x08\0\x18\0\0\0\0\0",
        struct.pack("<HHI", 0, 0x0100, 0xFFFFFFFF),
        encode_command({0x0100: 1, 0x0800: 0}),
        encode_command({0x0110: 1, 0x0800: 0}),
        encode_command({0x0100: 1, 0x0110: 1}),
        encode_command({0x0100: 0x0FFF, 0x0110: 1, 0x0800: 0x0101}),
        encode_command({0x0100: "1", 0x0110: 1, 0x0800: 0})[:-1],
        b"",
    ],
)
def test_a_command_set_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_command(1, data)


@wire.examples(200)
@given(at=st.integers(0, len(STORE) - 1), byte=st.integers(0, 255), cut=st.integers(0, 200))
def test_a_changed_command_set_is_read_or_refused(at: int, byte: int, cut: int) -> None:
    changed = bytearray(STORE)
    changed[at] = byte
    for data in (bytes(changed), bytes(changed[:cut]), bytes(changed) + STORE):
        with contextlib.suppress(InvalidRequest):
            assert decode_command(1, data).field


def test_a_message_comes_in_any_fragments() -> None:
    messages = Messages()
    assert messages.receive(fragment(STORE[:5], command=True, last=False)) is None
    assert messages.midway
    command = messages.receive(fragment(STORE[5:], command=True))
    assert command == decode_command(1, STORE)
    assert messages.in_data_set
    part = messages.receive(fragment(b"ab", command=False, last=False))
    assert isinstance(part, DataSetPart)
    assert not part.is_last
    messages.receive(fragment(b"", command=False))
    assert not messages.midway


def test_nothing_of_a_message_is_left_for_the_next() -> None:
    """One association may carry a hundred thousand of them."""
    messages = Messages()
    echo = request(Field.C_ECHO, 9, wire.VERIFICATION, has_data_set=False)
    for _ in range(MAX_COMMAND_BYTES // len(STORE) + 1):
        messages.receive(fragment(STORE, command=True))
        messages.receive(fragment(b"ab", command=False))
        assert messages.receive(fragment(echo, command=True)) == decode_command(1, echo)


@pytest.mark.parametrize(
    "broken",
    [
        [fragment(b"ab", command=False)],
        [fragment(STORE[:5], command=True, last=False), fragment(b"ab", command=False)],
        [fragment(STORE, command=True), fragment(STORE, command=True)],
        [fragment(STORE, command=True), fragment(b"ab", command=False, context=3)],
        [
            fragment(STORE[:5], command=True, last=False),
            fragment(STORE[5:], command=True, context=3),
        ],
    ],
    ids=["data-first", "data-early", "command-twice", "data-elsewhere", "command-elsewhere"],
)
def test_fragments_of_two_messages_may_not_mix(broken: list[Fragment]) -> None:
    messages = Messages()
    for part in broken[:-1]:
        messages.receive(part)
    with pytest.raises(InvalidRequest):
        messages.receive(broken[-1])


def test_a_command_set_at_the_limit_is_taken_and_past_it_refused() -> None:
    fill = MAX_COMMAND_BYTES - len(STORE) - 8
    most = STORE + struct.pack("<HHI", 0, 0x5010, fill) + bytes(fill)
    assert Messages().receive(fragment(most, command=True)) == decode_command(1, STORE)
    messages = Messages()
    messages.receive(fragment(most, command=True, last=False))
    with pytest.raises(InvalidRequest):
        messages.receive(fragment(b"\0", command=True))


def test_success_has_nothing_to_add() -> None:
    ds = dcmread(io.BytesIO(response(decode_command(1, STORE), SUCCESS)), force=True)
    assert "ErrorComment" not in ds
