"""A-ASSOCIATE PDUs <-> values (PS3.8 9.3.2, 9.3.3, Annex D; PS3.7 D.3.3).

Every length is checked against what is there before it is used, unknown items are skipped as the
standard asks, and whatever else is wrong raises `InvalidRequest`. The caller has already bounded
the PDU as a whole, so one pass over it is all the work a peer can cause.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vna.errors import InvalidRequest

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
MAX_CONTEXTS = 128  # odd identifiers from 1 to 255 (PS3.8 7.1.1.13)
UNSAID_PDU_BYTES = 16384  # a peer that announces no Maximum Length is sent what every peer takes

_ITEM = struct.Struct(">BxH")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_FIXED = struct.Struct(">HH16s16s32s")
_UID = re.compile(rb"[0-9.]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedContext:
    """A Presentation Context as the requestor proposes it (PS3.8 9.3.2.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredContext:
    """The acceptor's answer to one; result 0 is acceptance (PS3.8 9.3.3.2)."""

    context_id: int
    result: int
    transfer_syntax: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """SCP/SCU Role Selection of one SOP Class, the requestor's roles (PS3.7 D.3.3.4)."""

    sop_class: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIdentity:
    """User Identity Negotiation (PS3.7 D.3.3.7.1); the secrets show in no log and no trace."""

    kind: int
    wants_response: bool
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInformation:
    """The User Information item. `extended` is SOP Class UID -> application information.

    `identity` is the requestor's, `identity_response` the acceptor's answer (PS3.7 D.3.3.7.2).
    """

    max_pdu_bytes: int
    implementation_class: str = ""
    implementation_version: str = ""
    window: tuple[int, int] | None = None
    roles: tuple[Role, ...] = ()
    extended: tuple[tuple[str, bytes], ...] = ()
    identity: UserIdentity | None = None
    identity_response: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ (PS3.8 9.3.2)."""

    called: str
    calling: str
    contexts: tuple[ProposedContext, ...]
    user: UserInformation
    application_context: str = APPLICATION_CONTEXT
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateAccept:
    """A-ASSOCIATE-AC (PS3.8 9.3.3)."""

    called: str
    calling: str
    contexts: tuple[AnsweredContext, ...]
    user: UserInformation
    application_context: str = APPLICATION_CONTEXT
    version: int = 1


def decode_request(body: bytes) -> AssociateRequest:
    """Read what follows the six bytes of PDU type and length. Raises `InvalidRequest`."""
    version, called, calling, application, items = _opening(body)
    contexts = [_proposed(value) for kind, value in items if kind == 0x20]
    if not contexts:
        raise InvalidRequest("An association request must propose a Presentation Context.")
    _unique([context.context_id for context in contexts])
    return AssociateRequest(
        version=version,
        called=called,
        calling=calling,
        application_context=application,
        contexts=tuple(contexts),
        user=_user(items),
    )


def decode_accept(body: bytes) -> AssociateAccept:
    """Read what follows the six bytes of PDU type and length. Raises `InvalidRequest`."""
    version, called, calling, application, items = _opening(body)
    contexts = [_answered(value) for kind, value in items if kind == 0x21]
    _unique([context.context_id for context in contexts])
    return AssociateAccept(
        version=version,
        called=called,
        calling=calling,
        application_context=application,
        contexts=tuple(contexts),
        user=_user(items),
    )


def encode_request(request: AssociateRequest) -> bytes:
    """Write the whole PDU."""
    contexts = b"".join(
        _item(
            0x20,
            bytes((c.context_id, 0, 0, 0))
            + _item(0x30, c.abstract_syntax.encode())
            + b"".join(_item(0x40, uid.encode()) for uid in c.transfer_syntaxes),
        )
        for c in request.contexts
    )
    return _written(0x01, request, contexts)


def encode_accept(accept: AssociateAccept) -> bytes:
    """Write the whole PDU."""
    contexts = b"".join(
        _item(
            0x21,
            bytes((c.context_id, 0, c.result, 0)) + _item(0x40, c.transfer_syntax.encode()),
        )
        for c in accept.contexts
    )
    return _written(0x02, accept, contexts)


def _written(kind: int, pdu: AssociateRequest | AssociateAccept, contexts: bytes) -> bytes:
    body = (
        _FIXED.pack(pdu.version, 0, _ae(pdu.called), _ae(pdu.calling), bytes(32))
        + _item(0x10, pdu.application_context.encode())
        + contexts
        + _item(0x50, _user_bytes(pdu.user))
    )
    return struct.pack(">BxI", kind, len(body)) + body


def _ae(title: str) -> bytes:
    return title.encode("latin-1", "replace").ljust(16)[:16]


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM.pack(kind, len(value)) + value


def _user_bytes(user: UserInformation) -> bytes:
    out = _item(0x51, _U32.pack(user.max_pdu_bytes))
    out += _item(0x52, user.implementation_class.encode())
    if user.window is not None:
        out += _item(0x53, struct.pack(">HH", *user.window))
    for role in user.roles:
        uid = role.sop_class.encode()
        out += _item(0x54, _U16.pack(len(uid)) + uid + bytes((role.scu, role.scp)))
    if user.implementation_version:
        out += _item(0x55, user.implementation_version.encode())
    for sop_class, information in user.extended:
        uid = sop_class.encode()
        out += _item(0x56, _U16.pack(len(uid)) + uid + information)
    if (identity := user.identity) is not None:
        flags = bytes((identity.kind, identity.wants_response))
        out += _item(0x58, flags + _sized(identity.primary) + _sized(identity.secondary))
    if user.identity_response is not None:
        out += _item(0x59, _sized(user.identity_response))
    return out


def _sized(value: bytes) -> bytes:
    return _U16.pack(len(value)) + value


_Items = list[tuple[int, bytes]]


def _opening(body: bytes) -> tuple[int, str, str, str, _Items]:
    if len(body) < _FIXED.size:
        raise InvalidRequest("An A-ASSOCIATE PDU has at least 68 bytes.")
    version, _, called, calling, _ = _FIXED.unpack_from(body)
    items = list(_items(body[_FIXED.size :]))
    names = [_uid(value) for kind, value in items if kind == 0x10]
    if len(names) != 1:
        raise InvalidRequest("An A-ASSOCIATE PDU has one Application Context.")
    return version, _title(called), _title(calling), names[0], items


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise InvalidRequest("An item of an A-ASSOCIATE PDU is cut off.")
        kind, length = _ITEM.unpack_from(data, at)
        at += 4
        if at + length > len(data):
            raise InvalidRequest("An item of an A-ASSOCIATE PDU is longer than the PDU.")
        yield kind, data[at : at + length]
        at += length


def _title(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


def _uid(value: bytes) -> str:
    bare = value.rstrip(b"\0 ")  # peers pad, although PS3.8 Annex F says not to
    if not _UID.fullmatch(bare):
        raise InvalidRequest("A UID of an A-ASSOCIATE PDU has 1 to 64 digits and dots.")
    return bare.decode()


def _context_id(value: bytes) -> int:
    if len(value) < 4 or not value[0] % 2:
        raise InvalidRequest("A Presentation Context ID is odd.")
    return value[0]


def _unique(context_ids: list[int]) -> None:
    if len(context_ids) > MAX_CONTEXTS or len(set(context_ids)) != len(context_ids):
        raise InvalidRequest("Presentation Context IDs are unique, 128 at most.")


def _proposed(value: bytes) -> ProposedContext:
    # PS3.8 9.3.2.2 wants an odd one, and stgcmtscu of dcm4che proposes Storage Commitment as 2
    if len(value) < 4 or not (context_id := value[0]):
        raise InvalidRequest("A Presentation Context ID is not zero.")
    names: list[str] = []
    syntaxes: list[str] = []
    for kind, item in _items(value[4:]):
        if kind == 0x30:
            names.append(_uid(item))
        elif kind == 0x40:
            syntaxes.append(_uid(item))
    if len(names) != 1 or not syntaxes:
        raise InvalidRequest("A Presentation Context has one Abstract and some Transfer Syntaxes.")
    return ProposedContext(
        context_id=context_id, abstract_syntax=names[0], transfer_syntaxes=tuple(syntaxes)
    )


def _answered(value: bytes) -> AnsweredContext:
    context_id, result = _context_id(value), value[2]
    # the Transfer Syntax of a refused context is not significant and often missing or empty
    syntaxes = [item for kind, item in _items(value[4:]) if kind == 0x40]
    if result == 0 and len(syntaxes) != 1:
        raise InvalidRequest("An accepted Presentation Context has one Transfer Syntax.")
    return AnsweredContext(
        context_id=context_id,
        result=result,
        transfer_syntax=_uid(syntaxes[0]) if result == 0 else "",
    )


@dataclass(slots=True)
class _User:
    max_pdu_bytes: int = UNSAID_PDU_BYTES
    implementation_class: str = ""
    implementation_version: str = ""
    window: tuple[int, int] | None = None
    roles: list[Role] = field(default_factory=list)
    extended: list[tuple[str, bytes]] = field(default_factory=list)
    identity: UserIdentity | None = None
    identity_response: bytes | None = None


def _user(items: Iterable[tuple[int, bytes]]) -> UserInformation:
    values = [value for kind, value in items if kind == 0x50]
    if len(values) != 1:
        raise InvalidRequest("An A-ASSOCIATE PDU has one User Information item.")
    user = _User()
    for kind, value in _items(values[0]):
        _user_item(user, kind, value)
    return UserInformation(
        max_pdu_bytes=user.max_pdu_bytes,
        implementation_class=user.implementation_class,
        implementation_version=user.implementation_version,
        window=user.window,
        roles=tuple(user.roles),
        extended=tuple(user.extended),
        identity=user.identity,
        identity_response=user.identity_response,
    )


def _user_item(user: _User, kind: int, value: bytes) -> None:
    # 57 (Common Extended Negotiation) is passed over
    try:
        if kind == 0x51:
            (user.max_pdu_bytes,) = _U32.unpack(value)
        elif kind == 0x52:
            user.implementation_class = _title(value)  # only ever logged
        elif kind == 0x53:
            user.window = struct.unpack(">HH", value)
        elif kind == 0x54:
            uid, rest = _named(value)
            scu, scp = struct.unpack("BB", rest)
            user.roles.append(Role(sop_class=uid, scu=bool(scu), scp=bool(scp)))
        elif kind == 0x55:
            user.implementation_version = _title(value)
        elif kind == 0x56:
            user.extended.append(_named(value))
        elif kind == 0x58:
            user.identity = _identity(value)
        elif kind == 0x59:
            user.identity_response = _cut(value, 0)[0]
    except struct.error as exc:
        raise InvalidRequest("A User Information item has the wrong length.") from exc


def _identity(value: bytes) -> UserIdentity:
    kind, wants = struct.unpack_from("BB", value)
    primary, at = _cut(value, 2)
    secondary = _cut(value, at)[0] if at < len(value) else b""  # some leave it out altogether
    return UserIdentity(kind=kind, wants_response=bool(wants), primary=primary, secondary=secondary)


def _cut(value: bytes, at: int) -> tuple[bytes, int]:
    """Take a field that begins with its length; say where the next one begins."""
    (length,) = _U16.unpack_from(value, at)
    end = at + 2 + length
    if end > len(value):
        raise InvalidRequest("A User Information item is cut off.")
    return value[at + 2 : end], end


def _named(value: bytes) -> tuple[str, bytes]:
    (length,) = _U16.unpack_from(value)
    if 2 + length > len(value):
        raise InvalidRequest("A User Information item is cut off.")
    return _uid(value[2 : 2 + length]), value[2 + length :]
