"""In which Transfer Syntax a stored object goes out: as it is, in another it can become, or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from vna.dicom.rewrite import REWRITTEN
from vna.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE, syntax
from vna.errors import NotAcceptable
from vna.pixels import registry

ANY, EASY = "*", "~"
"""As stored; and Explicit VR Little Endian where that takes no codec, else as stored."""

Wishes = Sequence[str | tuple[str, ...]]

Targets = Callable[[], frozenset[str]]
"""Tells what else an object can become. Asked only when that matters: it may be read for it."""


def choose(stored: str, acceptable: Wishes | None, targets: Targets = frozenset) -> str:
    """Pick the Transfer Syntax to send an object stored in `stored`.

    `acceptable` are Transfer Syntax UIDs by preference, `ANY` and `EASY` among them, and tuples of
    such as are equally welcome: what takes no codec then, else the first. None is nothing said:
    then Explicit VR Little Endian, or as stored where only lossy compressed Pixel Data is held
    (PS3.18 8.7.3). Raises `NotAcceptable` naming what there is.
    """
    held = syntax(stored)
    if acceptable is None:
        if not held.lossless:
            return stored
        acceptable = (EXPLICIT_LITTLE,)
    for wanted in _in_order(acceptable, stored):
        if wanted in (ANY, stored):
            return stored
        if wanted == EASY:
            return EXPLICIT_LITTLE if stored in REWRITTEN else stored
        if wanted == EXPLICIT_LITTLE and stored in REWRITTEN:
            return EXPLICIT_LITTLE
        if wanted in targets():
            return wanted
    raise NotAcceptable(_possible(stored, targets()))


def _in_order(acceptable: Wishes, stored: str) -> Iterator[str]:
    for wish in acceptable:
        if isinstance(wish, str):
            yield wish
        else:
            yield from _without_codec(wish, stored) or wish


def _without_codec(wish: tuple[str, ...], stored: str) -> tuple[str, ...]:
    """Choose of what is equally welcome that which needs no codec; `ANY` may mean just octets."""
    if stored in wish:
        return (stored,)
    if stored in REWRITTEN and EXPLICIT_LITTLE in wish:
        return (EXPLICIT_LITTLE,)
    return (stored,) if ANY in wish and not syntax(stored).encapsulated else ()


def is_converted(stored: str, target: str) -> bool:
    """Whether pixels go through a codec on the way from one Transfer Syntax to another."""
    if stored == target:
        return False
    return syntax(stored).encapsulated or syntax(target).encapsulated


class Forms(NamedTuple):
    """The Transfer Syntaxes objects stored in one can be sent to an AE in.

    `offered` has the stored one first, then those every AE knows, where they can be made. `made`
    are what a codec can make for an AE that takes or wants nothing else.
    """

    offered: tuple[str, ...]
    made: tuple[str, ...]


@lru_cache(maxsize=256)
def forms(stored: str) -> Forms:
    """Tell in which forms an AE can be sent what is stored in `stored`, as far as that tells."""
    is_open = stored == EXPLICIT_LITTLE or stored in REWRITTEN or registry.decodable(stored)
    if not is_open:
        return Forms((stored,), ())
    plain = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
    offered = (stored, *(form for form in plain if form != stored))
    made = (form for form in sorted(registry.CODECS) if registry.encodable(form))
    return Forms(offered, tuple(form for form in made if form not in offered))


def _possible(stored: str, targets: frozenset[str]) -> str:
    told = f"This is stored in Transfer Syntax {stored}; ask for that one, or for any with '*'."
    if stored in REWRITTEN:
        targets |= {EXPLICIT_LITTLE}
    if others := sorted(targets - {stored}):
        told += f" It can also be given in {', '.join(others)}."
    return told
