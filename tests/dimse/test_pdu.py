"""A-ASSOCIATE PDUs: pynetdicom's classes are the oracle, broken ones raise one error."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ

from tests.dimse import wire
from vna.dimse.pdu import (
    AnsweredContext,
    AssociateAccept,
    AssociateRequest,
    ProposedContext,
    Role,
    UserInformation,
    decode_accept,
    decode_request,
    encode_accept,
    encode_request,
)
from vna.errors import InvalidRequest

uids = st.integers(0, 10**12).map(lambda number: f"1.2.{number}")
titles = st.text("ABZ09_", min_size=1, max_size=16)
users = st.builds(
    UserInformation,
    max_pdu_bytes=st.integers(0, 1 << 20),
    implementation_class=uids,
    implementation_version=titles,
    window=st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)),
    roles=st.lists(
        st.builds(Role, sop_class=uids, scu=st.booleans(), scp=st.booleans()), max_size=3
    ).map(tuple),
    extended=st.lists(st.tuples(uids, st.binary(min_size=1, max_size=7)), max_size=3).map(tuple),
)
proposed = st.lists(
    st.tuples(uids, st.lists(uids, min_size=1, max_size=4, unique=True)), min_size=1, max_size=12
).map(
    lambda found: tuple(
        ProposedContext(context_id=2 * i + 1, abstract_syntax=name, transfer_syntaxes=tuple(takes))
        for i, (name, takes) in enumerate(found)
    )
)
requests = st.builds(AssociateRequest, called=titles, calling=titles, contexts=proposed, user=users)


@wire.examples(60)
@given(request=requests)
def test_a_request_is_read_as_it_was_written(request: AssociateRequest) -> None:
    assert decode_request(encode_request(request)[6:]) == request


@wire.examples(40)
@given(request=requests)
def test_pynetdicom_reads_our_request_alike(request: AssociateRequest) -> None:
    theirs = A_ASSOCIATE_RQ()
    theirs.decode(encode_request(request))
    assert (theirs.calling_ae_title, theirs.called_ae_title) == (request.calling, request.called)
    assert [
        (c.context_id, c.abstract_syntax, tuple(c.transfer_syntax))
        for c in theirs.presentation_context
    ] == [(c.context_id, c.abstract_syntax, c.transfer_syntaxes) for c in request.contexts]
    assert theirs.user_information is not None
    assert theirs.user_information.maximum_length == request.user.max_pdu_bytes
    assert [(e.uid, e.app_info) for e in theirs.user_information.ext_neg] == list(
        request.user.extended
    )
    assert theirs.encode() == encode_request(request)


@wire.examples(40)
@given(request=requests, results=st.lists(st.integers(0, 4), min_size=12, max_size=12))
def test_an_accept_is_read_as_it_was_written_by_us_and_by_pynetdicom(
    request: AssociateRequest, results: list[int]
) -> None:
    accept = AssociateAccept(
        called=request.called,
        calling=request.calling,
        user=request.user,
        contexts=tuple(
            AnsweredContext(
                context_id=c.context_id,
                result=result,
                transfer_syntax=c.transfer_syntaxes[0] if not result else "",
            )
            for c, result in zip(request.contexts, results, strict=False)
        ),
    )
    written = encode_accept(accept)
    assert decode_accept(written[6:]) == accept
    theirs = A_ASSOCIATE_AC()
    theirs.decode(written)
    assert [(c.context_id, c.result) for c in theirs.presentation_context] == [
        (c.context_id, c.result) for c in accept.contexts
    ]


WHOLE = wire.associate(
    wire.context(1, wire.CT, wire.IMPLICIT, wire.EXPLICIT),
    user=wire.item(0x54, struct.pack(">H", 5) + b"1.2.3\1\1") + wire.item(0x55, b"PEER_1"),
)[6:]


@wire.examples(300)
@given(cut=st.integers(0, len(WHOLE)), at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_a_changed_or_cut_request_is_read_or_refused_and_nothing_else(
    cut: int, at: int, byte: int
) -> None:
    changed = bytearray(WHOLE)
    changed[at] = byte
    for data in (bytes(changed), WHOLE[:cut], bytes(changed[:cut]), WHOLE + bytes([byte])):
        with contextlib.suppress(InvalidRequest):
            assert decode_request(data).contexts


def test_an_unknown_item_is_passed_over() -> None:
    data = wire.associate(items=wire.item(0x77, b"?"), user=wire.item(0xF0, b"?"))[6:]
    assert decode_request(data).contexts[0].abstract_syntax == wire.VERIFICATION


def test_a_user_identity_is_passed_over() -> None:
    identity = wire.item(0x58, b"\2\1\0\4user\0\6secret")
    assert "secret" not in repr(decode_request(wire.associate(user=identity)[6:]))


def test_padding_of_a_uid_is_stripped() -> None:
    data = wire.associate(wire.context(1, wire.CT + "\0", wire.IMPLICIT + " "))[6:]
    assert decode_request(data).contexts[0] == ProposedContext(
        context_id=1, abstract_syntax=wire.CT, transfer_syntaxes=(wire.IMPLICIT,)
    )


@pytest.mark.parametrize(
    "data",
    [
        wire.associate(wire.context(0, wire.CT)),
        wire.associate(wire.context(1, wire.CT), wire.context(1, wire.CT)),
        wire.associate(wire.context(1, "../../etc/passwd")),
        wire.associate(wire.context(1, "1." * 33)),
        wire.associate(wire.context(1, wire.CT + "\n")),
        wire.associate(wire.item(0x20, bytes((1, 0, 0, 0)) + wire.item(0x30, b"1.2"))),
        wire.associate(wire.item(0x20, bytes((1, 0, 0, 0)) + wire.item(0x40, b"1.2"))),
        wire.associate(wire.item(0x99, b"")),
        wire.associate(wire.context(1, wire.CT), items=wire.item(0x10, b"1.2.3")),
        wire.associate(wire.context(1, wire.CT), items=wire.item(0x50, b"")),
        wire.associate(user=wire.item(0x51, b"\0")),
        wire.associate(user=wire.item(0x54, b"\0\x20")),
    ],
    ids=[
        "no-id",
        "same-id-twice",
        "path-as-uid",
        "long-uid",
        "newline-in-uid",
        "no-transfer-syntax",
        "no-abstract-syntax",
        "no-context",
        "two-application-contexts",
        "two-user-informations",
        "short-maximum-length",
        "long-role",
    ],
)
def test_a_request_against_the_rules_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_request(data[6:])


def test_128_contexts_are_read_and_one_more_is_refused() -> None:
    every = [wire.context(2 * i + 1, wire.CT) for i in range(128)]
    assert len(decode_request(wire.associate(*every)[6:]).contexts) == 128
    with pytest.raises(InvalidRequest):
        decode_request(wire.associate(*every, wire.context(1, wire.CT))[6:])
