"""Conversations of an association, recorded as PDUs, and what a hostile peer makes of them.

`Mutator(seed)` makes conversation after conversation; the same seed makes the same ones again.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

from tests.dimse import wire
from vna.dimse.messages import Field, cancel, encode_command, request
from vna.dimse.upper_layer import UpperLayer

Conversation = list[bytes]


def _data(context_id: int, command: bytes, data_set: bytes | None = None) -> bytes:
    layer = UpperLayer(max_pdu_bytes=0, max_associate_bytes=0, acceptor=False)
    layer.peer_max_bytes = 4096
    return layer.message(context_id, command, data_set)


_ASK = wire.associate(
    wire.context(1, wire.VERIFICATION),
    wire.context(3, wire.CT, wire.EXPLICIT, wire.IMPLICIT),
    wire.context(5, wire.STUDY_FIND),
    wire.context(7, "1.2.840.10008.5.1.4.1.2.2.2"),
    user=wire.item(0x54, struct.pack(">H", len(wire.CT)) + wire.CT.encode() + b"\1\0")
    + wire.item(0x56, struct.pack(">H", len(wire.STUDY_FIND)) + wire.STUDY_FIND.encode() + b"\1\1")
    + wire.item(0x53, struct.pack(">HH", 1, 1))
    + wire.item(0x58, struct.pack(">BBH4sH4s", 2, 1, 4, b"user", 4, b"pass")),
)
_ECHO = _data(1, request(Field.C_ECHO, 1, wire.VERIFICATION, has_data_set=False))
_STORE = _data(
    3,
    request(Field.C_STORE, 2, wire.CT, sop_instance="1.2.3"),
    b"\x08\x00\x18\x00UI\x06\x001.2.3\0" + bytes(9000),
)
_FIND = _data(
    5,
    request(Field.C_FIND, 3, wire.STUDY_FIND),
    b"\x08\x00\x52\x00\x06\x00\x00\x00STUDY \x20\x00\x0d\x00\x00\x00\x00\x00",
)
_UNKNOWN = _data(1, encode_command({0x0100: 0x0666, 0x0110: 9, 0x0800: 0x0101}))

SEEDS: tuple[Conversation, ...] = (
    [_ASK, _ECHO, wire.RELEASE],
    [_ASK, _STORE, _ECHO, _STORE, wire.RELEASE],
    [_ASK, _FIND, _data(5, cancel(3)), _ECHO, wire.RELEASE],
    [_ASK, _UNKNOWN, _ECHO, wire.ABORT],
    [_ASK, _ECHO, _ECHO, _ECHO, wire.RELEASE, wire.RELEASE, wire.ABORT],
)

_NUMBERS = (0, 1, 2, 3, 4, 5, 6, 7, 127, 128, 255, 256, 65535, 65536, 131072, 131073)
_LARGE = (0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


class Mutator:
    """Makes hostile conversations out of valid ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.pdus = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield what a peer sends on one connection, again and again; `pdus` counts them."""
        while True:
            talk = list(self._random.choice(SEEDS))
            for _ in range(self._random.choice((0, 1, 1, 1, 2, 4))):
                self._reorder(talk)
            # the request is spared more often: behind a broken one nothing else is reached
            talk = [
                self._changed(pdu) if self._random.random() < (0.15 if at == 0 else 0.5) else pdu
                for at, pdu in enumerate(talk)
            ]
            self.pdus += len(talk)
            yield b"".join(talk)

    def _reorder(self, talk: Conversation) -> None:
        dice, at = self._random.random(), self._random.randrange(len(talk))
        if dice < 0.3:
            talk.insert(at, self._random.choice(self._random.choice(SEEDS)))
        elif dice < 0.5:
            talk.insert(at, talk[self._random.randrange(len(talk))])
        elif dice < 0.7 and len(talk) > 1:
            del talk[at]
        elif dice < 0.85:
            talk.insert(at, wire.pdu(self._random.randrange(256), self._random.randbytes(at * 3)))
        else:
            other = self._random.randrange(len(talk))
            talk[at], talk[other] = talk[other], talk[at]

    def _changed(self, pdu: bytes) -> bytes:
        data = bytearray(pdu)
        for _ in range(self._random.choice((1, 1, 2, 5))):
            self._change(data)
        return bytes(data)

    def _change(self, data: bytearray) -> None:
        pick, dice = self._random, self._random.random()
        at = min(pick.randrange(max(1, len(data))), pick.randrange(200))
        if dice < 0.35:
            data[at : at + 1] = bytes([pick.randrange(256)])
        elif dice < 0.5:
            data[at : at + 2] = struct.pack(">H", pick.choice(_NUMBERS) & 0xFFFF)
        elif dice < 0.65:
            data[at : at + 4] = struct.pack(">I", pick.choice(_NUMBERS + _LARGE))
        elif dice < 0.75:
            del data[at : at + pick.randrange(1, 20)]
        elif dice < 0.85:
            data[at:at] = pick.randbytes(pick.randrange(1, 20))
        elif dice < 0.95:
            self._fix_length(data)
        else:
            del data[at:]

    def _fix_length(self, data: bytearray) -> None:
        # with a length that is right again, the change behind it is looked at
        if len(data) > 6:
            data[2:6] = struct.pack(">I", len(data) - 6)


def pdus_in(data: bytes) -> list[tuple[int, bytes]]:
    """Cut what the archive sent into PDUs; it must be nothing but whole ones."""
    out, at = [], 0
    while at < len(data):
        kind, length = struct.unpack_from(">BxI", data, at)
        assert at + 6 + length <= len(data)
        out.append((kind, data[at + 6 : at + 6 + length]))
        at += 6 + length
    return out
