"""Storage Commitment with a remote AE, on associations we open (PS3.4 J.3).

`report` says what became of its request, as the SCP it asked; `ask` is the request of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from vna.access.remotes import Remote
from vna.config import Settings
from vna.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from vna.dimse.calling import requestor
from vna.dimse.commitments import (
    ALL_COMMITTED,
    REQUEST,
    SOME_FAILED,
    event_of,
    read_report,
    write_report,
    write_request,
)
from vna.dimse.messages import SUCCESS, Field, Status
from vna.dimse.pdu import Role
from vna.dimse.scu import Requestor
from vna.dimse.sop_classes import COMMITMENT_INSTANCE, COMMITMENT_PUSH
from vna.dimse.status import NO_SUCH_EVENT, UNRECOGNISED_OPERATION, of_normalized_error
from vna.errors import InvalidRequest, Unavailable
from vna.operate.pushes import Named, Report

_CONTEXTS = [(COMMITMENT_PUSH, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]
# the requestor is the SCP here, which has to be said (PS3.7 D.3.3.4, PS3.4 J.3.3)
_AS_SCP = Role(sop_class=COMMITMENT_PUSH, scu=False, scp=True)
_WAIT_S = 5.0  # for the report on the association of the request; most send it on another


def report(remote: Remote, settings: Settings, what: Report) -> int:
    """Report on an association of our own; return the status.

    Raises `Unavailable` when the remote AE cannot be told, `NotAcceptable` when it does not take
    the SOP Class.
    """
    with requestor(remote, settings, _CONTEXTS, roles=[_AS_SCP]) as association:
        return association.notify(
            Field.N_EVENT_REPORT,
            COMMITMENT_PUSH,
            COMMITMENT_INSTANCE,
            event_of(what),
            lambda syntax: write_report(what, syntax),
        ).code


def ask(
    remote: Remote, settings: Settings, transaction: str, asked: Sequence[Named]
) -> Report | None:
    """Ask for commitment; return the report if it comes on the same association.

    Raises `Unavailable` when it was not asked, `NotAcceptable` when the remote AE does not take
    the SOP Class.
    """
    with requestor(remote, settings, _CONTEXTS) as association:
        status = association.notify(
            Field.N_ACTION,
            COMMITMENT_PUSH,
            COMMITMENT_INSTANCE,
            REQUEST,
            lambda syntax: write_request(transaction, asked, syntax),
        )
        if status.code:
            raise Unavailable(f"The request was answered with status {status.code:04X}H.")
        return _reported(association, settings, transaction)


def _reported(association: Requestor, settings: Settings, transaction: str) -> Report | None:
    came = association.incoming(within_s=_WAIT_S, most=settings.commitment.body_bytes)
    if came is None:
        return None
    command, syntax, data = came
    found: Report | None = None
    status: Status = SUCCESS
    if command.field != Field.N_EVENT_REPORT:
        status = UNRECOGNISED_OPERATION
    elif command.type_id not in (ALL_COMMITTED, SOME_FAILED):
        status = NO_SUCH_EVENT
    else:
        try:
            found = read_report(data, syntax, most=settings.commitment.body_bytes)
            if found.transaction != transaction:
                raise InvalidRequest("Another Transaction UID was asked for.")
        except InvalidRequest as exc:
            found, status = None, of_normalized_error(exc)
    association.respond(command, status)
    return found
