"""Guests of a test: who sends, what comes by mail, who receives."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.archive import Archive
from tests.imports.conftest import mark
from vna.delivery.sealing import unseal
from vna.imports.exchanges import Parcel, Party, Sent, Side
from vna.imports.values import Taken

SENDER, RECIPIENT = "ada.sender@example.org", "gray@practice.example"
HERE = "192.0.2.10"


@dataclass(slots=True)
class Mail:
    """A message as its addressee reads it."""

    to: str
    template: str
    values: dict[str, str] = field(default_factory=dict)

    @property
    def secret(self) -> str:
        """What stands after # in its link."""
        return self.values["link"].partition("#")[2]


def mails(archive: Archive) -> list[Mail]:
    """Read every message that waits, the oldest first."""
    with archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT template, token, sealed FROM message "
            "WHERE sealed IS NOT NULL ORDER BY message_id"
        ).fetchall()
    found = []
    for template, token, sealed in rows:
        contents = unseal(archive.store.keyring, bytes(token), bytes(sealed))
        found.append(Mail(contents.address, template, dict(contents.values)))
    return found


def last(archive: Archive, template: str) -> Mail:
    """Read the latest message of a sort."""
    return [mail for mail in mails(archive) if mail.template == template][-1]


def begun(archive: Archive, sender: str = SENDER, recipient: str = RECIPIENT) -> str:
    """Begin an exchange; give the sender's session."""
    parcel = Parcel(sender=sender, recipient=recipient, language="en")
    return archive.imports.guests.senders.begin(parcel, HERE)


def sender_of(archive: Archive, session: str) -> Party:
    """Come by a sender's session."""
    found = archive.imports.guests.resume(session, Side.SENDER, HERE)
    assert found is not None
    return found


def proven(archive: Archive, sender: str = SENDER, recipient: str = RECIPIENT) -> str:
    """Begin an exchange and show the code; give the sender's session."""
    session = begun(archive, sender, recipient)
    code = last(archive, "prove").values["code"]
    assert archive.imports.guests.senders.prove(sender_of(archive, session), code).is_right
    return session


def give(archive: Archive, session: str, name: str, data: bytes) -> Taken:
    """Send one file of an exchange."""
    party = sender_of(archive, session)
    taking = archive.imports.guests.senders.take(party, name=name, mark=mark(name), digest=None)
    try:
        taking.feed(data)
        return taking.finish()
    finally:
        taking.abort()


def sent(archive: Archive, session: str) -> Sent:
    """Send it; the link is in the mail."""
    return archive.imports.guests.senders.send(sender_of(archive, session))


def opened(archive: Archive, found: Sent) -> Party:
    """Open what was sent, as its recipient."""
    recipients = archive.imports.guests.recipients
    secret = last(archive, "guest-images").secret
    session = recipients.open(secret, found.passcode, HERE)
    party = archive.imports.guests.resume(session, Side.RECIPIENT, HERE)
    assert party is not None
    return party
