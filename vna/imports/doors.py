"""A link with a passcode: one way to try it, whatever it leads to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vna.crypto import shares
from vna.crypto.credentials import Vault
from vna.errors import NotAuthenticated

_CLOSED = (
    "That does not open. Compare the passcode; after ten wrong ones, and when its time is over, a "
    "link is closed: ask who sent it for a new one."
)


def opened(
    found: Sequence[Any] | None,  # a row
    passcode: str,
    *,
    vault: Vault,
    charge: Callable[[int], bool],
    refused: Callable[[int], None],
) -> int:
    """Say which one a link leads to, whose passcode was typed.

    `found` is the row of the link: its number and the passcode as it is kept; None for a link
    nobody made. `charge` counts a try before it is made and says whether there was one left;
    `refused` writes down that it was wrong. Raises `NotAuthenticated`: an unknown link, a wrong
    passcode and a link that ended are refused in the same words, at the same cost.
    """
    is_charged = found is not None and charge(found[0])
    kept = found[1] if found is not None and is_charged else None
    is_right = vault.is_passphrase(shares.plain(passcode), kept)
    if found is None or not is_charged or not is_right:
        if found is not None:
            refused(found[0])
        raise NotAuthenticated(_CLOSED)
    return int(found[0])
