"""One attempt at a message: claimed, opened, written, given away, and what became of it kept.

An attempt cut off between the other side's "taken" and our note of it is made again: a message goes
out at least once. A mail keeps its Message-ID, so that the second one is seen to be the first.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from vna.config import Settings
from vna.crypto.keyring import Keyring
from vna.db import statements
from vna.db.pool import Connection, Database
from vna.delivery.channels import EMAIL, SMS
from vna.delivery.letters import compose
from vna.delivery.notifier import Cause, Failed, Notifier, Outgoing, Taken
from vna.delivery.sealing import unseal
from vna.delivery.sms import TwilioSms, WebhookSms
from vna.delivery.smtp import Smtp
from vna.delivery.webhooks import WEBHOOK, call
from vna.outbound import Gate
from vna.telemetry import MESSAGES

_SQL = statements.load("delivery")

BACK_OFF_S: Final = (60.0, 300.0, 1800.0, 7200.0, 43200.0)
"""Waits after the first attempts; after one more that failed the message is given up."""

HELD_S: Final = 300.0
"""Wait for a share that is suspended to go on."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What became of an attempt. `again_s`: it failed, and is to be made again then."""

    is_over: bool = True
    cause: Cause | None = None
    again_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """An attempt that is under way."""

    channel: str
    via: str
    send: Callable[[], Taken | Failed]
    attempts: int
    useful_s: float


class Inbox:
    """Keeps messages in the archive itself: the way out under `--dev`."""

    via = "inbox"

    def send(self, outgoing: Outgoing) -> Taken | Failed:  # noqa: ARG002 -- it stays where it is
        """Take the message; nothing leaves the house."""
        return Taken()


class Nobody:
    """Takes nothing: there is no way out for this channel."""

    via = "nobody"

    def send(self, outgoing: Outgoing) -> Taken | Failed:  # noqa: ARG002 -- of no use here
        """Say that it is not set up."""
        return Failed(cause=Cause.NOT_SET_UP, is_final=True)


class Sender:
    """Makes attempts. Safe to use from many threads."""

    def __init__(self, *, database: Database, keyring: Keyring, settings: Settings) -> None:
        self._database = database
        self._keyring = keyring
        self._site = settings.site
        self._gate = Gate(settings.outbound)
        self._ways = ways(settings, self._gate)

    def attempt(self, message_id: int, *, most_s: float, job_id: int | None = None) -> Attempt:
        """Try to send a message; `most_s` is the longest wait there may be before the next try.

        A job that waited when a person asked for another one leaves the message to that one.
        """
        found = self._database.changing(lambda tx: self._begun(tx, message_id, most_s, job_id))
        if isinstance(found, Attempt):
            return found
        result = found.send()
        if isinstance(result, Taken):
            via = found.via
            ended = self._database.changing(lambda tx: _accepted(tx, message_id, via, result))
            MESSAGES.labels(found.channel, "accepted" if ended else "lost").inc()
            return Attempt()
        again_s = _again_s(result, found.attempts, min(found.useful_s, most_s))
        self._database.changing(lambda tx: _failed(tx, message_id, result, again_s))
        outcome = "failed" if again_s is not None else "dead"
        MESSAGES.labels(found.channel, outcome).inc()
        log.warning(
            "message not sent",
            extra={"number": message_id, "cause": result.cause.value, "again_s": again_s},
        )
        return Attempt(is_over=again_s is None, cause=result.cause, again_s=again_s)

    def _begun(
        self, tx: Connection, message_id: int, most_s: float, job_id: int | None
    ) -> _Begun | Attempt:
        if job_id is not None and not _is_of_job(tx, message_id, job_id):
            return Attempt()
        if tx.execute(_SQL.leave_message, (message_id,)).fetchone() is not None:
            return Attempt()
        again_s = HELD_S if most_s >= HELD_S else None
        said = {"message_id": message_id, "after_s": again_s}
        if tx.execute(_SQL.hold_message, said).fetchone() is not None:
            return Attempt(is_over=again_s is None, cause=Cause.HELD, again_s=again_s)
        row = tx.execute(_SQL.begin_message, (message_id,)).fetchone()
        if row is None:
            expired = tx.execute(_SQL.expire_message, (message_id,)).fetchone()
            if expired is None:
                return Attempt()
            MESSAGES.labels(expired[0], "dead").inc()
            return Attempt(cause=Cause.EXPIRED)
        token, channel, template, language, sealed, attempts, useful_s = row
        contents = unseal(self._keyring, token, sealed)
        if channel == WEBHOOK:
            via, send = WEBHOOK, functools.partial(call, self._gate, token, contents)
        else:
            outgoing = Outgoing(
                token=token,
                kind=channel,
                address=contents.address,
                letter=compose(template, contents.values, language=language, site=self._site),
                language=language,
            )
            way = self._ways[channel]
            via, send = way.via, functools.partial(way.send, outgoing)
        return _Begun(
            channel=channel, via=via, send=send, attempts=int(attempts), useful_s=float(useful_s)
        )


def ways(settings: Settings, gate: Gate) -> Mapping[str, Notifier]:
    """Make the ways out that the settings name. Raises `ConfigError`."""
    return {EMAIL: _mail(settings), SMS: _sms(settings, gate)}


def _mail(settings: Settings) -> Notifier:
    if settings.mail.host:
        return Smtp(settings.mail, site=settings.site.name, is_dev=settings.dev)
    return Inbox() if settings.dev else Nobody()


def _sms(settings: Settings, gate: Gate) -> Notifier:
    if settings.sms.provider == "twilio":
        return TwilioSms(settings.sms, gate)
    if settings.sms.provider == "webhook":
        return WebhookSms(settings.sms, gate)
    return Inbox() if settings.dev else Nobody()


def _again_s(result: Failed, attempts: int, most_s: float) -> float | None:
    if result.is_final or attempts > len(BACK_OFF_S):
        return None
    wait_s = BACK_OFF_S[attempts - 1]
    return wait_s if wait_s <= most_s else None


def _is_of_job(tx: Connection, message_id: int, job_id: int) -> bool:
    return tx.execute(_SQL.is_of_job, (message_id, job_id)).fetchone() is not None


def _accepted(tx: Connection, message_id: int, via: str, taken: Taken) -> bool:
    values = {
        "message_id": message_id,
        "via": via,
        "provider_ref": taken.reference,
        "told": taken.told,
    }
    return tx.execute(_SQL.accept_message, values).fetchone() is not None


def _failed(tx: Connection, message_id: int, failed: Failed, again_s: float | None) -> None:
    values = {
        "message_id": message_id,
        "cause": failed.cause.value,
        "told": failed.told,
        "after_s": again_s,
    }
    tx.execute(_SQL.fail_message, values)
