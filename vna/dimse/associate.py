"""Who calls -> Principal, or the rejection.

An AE title is a name anyone may write, not a proof: outside `--dev` nobody is known by it alone. A
certificate under TLS is one, where `dicom.identities` says whose it is.
"""

from __future__ import annotations

from vna.access.principal import Action, Kind, Principal
from vna.config import Settings
from vna.dimse.negotiate import UNKNOWN_CALLING
from vna.dimse.upper_layer import Rejected

_OF_AN_AE = frozenset((Action.STORE, Action.QUERY, Action.RETRIEVE))


def principal_of(
    calling: str, address: str, settings: Settings, *, proven: bool = False
) -> Principal | Rejected:
    """Say who calls: under `--dev` anyone, by the name given; else who proved to be that AE."""
    if settings.dev:
        return Principal(kind=Kind.AE, name=calling, actions=frozenset(Action), address=address)
    if proven:
        return Principal(kind=Kind.AE, name=calling, actions=_OF_AN_AE, address=address)
    return UNKNOWN_CALLING
