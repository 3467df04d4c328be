"""A-ASSOCIATE-RQ -> the answer (PS3.8 7.1, PS3.7 D.3, PS3.4 C.5): a pure function of the request.

Each Presentation Context gets the first Transfer Syntax of the proposer's own list that the service
takes: what a peer names first is what it has, and it is stored as it comes. Where the requestor
only receives, as for C-GET, it gets the one every object can be sent in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vna.config import Dicom
from vna.dicom.uids import (
    EXPLICIT_LITTLE,
    IMPLEMENTATION_CLASS,
    IMPLEMENTATION_VERSION,
    IMPLICIT_LITTLE,
)
from vna.dimse.pdu import (
    APPLICATION_CONTEXT,
    AnsweredContext,
    AssociateAccept,
    AssociateRequest,
    ProposedContext,
    Role,
    UserInformation,
)
from vna.dimse.sop_classes import Service, service_of, syntaxes_of
from vna.dimse.upper_layer import Rejected

# PS3.8 9.3.4, Table 9-21: result, source, reason
NO_SUCH_VERSION = Rejected(result=1, source=2, reason=2)
NO_SUCH_APPLICATION = Rejected(result=1, source=1, reason=2)
NOT_AUTHENTICATED = Rejected(result=1, source=2, reason=1)  # PS3.7 D.3.3.7: the ACSE provider
UNKNOWN_CALLING = Rejected(result=1, source=1, reason=3)
UNKNOWN_CALLED = Rejected(result=1, source=1, reason=7)
CONGESTED = Rejected(result=2, source=3, reason=1)
OVER_LIMIT = Rejected(result=2, source=3, reason=2)

ACCEPTED, NO_ROLE, NO_SUCH_CLASS, NO_SUCH_SYNTAX = 0, 1, 3, 4  # PS3.8 Table 9-18

# that of C-MOVE and C-GET (PS3.4 C.5.2.1, C.5.3.1): relational retrieval, enhanced conversion
RETRIEVE_OPTIONS = bytes((1, 0))

# SOP Class Extended Negotiation of C-FIND (PS3.4 C.5.1.1), byte by byte: relational queries,
# combined date-time, fuzzy names, timezone adjustment, enhanced conversion, empty value,
# multiple value
FIND_OPTIONS = bytes((1, 1, 1, 1, 0, 1, 1))


_OURS: dict[Service | None, bytes] = {
    Service.FIND: FIND_OPTIONS,
    Service.MOVE: RETRIEVE_OPTIONS,
    Service.GET: RETRIEVE_OPTIONS,
}
_PLAIN = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindOptions:
    """What both sides agreed on for one Information Model (PS3.4 C.5.1.1).

    Of a retrieval only `relational` is ever agreed on.
    """

    relational: bool = False
    combined_datetime: bool = False
    fuzzy: bool = False
    timezone: bool = False
    enhanced: bool = False
    empty_value: bool = False
    multiple_value: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """An accepted Presentation Context."""

    context_id: int
    sop_class: str
    transfer_syntax: str
    service: Service
    options: FindOptions = FindOptions()
    from_us: bool = False  # the requestor takes C-STORE requests on it, as C-GET has it
    to_us: bool = True  # the requestor sends requests on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiated:
    """The answer to send, and what it means here: Presentation Context ID -> Context."""

    answer: AssociateAccept
    contexts: dict[int, Context]


def negotiate(request: AssociateRequest, settings: Dicom) -> Negotiated | Rejected:
    """Answer an association request by the settings alone; who may call is asked elsewhere."""
    if refused := refusal(request, settings):
        return refused
    roles = {role.sop_class: role for role in request.user.roles}
    options = _options(request)
    settled = [_settle(p, roles.get(p.abstract_syntax), settings) for p in request.contexts]
    contexts = {
        context.context_id: replace(context, options=_read(options.get(context.sop_class, b"")))
        for _, context in settled
        if context is not None
    }
    taken = {context.sop_class: context.service for context in contexts.values()}
    accept = AssociateAccept(
        called=request.called,
        calling=request.calling,
        contexts=tuple(answer for answer, _ in settled),
        user=UserInformation(
            max_pdu_bytes=settings.max_pdu_bytes,
            implementation_class=IMPLEMENTATION_CLASS,
            implementation_version=IMPLEMENTATION_VERSION,
            window=(1, 1) if request.user.window is not None else None,
            roles=tuple(_role(role, taken[name]) for name, role in roles.items() if name in taken),
            extended=tuple((name, info) for name, info in options.items() if name in taken),
        ),
    )
    return Negotiated(answer=accept, contexts=contexts)


def refusal(request: AssociateRequest, settings: Dicom) -> Rejected | None:
    """Say why the whole association is refused, if it is."""
    if not request.version & 1:
        return NO_SUCH_VERSION
    if request.application_context != APPLICATION_CONTEXT:
        return NO_SUCH_APPLICATION
    if not _is_title(request.calling):
        return UNKNOWN_CALLING
    if not settings.called_ae_any and request.called != settings.ae_title:
        return UNKNOWN_CALLED
    return None


def _is_title(title: str) -> bool:
    # PS3.5 6.2 AE: the default repertoire without backslash and control characters
    return bool(title) and title.isascii() and title.isprintable() and "\\" not in title


def _settle(
    proposed: ProposedContext, role: Role | None, settings: Dicom
) -> tuple[AnsweredContext, Context | None]:
    service = service_of(proposed.abstract_syntax, unknown_storage=settings.unknown_storage)
    if service is None:
        return _refused(proposed, NO_SUCH_CLASS), None
    to_us, from_us = _roles(role, service)
    chosen = _chosen(proposed.transfer_syntaxes, syntaxes_of(service), to_us=to_us)
    if chosen is None:
        return _refused(proposed, NO_SUCH_SYNTAX), None
    if not (to_us or from_us):
        return _refused(proposed, NO_ROLE), None
    answer = AnsweredContext(
        context_id=proposed.context_id, result=ACCEPTED, transfer_syntax=chosen
    )
    return answer, Context(
        context_id=proposed.context_id,
        sop_class=proposed.abstract_syntax,
        transfer_syntax=chosen,
        service=service,
        to_us=to_us,
        from_us=from_us,
    )


def _chosen(proposed: tuple[str, ...], takes: frozenset[str], *, to_us: bool) -> str | None:
    usable = [uid for uid in proposed if uid in takes]
    if not to_us:  # we are the sender only, and whatever we hold can be sent in one of these
        usable.sort(key=lambda uid: _PLAIN.index(uid) if uid in _PLAIN else len(_PLAIN))
    return usable[0] if usable else None


def _roles(role: Role | None, service: Service) -> tuple[bool, bool]:
    # A role is what both sides grant (PS3.7 D.3.3.4): the requestor may be the SCU, and of Storage
    # the SCP, which is what C-GET needs (PS3.4 C.5.3.1), as it may be of Storage Commitment, to
    # report what we asked for (J.3.3); without a word of it, it is the SCU
    if role is None:
        return True, False
    return role.scu, role.scp and service in (Service.STORAGE, Service.COMMITMENT)


def _role(role: Role, service: Service) -> Role:
    to_us, from_us = _roles(role, service)
    return Role(sop_class=role.sop_class, scu=to_us, scp=from_us)


def _refused(proposed: ProposedContext, result: int) -> AnsweredContext:
    return AnsweredContext(
        context_id=proposed.context_id,
        result=result,
        transfer_syntax=proposed.transfer_syntaxes[0],
    )


def _options(request: AssociateRequest) -> dict[str, bytes]:
    # one byte in, one byte out; bytes of a later standard are left off (PS3.4 C.5.1.1)
    return {
        name: bytes(
            int(asked == 1 and can == 1) for asked, can in zip(information, ours, strict=False)
        )
        for name, information in request.user.extended
        if (ours := _OURS.get(service_of(name, unknown_storage=False)))
    }


def _read(agreed: bytes) -> FindOptions:
    said = [bool(byte) for byte in agreed.ljust(len(FIND_OPTIONS), b"\0")]
    return FindOptions(
        relational=said[0],
        combined_datetime=said[1],
        fuzzy=said[2],
        timezone=said[3],
        enhanced=said[4],
        empty_value=said[5],
        multiple_value=said[6],
    )
