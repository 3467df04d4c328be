"""A real SMTP relay in a thread: STARTTLS or TLS with certificates of its own authority."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session


@dataclass(slots=True)
class Mailed:
    """A mail as the relay got it."""

    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        return cast(
            EmailMessage, email.message_from_bytes(self.content, policy=email.policy.default)
        )

    def part(self, subtype: str) -> str:
        """One of its texts."""
        found = self.message.get_body((subtype,))
        assert found is not None
        return str(found.get_content())


@dataclass(slots=True)
class Relay:
    """What it took, and what it answers instead when told to."""

    port: int = 0
    mails: list[Mailed] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    to_mail: str | None = None
    to_rcpt: str | None = None
    refused: dict[str, str] = field(default_factory=dict)  # address -> what it is told
    to_data: str | None = None
    to_quit: str = "221 2.0.0 bye"
    was_tls: list[bool] = field(default_factory=list)

    async def handle_MAIL(  # noqa: N802 -- as aiosmtpd calls it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a sender."""
        if self.to_mail is not None:
            return self.to_mail
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 -- as aiosmtpd calls it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient."""
        told = self.refused.get(address, self.to_rcpt)
        if told is not None:
            return told
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 -- as aiosmtpd calls it
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Take a mail."""
        if self.to_data is not None:
            return self.to_data
        assert isinstance(envelope.content, bytes)
        self.mails.append(
            Mailed(envelope.mail_from or "", list(envelope.rcpt_tos), envelope.content)
        )
        self.was_tls.append(
            session.ssl is not None or server.transport.get_extra_info("ssl_object")
        )
        return "250 2.0.0 taken"

    async def handle_QUIT(  # noqa: N802 -- as aiosmtpd calls it
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Say goodbye."""
        return self.to_quit

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        """Let "archive" in."""
        is_right = (data.login, data.password) == (b"archive", b"right")
        if is_right:
            self.users.append(data.login.decode())
        return AuthResult(success=is_right, handled=False)


def authority(folder: Path) -> tuple[trustme.CA, Path]:
    """Make an authority, and the file that says whom to trust."""
    made = trustme.CA()
    path = folder / "ca.pem"
    made.cert_pem.write_to_path(path)
    return made, path


@contextmanager
def relaying(
    ca: trustme.CA | None, *, security: str = "starttls", name: str = "127.0.0.1", **named: Any
) -> Iterator[Relay]:
    """Run a relay; without an authority it knows no TLS."""
    relay = Relay()
    tls = None
    if ca is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(name).configure_cert(tls)
    loop = asyncio.new_event_loop()

    def protocol() -> SMTP:
        if security == "starttls" and tls is not None:
            named.update(tls_context=tls, require_starttls=True)
        return SMTP(relay, hostname="relay", loop=loop, **named)

    async def listen() -> asyncio.AbstractServer:
        direct = tls if security == "tls" else None
        return await loop.create_server(protocol, "127.0.0.1", 0, ssl=direct)

    # its thread's from the start: where a browser is driven, another loop runs in ours
    thread = threading.Thread(target=loop.run_forever, name="relay")
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        asyncio.run_coroutine_threadsafe(_ended(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _ended(server: asyncio.AbstractServer) -> None:
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
