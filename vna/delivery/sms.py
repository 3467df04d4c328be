"""Short messages: through what speaks like Twilio, or by a signed call of one's own gateway."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from vna.config import Sms
from vna.delivery.channels import Channel, country
from vna.delivery.notifier import Cause, Failed, Outgoing, Taken, code
from vna.delivery.signing import SIGNATURE, sign
from vna.errors import ConfigError, InvalidRequest, NotPermitted, TooLarge, Unavailable
from vna.outbound import Answer, Gate, require_url

STATUS_PATH: Final = "/delivery/sms/status"
"""Where a provider tells how it went, below `sms.callback`, followed by the message's token."""

_REFERENCE = re.compile(r"[!-~]{1,128}")
_MOST_ANSWER = 65536
# Twilio's error codes that say that nobody can be reached under this number
_NOBODY = frozenset({21211, 21214, 21217, 21610, 21612, 21614})


class TwilioSms:
    """Sends through the Messages resource of 2010-04-01."""

    via = "sms"

    def __init__(self, sms: Sms, gate: Gate) -> None:
        """Check the settings before the first message. Raises `ConfigError`."""
        _check(sms, account=sms.account, secret=sms.secret, sender=sms.sender)
        self._sms = sms
        self._gate = gate
        self._url = f"{sms.url.rstrip('/')}/2010-04-01/Accounts/{sms.account}/Messages.json"

    def send(self, outgoing: Outgoing) -> Taken | Failed:
        """Send one message."""
        if (refused := _abroad(self._sms, outgoing)) is not None:
            return refused
        fields = {
            "From": self._sms.sender,
            "To": outgoing.address,
            "Body": outgoing.letter.short,
        }
        if self._sms.callback:
            fields["StatusCallback"] = status_url(self._sms.callback, outgoing.token)
        found = _posted(
            self._gate,
            self._sms,
            self._url,
            content=urlencode(fields).encode(),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            auth=(self._sms.account, self._sms.secret),
        )
        return found if isinstance(found, Failed) else _judged(found, "sid")


class WebhookSms:
    """Sends to a gateway of one's own: JSON with `to`, `text` and `id`, signed."""

    via = "sms"

    def __init__(self, sms: Sms, gate: Gate) -> None:
        """Check the settings before the first message. Raises `ConfigError`."""
        _check(sms, secret=sms.secret)
        self._sms = sms
        self._gate = gate

    def send(self, outgoing: Outgoing) -> Taken | Failed:
        """Send one message; any 2xx says that it was taken, its `id` may name it."""
        if (refused := _abroad(self._sms, outgoing)) is not None:
            return refused
        body = {
            "id": outgoing.token.hex(),
            "to": outgoing.address,
            "from": self._sms.sender,
            "text": outgoing.letter.short,
        }
        content = orjson.dumps(body)
        headers = {"Content-Type": "application/json", SIGNATURE: sign(self._sms.secret, content)}
        found = _posted(self._gate, self._sms, self._sms.url, content=content, headers=headers)
        return found if isinstance(found, Failed) else _judged(found, "id")


def status_url(callback: str, token: bytes) -> str:
    """Write the address a provider tells about one message."""
    return f"{callback.rstrip('/')}{STATUS_PATH}/{token.hex()}"


def _check(sms: Sms, **needed: str) -> None:
    for name, value in needed.items():
        if not value:
            raise ConfigError(f"sms.{name} is needed to send short messages.")
    for name, url in (("url", sms.url), ("callback", sms.callback)):
        try:
            if url:
                require_url(url)
        except InvalidRequest as exc:
            raise ConfigError(f"sms.{name}: {exc}") from exc


def _abroad(sms: Sms, outgoing: Outgoing) -> Failed | None:
    """Refuse countries nobody wants to pay for: strangers earn by messages to costly numbers."""
    known = {one.strip().upper() for one in sms.countries.split(",") if one.strip()}
    if not known or country(Channel(outgoing.kind, outgoing.address)) in known:
        return None
    return Failed(cause=Cause.REFUSED, is_final=True)


def _posted(
    gate: Gate,
    sms: Sms,
    url: str,
    *,
    content: bytes,
    headers: dict[str, str],
    auth: tuple[str, str] | None = None,
) -> Answer | Failed:
    try:
        return gate.call(
            "POST",
            url,
            content=content,
            headers=headers,
            auth=auth,
            timeout_s=sms.timeout_s,
            most=_MOST_ANSWER,
        )
    except (NotPermitted, InvalidRequest):
        return Failed(cause=Cause.NOT_SET_UP)
    except (Unavailable, TooLarge):
        return Failed(cause=Cause.NETWORK)


def _judged(answer: Answer, name: str) -> Taken | Failed:
    said = _json(answer)
    told = code(answer.status)
    if 200 <= answer.status < 300:
        reference = str(said.get(name, ""))
        return Taken(reference=reference if _REFERENCE.fullmatch(reference) else None, told=told)
    if answer.status in (401, 403):
        return Failed(cause=Cause.NOT_SET_UP, told=told)
    if answer.status == 429:
        return Failed(cause=Cause.QUOTA, told=told)
    if answer.status in (400, 404, 422):
        is_nobody = said.get("code") in _NOBODY
        cause = Cause.ADDRESS if is_nobody else Cause.REFUSED
        return Failed(cause=cause, told=told, is_final=True)
    return Failed(cause=Cause.NOT_NOW, told=told)


def _json(answer: Answer) -> dict[str, Any]:  # whatever the gateway writes
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
