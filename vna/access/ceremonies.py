"""The two ceremonies of WebAuthn Level 2, as the library `webauthn` has them.

It is large, and only browsers of people with a passkey come here: imported when one does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from vna.errors import NotAuthenticated
from vna.texts import marked

_TIMEOUT_MS = 120_000
_REFUSED = (WebAuthnException, ValueError, KeyError, TypeError)  # of bytes nobody vouches for
_NOT_KNOWN = "This passkey is not known here."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """For whom an answer must be: our challenge, our name, the page's origin."""

    challenge: bytes
    name: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is kept of a new passkey."""

    credential_id: bytes
    public_key: bytes
    count: int


def registration(
    *, name: str, issuer: str, user: tuple[bytes, str], challenge: bytes, known: Iterable[bytes]
) -> str:
    """Write what the browser is to do to make a passkey, as JSON (5.4)."""
    options = generate_registration_options(
        rp_id=name,
        rp_name=issuer,
        user_id=user[0],
        user_name=user[1],
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
    )
    return options_to_json(options)


def made(credential: dict[str, Any], asked: Asked) -> Made:
    """Verify the passkey a browser made (7.1). Raises `NotAuthenticated`."""
    try:
        found = verify_registration_response(
            credential=credential,
            expected_challenge=asked.challenge,
            expected_rp_id=asked.name,
            expected_origin=asked.origin,
            require_user_verification=True,
        )
    except _REFUSED as exc:
        raise NotAuthenticated(marked("The passkey does not verify; try again.")) from exc
    return Made(
        credential_id=found.credential_id,
        public_key=found.credential_public_key,
        count=found.sign_count,
    )


def authentication(*, name: str, challenge: bytes) -> str:
    """Write what the browser is to do to sign in, as JSON (5.5). It names no account."""
    options = generate_authentication_options(
        rp_id=name,
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json(options)


def verified(
    credential: dict[str, Any], asked: Asked, *, public_key: bytes, count: int, handle: bytes
) -> int:
    """Verify an answer of a known passkey (7.2); its new count. Raises `NotAuthenticated`."""
    try:
        found = verify_authentication_response(
            credential=credential,
            expected_challenge=asked.challenge,
            expected_rp_id=asked.name,
            expected_origin=asked.origin,
            credential_public_key=public_key,
            credential_current_sign_count=count,
            require_user_verification=True,
        )
    except _REFUSED as exc:
        raise NotAuthenticated(_NOT_KNOWN) from exc
    if _handle(credential) not in (None, handle):
        raise NotAuthenticated(_NOT_KNOWN)
    return found.new_sign_count


def identifier(credential: dict[str, Any]) -> bytes:
    """Read which passkey an answer claims to be of. Raises `NotAuthenticated`."""
    try:
        return base64url_to_bytes(str(credential["rawId"])[:2048])
    except _REFUSED as exc:
        raise NotAuthenticated(_NOT_KNOWN) from exc


def _handle(credential: dict[str, Any]) -> bytes | None:
    response = credential.get("response")
    text = response.get("userHandle") if isinstance(response, dict) else None
    try:
        return base64url_to_bytes(str(text)) if text else None
    except _REFUSED as exc:
        raise NotAuthenticated(_NOT_KNOWN) from exc
