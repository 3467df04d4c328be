"""Calling AE title and address -> Principal, or the rejection.

An AE title is a name anyone may write, not a proof: outside `--dev` nobody is known by it alone.
"""

from __future__ import annotations

from vna.access.principal import Action, Kind, Principal
from vna.config import Settings
from vna.dimse.negotiate import UNKNOWN_CALLING
from vna.dimse.upper_layer import Rejected


def principal_of(calling: str, address: str, settings: Settings) -> Principal | Rejected:
    """Say who calls: under `--dev` anyone, by the name given; otherwise nobody is registered."""
    if not settings.dev:
        return UNKNOWN_CALLING
    return Principal(kind=Kind.AE, name=calling, actions=frozenset(Action), address=address)
