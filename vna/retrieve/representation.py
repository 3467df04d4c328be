"""In which Transfer Syntax a stored object goes out: as it is, as Explicit VR LE, or not.

No codec runs here: what is stored compressed goes out compressed (PS3.18 8.7.3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from vna.dicom.rewrite import REWRITTEN
from vna.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE, syntax
from vna.errors import NotAcceptable

ANY = "*"


def choose(stored: str, acceptable: Sequence[str] | None) -> str:
    """Pick the Transfer Syntax to send an object stored in `stored`.

    `acceptable` are Transfer Syntax UIDs by preference, `*` is as stored; None is nothing said:
    then Explicit VR Little Endian, or as stored where only lossy compressed Pixel Data is held
    (PS3.18 8.7.3). Raises `NotAcceptable` naming what is stored.
    """
    held = syntax(stored)
    if acceptable is None:
        if not held.encapsulated:
            return EXPLICIT_LITTLE
        if not held.lossless:
            return stored
    for wanted in acceptable or ():
        if wanted in (ANY, stored):
            return stored
        if wanted == EXPLICIT_LITTLE and not held.encapsulated:
            return EXPLICIT_LITTLE
    raise NotAcceptable(
        f"This is stored in Transfer Syntax {stored}; ask for that one, or for any with '*'."
    )


@lru_cache(maxsize=256)
def forms(stored: str) -> tuple[str, ...]:
    """List the Transfer Syntaxes an object stored in `stored` can be sent in, the stored one first.

    What an AE does not take as it is stored it is offered in the two every AE knows.
    """
    if stored != EXPLICIT_LITTLE and stored not in REWRITTEN:
        return (stored,)
    plain = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
    return (stored, *(form for form in plain if form != stored))
