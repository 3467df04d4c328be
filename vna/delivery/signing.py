"""Calls between programs that prove who calls: ours are signed, and those of a provider checked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterable
from typing import Final

SIGNATURE: Final = "X-VNA-Signature"

_MOST_AGE_S = 300.0


def sign(secret: str, content: bytes, *, at: float | None = None) -> str:
    """Sign a body with its time: t=SECONDS,v1=HMAC-SHA256 of SECONDS.BODY, in hexadecimal.

    The time is signed, too, so that who listened cannot repeat the call later.
    """
    second = int(time.time() if at is None else at)
    mac = hmac.digest(secret.encode(), b"%d." % second + content, "sha256")
    return f"t={second},v1={mac.hex()}"


def is_signed(secret: str, content: bytes, shown: str, *, at: float | None = None) -> bool:
    """Check such a signature, as a receiver does; older than five minutes it is none."""
    second, _, _ = shown.removeprefix("t=").partition(",")
    now = time.time() if at is None else at
    if not second.isascii() or not second.isdigit() or len(second) > 12:
        return False
    wanted = sign(secret, content, at=int(second))
    is_fresh = abs(now - int(second)) <= _MOST_AGE_S
    return hmac.compare_digest(wanted.encode(), shown.encode("utf-8", "replace")) and is_fresh


def twilio_signature(secret: str, url: str, fields: Iterable[tuple[str, str]]) -> str:
    """Sign a form the way Twilio does: HMAC-SHA1 of the URL and the sorted fields, in base64."""
    text = url + "".join(name + value for name, value in sorted(fields))
    mac = hmac.new(secret.encode(), text.encode("utf-8", "replace"), hashlib.sha1)
    return base64.b64encode(mac.digest()).decode()


def is_twilios(secret: str, url: str, fields: Iterable[tuple[str, str]], shown: str) -> bool:
    """Check X-Twilio-Signature, in constant time."""
    wanted = twilio_signature(secret, url, fields)
    return hmac.compare_digest(wanted.encode(), shown.encode("utf-8", "replace"))
