"""Mail by SMTP (RFC 5321) to one relay, under TLS except on this machine under --dev.

Each message has an envelope sender of its own (VERP), so that a bounce names the message and not
the person; its Message-ID is always the same, so that one sent twice is seen as one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as _SMTP
from email.utils import format_datetime
from typing import Final

from vna.config import Mail
from vna.delivery.notifier import Cause, Failed, Outgoing, Taken, code
from vna.errors import ConfigError

PLAIN: Final = "none"

_POLICY: Final = _SMTP.clone(cte_type="7bit")  # a relay need not take anything else (RFC 6152)

_FULL: Final = frozenset({"5.2.2", "4.2.2"})  # RFC 3463: mailbox full
_SENDER: Final = frozenset({"5.1.7", "5.1.8"})  # RFC 3463 3.2: the address mails come from
_NOBODY: Final = 550
_SIGN_IN: Final = 530  # RFC 4954 6, RFC 3207 4: a name and a password are wanted, or TLS


class Smtp:
    """Sends mails through the relay of the settings."""

    via = "smtp"

    def __init__(self, mail: Mail, *, site: str, is_dev: bool = False) -> None:
        """Check the settings before the first mail. Raises `ConfigError`."""
        if mail.security == PLAIN and not is_dev:
            raise ConfigError("mail.security may be none only under --dev: mails go out under TLS.")
        self._mail = mail
        self._site = site
        self._local, at, self._domain = mail.sender.rpartition("@")
        if not at or not self._local or not self._domain.isascii():
            raise ConfigError("mail.sender must be an address: images@example.org.")
        if not site.isprintable():
            raise ConfigError("site.name must be one line.")
        self._bounces = mail.bounces or mail.sender
        if "+" in self._bounces or "@" not in self._bounces:
            raise ConfigError("mail.bounces is an address without a +: the archive puts one in.")
        self._tls = _context(mail)

    def send(self, outgoing: Outgoing) -> Taken | Failed:
        """Send one mail; the address is the relay's to judge."""
        try:
            relay = self._connected()
            try:
                return self._handed_over(relay, outgoing)
            finally:
                _left(relay)
        except smtplib.SMTPAuthenticationError as exc:
            return Failed(cause=Cause.NOT_SET_UP, told=code(exc.smtp_code, exc.smtp_error))
        except smtplib.SMTPNotSupportedError:  # no STARTTLS: somebody may have taken it out
            return Failed(cause=Cause.REFUSED)
        except smtplib.SMTPResponseException as exc:
            return _refused(exc.smtp_code, exc.smtp_error)
        except (OSError, ssl.SSLError, smtplib.SMTPException):
            return Failed(cause=Cause.NETWORK)

    def message(self, outgoing: Outgoing) -> EmailMessage:
        """Write the mail."""
        mail = EmailMessage(policy=_POLICY)
        mail["From"] = Address(self._site, self._local, self._domain)
        mail["To"] = Address(addr_spec=outgoing.address)
        mail["Subject"] = outgoing.letter.subject
        mail["Date"] = format_datetime(dt.datetime.now(dt.UTC))
        mail["Message-ID"] = f"<{outgoing.token.hex()}@{self._domain}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes in answer
        mail["X-Auto-Response-Suppress"] = "All"
        mail.set_content(outgoing.letter.text)
        mail.add_alternative(outgoing.letter.html, subtype="html")
        mail["Content-Language"] = outgoing.language
        return mail

    def envelope(self, token: bytes) -> str:
        """Write the envelope sender of a message."""
        local, _, domain = self._bounces.rpartition("@")
        return f"{local}+{token.hex()}@{domain}"

    def _connected(self) -> smtplib.SMTP:
        mail, name = self._mail, self._domain
        if mail.security == "tls":
            relay: smtplib.SMTP = smtplib.SMTP_SSL(
                mail.host, mail.port, name, timeout=mail.timeout_s, context=self._tls
            )
        else:
            relay = smtplib.SMTP(mail.host, mail.port, name, timeout=mail.timeout_s)
        try:
            if mail.security == "starttls":
                relay.starttls(context=self._tls)
            if mail.user:
                relay.login(mail.user, mail.password)
        except BaseException:
            relay.close()
            raise
        return relay

    def _handed_over(self, relay: smtplib.SMTP, outgoing: Outgoing) -> Taken | Failed:
        content = self.message(outgoing).as_bytes()
        relay.ehlo_or_helo_if_needed()
        status, text = relay.mail(self.envelope(outgoing.token))
        if status not in (250, 251):
            return _refused(status, text, is_of_sender=True)
        status, text = relay.rcpt(outgoing.address)
        if status not in (250, 251):
            return _refused(status, text)
        status, text = relay.data(content)
        return Taken(told=code(status, text)) if status == 250 else _refused(status, text)


def _left(relay: smtplib.SMTP) -> None:
    """Say goodbye; whatever is answered, the mail was taken or was not."""
    with contextlib.suppress(OSError, smtplib.SMTPException):
        relay.quit()
    relay.close()


def _refused(status: int, text: bytes | str, *, is_of_sender: bool = False) -> Failed:
    told = code(status, text)
    if told[4:] in _FULL or status in (452, 552):
        return Failed(cause=Cause.QUOTA, told=told)  # somebody may tidy up
    if status < 500:
        return Failed(cause=Cause.NOT_NOW, told=told)
    if status == _SIGN_IN:  # as after a wrong password: somebody may set it right
        return Failed(cause=Cause.NOT_SET_UP, told=told)
    is_nobody = told[4:].startswith("5.1.") or (status == _NOBODY and not told[4:])
    is_of_sender = is_of_sender or told[4:] in _SENDER
    cause = Cause.ADDRESS if is_nobody and not is_of_sender else Cause.REFUSED
    return Failed(cause=cause, told=told, is_final=True)


def _context(mail: Mail) -> ssl.SSLContext:
    try:
        made = ssl.create_default_context(cafile=mail.ca or None)
    except (OSError, ValueError) as exc:
        raise ConfigError("mail.ca is not a file of certificates.") from exc
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made
