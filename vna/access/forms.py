"""What a browser holds before anyone is known, and what ties a form to it."""

from __future__ import annotations

from vna.crypto import credentials


def fresh_cookie() -> str:
    """Make the secret of a browser nobody has signed in with yet."""
    return credentials.new_secret()


def token(secret: str) -> str:
    """Say what forms of the browser that holds this secret must carry."""
    return credentials.form_token(secret)


def is_token(secret: str, shown: str) -> bool:
    """Whether a form came from the browser that holds this secret."""
    return credentials.is_form_token(secret, shown)
