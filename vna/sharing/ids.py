"""Numbers of shares, grants, consents and channels: of time and chance, the same for ever.

A sequence would begin anew in a database that was lost, and give an old number to something new:
then what the journal says of the old one would be said of the new.
"""

from __future__ import annotations

import secrets
import time

_CHANCE_BITS = 21
_EPOCH_MS = 1_577_836_800_000  # 2020: so that 42 bits last until 2159


def new_id() -> int:
    """Draw a number of 63 bits that grows with time."""
    now = time.time_ns() // 1_000_000 - _EPOCH_MS
    return now << _CHANCE_BITS | secrets.randbits(_CHANCE_BITS)
