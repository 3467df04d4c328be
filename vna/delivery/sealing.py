"""What stands in a message, sealed until it is sent: the address, and the values of its form.

id of the archive key (16) | nonce (12) | AES-256-GCM of JSON, aad = id of the key | token
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from vna.crypto.keyring import Keyring
from vna.crypto.records import open_drawn, seal_drawn
from vna.errors import Corrupt

LABEL: Final = b"VNA message 1"
"""What the key of messages is drawn for."""
_KEY_ID: Final = 16


@dataclass(frozen=True, slots=True)
class Contents:
    """What is to go where."""

    address: str = field(repr=False)
    values: Mapping[str, str] = field(repr=False)


def seal(keyring: Keyring, token: bytes, contents: Contents) -> bytes:
    """Seal the contents of the message of this token."""
    key_id = keyring.current_id
    data = orjson.dumps([contents.address, dict(contents.values)])
    return key_id + seal_drawn(keyring.drawn_key(key_id, LABEL), data, key_id + token)


def unseal(keyring: Keyring, token: bytes, sealed: bytes) -> Contents:
    """Open them again. Raises `Corrupt`, for another message's too, and `NotFound`."""
    key_id = sealed[:_KEY_ID]
    data = open_drawn(keyring.drawn_key(key_id, LABEL), sealed[_KEY_ID:], key_id + token)
    try:
        address, values = orjson.loads(data)
    except ValueError as exc:
        raise Corrupt("The contents of a message are not well formed.") from exc
    return Contents(address, values)
