"""In which Transfer Syntax a stored object goes out: as it is, in another it can become, or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vna.dicom.uids import EXPLICIT_LITTLE, syntax
from vna.errors import NotAcceptable

ANY, EASY = "*", "~"
"""As stored; and Explicit VR Little Endian where that takes no codec, else as stored."""

Targets = Callable[[], frozenset[str]]
"""Tells what else an object can become. Asked only when that matters: it may be read for it."""


def choose(stored: str, acceptable: Sequence[str] | None, targets: Targets = frozenset) -> str:
    """Pick the Transfer Syntax to send an object stored in `stored`.

    `acceptable` are Transfer Syntax UIDs by preference, `ANY` and `EASY` among them; None is
    nothing said: then Explicit VR Little Endian, or as stored where only lossy compressed Pixel
    Data is held (PS3.18 8.7.3). Raises `NotAcceptable` naming what there is.
    """
    held = syntax(stored)
    if acceptable is None:
        if not held.lossless:
            return stored
        acceptable = (EXPLICIT_LITTLE,)
    for wanted in acceptable:
        if wanted in (ANY, stored):
            return stored
        if wanted == EASY:
            return stored if held.encapsulated else EXPLICIT_LITTLE
        if wanted == EXPLICIT_LITTLE and not held.encapsulated:
            return EXPLICIT_LITTLE
        if wanted in targets():
            return wanted
    raise NotAcceptable(_possible(stored, targets()))


def _possible(stored: str, targets: frozenset[str]) -> str:
    told = f"This is stored in Transfer Syntax {stored}; ask for that one, or for any with '*'."
    if not syntax(stored).encapsulated:
        targets |= {EXPLICIT_LITTLE}
    if others := sorted(targets - {stored}):
        told += f" It can also be given in {', '.join(others)}."
    return told
