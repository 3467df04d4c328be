"""Numbers of ours, as a form or an address of a page carries them."""

from __future__ import annotations

from vna.errors import InvalidRequest


def number_of(text: str) -> int | None:
    """Read a number of ours. Raises `InvalidRequest`."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) >= 1 << 63:
        raise InvalidRequest("That is not a number of ours.")
    return int(text)
