"""What a browser holds before anyone is known, and what ties a form to it."""

from __future__ import annotations

from vna.crypto import credentials
from vna.errors import Corrupt


def fresh_cookie() -> str:
    """Make the secret of a browser nobody has signed in with yet."""
    return credentials.new_secret()


def token(secret: str) -> str:
    """Say what forms of the browser that holds this secret must carry."""
    return credentials.form_token(secret)


def is_token(secret: str, shown: str) -> bool:
    """Whether a form came from the browser that holds this secret."""
    return credentials.is_form_token(secret, shown)


def sealed(secret: str, text: str) -> str:
    """Seal what was typed into a form, for an address that is read by this browser's owner alone.

    An address rests in histories and logs; what is in this one ends with the session.
    """
    return credentials.seal_for(secret, text)


def opened(secret: str, shown: str) -> str | None:
    """Read it; None when it is another browser's, of another session, or none at all."""
    try:
        return credentials.open_for(secret, shown)
    except Corrupt:
        return None
