"""Errors and ingest outcomes -> DIMSE status, a table each (PS3.4 B.2.3, C.4.1.1.4; PS3.7 C)."""

from __future__ import annotations

from typing import Any

from vna import errors
from vna.dimse.messages import SUCCESS, Status
from vna.ingest.outcome import AlreadyStored, Cause, Caution, Outcome, Stored

CANCELLED = Status(code=0xFE00)
PENDING = Status(code=0xFF00)
PENDING_WITH_UNSUPPORTED_KEYS = Status(code=0xFF01)
SUBOPERATIONS_FAILED = Status(code=0xA702, comment="No sub-operation was completed.")
SOME_FAILED = Status(code=0xB000, comment="Some sub-operations failed or had warnings.")
NO_SUCH_DESTINATION = Status(code=0xA801, comment="The Move Destination is not known.")
FAILED = Status(code=0x0110, comment="The archive failed to do this.")
UNRECOGNISED_OPERATION = Status(code=0x0211, comment="This operation is not supported.")
NO_SUCH_SOP_CLASS = Status(code=0x0122, comment="This SOP Class is not supported.")
STOPPING = Status(code=0xA700, comment="The archive is stopping; try again later.")
INVALID_INSTANCE = Status(code=0xA900, comment="Affected SOP Instance UID is not a UID.")
NO_DATA_SET = Status(code=0xC000, comment="A data set is missing.")

# of normalized services (PS3.7 10.1.1.1.8, 10.1.4.1.10)
NO_SUCH_INSTANCE = Status(code=0x0112, comment="This is not the well-known SOP Instance.")
NO_SUCH_EVENT = Status(code=0x0113, comment="There is no such Event Type ID.")
NOTHING_GIVEN = Status(code=0x0115, comment="A data set is missing.")
NO_SUCH_NORMALIZED_CLASS = Status(code=0x0118, comment="This SOP Class is not served here.")
NO_SUCH_ACTION = Status(code=0x0123, comment="There is no such Action Type ID.")

# by class of error; the nearest ancestor in the table counts. C-STORE, C-FIND
ERRORS: dict[type[errors.VNAError], tuple[int, int]] = {
    errors.VNAError: (0x0110, 0xC000),
    errors.ConfigError: (0x0110, 0xC000),
    errors.InvalidRequest: (0xC000, 0xC000),
    errors.InvalidUID: (0xA900, 0xA900),
    errors.InvalidQuery: (0xA900, 0xA900),
    errors.MalformedInstance: (0xC000, 0xC000),
    errors.MalformedMultipart: (0xC000, 0xC000),
    errors.NotAuthenticated: (0x0124, 0x0124),
    errors.NotPermitted: (0x0124, 0x0124),
    errors.NotProven: (0x0124, 0x0124),
    errors.TooMany: (0x0124, 0x0124),
    errors.NotFound: (0xA900, 0xC000),
    errors.Gone: (0xA900, 0xC000),
    errors.Conflict: (0xA900, 0xC000),
    errors.NotAcceptable: (0x0122, 0xC000),
    errors.Undecodable: (0x0122, 0xC000),
    errors.UnsupportedMedia: (0x0122, 0xC000),
    errors.TooLarge: (0xA700, 0xA700),
    errors.Unavailable: (0xA700, 0xA700),
    errors.Contended: (0xA700, 0xA700),
    errors.CommitUnknown: (0xA700, 0xA700),
    errors.Corrupt: (0x0110, 0xC000),
    errors.WrongKey: (0x0110, 0xC000),
}

# C-MOVE and C-GET, where they differ from C-FIND: what could not be counted (PS3.4 Table C.4-2)
RETRIEVE_ERRORS: dict[type[object], int] = {
    errors.TooLarge: 0xA701,
    errors.Unavailable: 0xA701,
    errors.CommitUnknown: 0xA701,
}

NORMALIZED_ERRORS: dict[type[object], int] = {
    errors.VNAError: 0x0110,
    errors.InvalidRequest: 0x0115,
    errors.NotAuthenticated: 0x0124,
    errors.NotPermitted: 0x0124,
    errors.NotFound: 0x0115,
    errors.Conflict: 0x0115,
    errors.TooLarge: 0x0213,
    errors.Unavailable: 0x0213,
}

CAUSES: dict[Cause, int] = {
    Cause.OUT_OF_RESOURCES: 0xA700,
    Cause.TOO_LARGE: 0xA700,
    Cause.CANNOT_UNDERSTAND: 0xC000,
    Cause.MISSING_IDENTITY: 0xA900,
    Cause.MISMATCH: 0xA900,
    Cause.SOP_CLASS: 0x0122,
    Cause.TRANSFER_SYNTAX: 0xC122,
    Cause.DUPLICATE: 0x0111,
    Cause.NOT_PERMITTED: 0x0124,
    Cause.FAILED: 0x0110,
}

CAUTIONS: dict[Caution, int] = {
    Caution.DIFFERS: 0xB000,
    Caution.ELSEWHERE: 0xB000,
}


def is_warning(code: int) -> bool:
    """Whether a status says that it was done, but not wholly as asked (PS3.7 Annex C)."""
    return code in (0x0001, 0x0107, 0x0116) or 0xB000 <= code <= 0xBFFF


def of_outcome(outcome: Outcome, *, answer: str) -> Status:
    """Say what a C-STORE is answered; `answer` is the setting `versions.answer`."""
    if isinstance(outcome, AlreadyStored):
        return SUCCESS
    if isinstance(outcome, Stored):
        caution = outcome.caution
        # a sender that takes a warning for a failure may be told success; but not of what nobody
        # will find where it was sent to
        if caution is None or (caution is Caution.DIFFERS and answer == "success"):
            return SUCCESS
        return Status(code=CAUTIONS[caution], comment=outcome.message)
    return Status(code=CAUSES[outcome.cause], comment=outcome.message)


def of_retrieve_error(error: errors.VNAError) -> Status:
    """Say what a C-MOVE or C-GET is answered that ended in this error, before any sub-operation."""
    kinds = type(error).__mro__
    found = next((RETRIEVE_ERRORS[kind] for kind in kinds if kind in RETRIEVE_ERRORS), None)
    return Status(code=_row(error)[1] if found is None else found, comment=str(error))


def of_normalized_error(error: errors.VNAError) -> Status:
    """Say what an N-ACTION or N-EVENT-REPORT is answered that ended in this error."""
    kinds = type(error).__mro__
    code = next(NORMALIZED_ERRORS[kind] for kind in kinds if kind in NORMALIZED_ERRORS)
    return Status(code=code, comment=str(error))


def of_store_error(error: errors.VNAError) -> Status:
    """Say what a C-STORE is answered that ended in this error."""
    return Status(code=_row(error)[0], comment=str(error))


def of_find_error(error: errors.VNAError, *, offending: tuple[int, ...] = ()) -> Status:
    """Say what a C-FIND is answered that ended in this error."""
    return Status(code=_row(error)[1], comment=str(error), offending=offending)


def _row(error: errors.VNAError) -> tuple[int, int]:
    kinds: tuple[Any, ...] = type(error).__mro__  # object and Exception are never in the table
    return next(ERRORS[kind] for kind in kinds if kind in ERRORS)
