"""Mails and short messages as their addressees get them: a relay and a gateway beside a server."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.delivery.gateway import Gateway
from tests.delivery.gateway import serving as calling
from tests.delivery.relay import Mailed, Relay, authority, relaying
from tests.flows.serving import READY_S, Serving, select_nothing
from vna.delivery.signing import SIGNATURE, is_signed

T = TypeVar("T")
SECRET = "a key of the gateway and of ours"
_LINK = re.compile(r"https?://\S+/[sgu]#[\w-]{43}")
_CODE = re.compile(r"\b\d{6,8}\b")


@dataclass(frozen=True, slots=True)
class Post:
    """What took the messages of a server, and what the server must know of it."""

    relay: Relay
    gateway: Gateway
    environment: dict[str, str]

    def serving(self, data: Path, **settings: str) -> Serving:
        """Make a server whose mails and short messages come here; its links lead to it."""
        found = Serving(data, {**self.environment, "VNA_BLOBS_FREE_BYTES": "0", **settings})
        found.environment["VNA_SHARING_URL"] = f"http://127.0.0.1:{found.http}"
        return found

    @contextmanager
    def served(self, **settings: str) -> Iterator[Serving]:
        """Run such a server in a folder of its own."""
        folder = Path(tempfile.mkdtemp(prefix="vna-posted-"))
        folder.chmod(0o755)
        found = self.serving(folder / "data", **settings)
        try:
            found.start()
            yield found
        finally:
            found.stop()
            shutil.rmtree(folder)

    def mail(self, to: str, *, subject: str = "") -> Mailed:
        """Wait for a mail to somebody; give the newest."""
        return _awaited(lambda: [m for m in tuple(self.relay.mails) if _is_meant(m, to, subject)])

    def link(self, to: str, *, subject: str = "") -> str:
        """Wait for a mail with a link; give the address in it."""
        return _awaited(
            lambda: [
                one[0]
                for mail in tuple(self.relay.mails)
                if _is_meant(mail, to, subject)
                and (one := _LINK.search(mail.part("plain"))) is not None
            ]
        )

    def code(self, to: str) -> str:
        """Wait for a mail or a signed short message with a code; give the newest."""
        return _awaited(lambda: _CODE.findall(" ".join(self._said(to))))

    def come(self, count: int) -> None:
        """Wait until that many mails came."""
        _awaited(lambda: self.relay.mails[count - 1 :])

    def everything(self) -> bytes:
        """Give all that went out: mails as they went and as they are read, and what was called."""
        mails = [
            part
            for mail in self.relay.mails
            for part in (mail.content, mail.part("plain").encode(), mail.part("html").encode())
        ]
        return b"\n".join([*mails, *(call.body for call in self.gateway.calls)])

    def _said(self, to: str) -> list[str]:
        if "@" in to:
            return [mail.part("plain") for mail in self.relay.mails if to in mail.recipients]
        said = []
        for call in tuple(self.gateway.calls):
            assert is_signed(SECRET, call.body, call.headers[SIGNATURE.lower()])
            message = json.loads(call.body)
            if message["to"] == to.replace(" ", ""):
                said.append(message["text"])
        return said


def _is_meant(mail: Mailed, to: str, subject: str) -> bool:
    return to in mail.recipients and subject in str(mail.message["subject"])


def _awaited(look: Callable[[], list[T]]) -> T:
    """Wait until something is there that another process sends; give the newest."""
    deadline = time.monotonic() + READY_S
    while not (found := look()):
        assert time.monotonic() < deadline
        select_nothing(0.05)
    return found[-1]


@contextmanager
def posting() -> Iterator[Post]:
    """Run a relay with STARTTLS and a gateway with HTTPS, in a folder of their own."""
    with ExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="vna-post-")))
        ca, trusted = authority(folder)
        relay, gateway = open_.enter_context(relaying(ca)), open_.enter_context(calling(ca))
        yield Post(
            relay,
            gateway,
            {
                "VNA_MAIL_HOST": "127.0.0.1",
                "VNA_MAIL_PORT": str(relay.port),
                "VNA_MAIL_SENDER": "images@example.org",
                "VNA_MAIL_CA": str(trusted),
                "VNA_SMS_PROVIDER": "webhook",
                "VNA_SMS_URL": f"{gateway.url}/sms",
                "VNA_SMS_SECRET": SECRET,
                "VNA_OUTBOUND_ALLOW": "127.0.0.1",
                "VNA_OUTBOUND_CA": str(trusted),
            },
        )
