"""In which Transfer Syntax a stored object goes out: as it is, as Explicit VR LE, or not.

No codec runs here: what is stored compressed goes out compressed (PS3.18 8.7.3.2).
"""

from __future__ import annotations

from collections.abc import Sequence

from vna.dicom.uids import EXPLICIT_LITTLE, syntax
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
