"""Mails reach a real relay under TLS, hold what they should, and refusals are told apart."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.delivery.relay import Relay, authority, relaying
from vna.config import Mail, Site
from vna.delivery.letters import compose
from vna.delivery.notifier import Cause, Failed, Outgoing, Taken
from vna.delivery.smtp import Smtp
from vna.errors import ConfigError

SITE = Site(name="Zoë's Hospital", help="+49 30 1234 (9-17)")
VALUES = {
    "link": "https://images.example.org/s#c2VjcmV0",
    "way": "…42",
    "until": "2026-12-20",
    "number": "7KQ2-M4",
}
TOKEN = bytes(range(16))


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    return authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def relay(ca: tuple[trustme.CA, Path]) -> Iterator[Relay]:
    with relaying(ca[0]) as relay:
        yield relay


def smtp(relay: Relay, ca: tuple[trustme.CA, Path], **differs: Any) -> Smtp:
    settings = {"host": "127.0.0.1", "port": relay.port, "sender": "images@example.org"}
    mail = Mail(**{**settings, "ca": str(ca[1]), "timeout_s": 5.0, **differs})
    return Smtp(mail, site=SITE.name, is_dev=differs.get("security") == "none")


def outgoing(language: str = "en", to: str = "kim@example.org") -> Outgoing:
    letter = compose("invitation", VALUES, language=language, site=SITE)
    return Outgoing(token=TOKEN, kind="email", address=to, letter=letter, language=language)


def test_a_mail_arrives_under_tls_with_text_and_html_alike(
    relay: Relay, ca: tuple[trustme.CA, Path]
) -> None:
    assert smtp(relay, ca).send(outgoing()) == Taken(told="250 2.0.0")
    (mailed,) = relay.mails
    assert relay.was_tls[0]
    assert mailed.recipients == ["kim@example.org"]
    assert mailed.sender == f"images+{TOKEN.hex()}@example.org"
    for said in (mailed.part("plain"), mailed.part("html")):
        assert VALUES["link"] in said
        assert "the telephone whose number ends in 42" in said
        assert "20 December 2026" in said or "December 20, 2026" in said
    message = mailed.message
    assert message["Subject"] == "Medical images for you"
    assert message["From"].addresses[0].display_name == "Zoë's Hospital"
    assert message["Message-ID"] == f"<{TOKEN.hex()}@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"


def test_nothing_in_a_mail_is_loaded_from_anywhere(
    relay: Relay, ca: tuple[trustme.CA, Path]
) -> None:
    smtp(relay, ca).send(outgoing("de"))
    page = relay.mails[0].part("html")
    assert 'lang="de"' in page
    assert "<img" not in page
    assert "src=" not in page
    assert "url(" not in page
    assert page.count("http") == 2  # the link, and the link written out


def test_tls_may_stand_from_the_first_byte(ca: tuple[trustme.CA, Path]) -> None:
    with relaying(ca[0], security="tls") as relay:
        assert isinstance(smtp(relay, ca, security="tls").send(outgoing()), Taken)
        assert relay.was_tls[0]


def test_a_name_and_password_are_given_under_tls_only(ca: tuple[trustme.CA, Path]) -> None:
    signed = Relay()
    with relaying(ca[0], authenticator=signed.authenticate, auth_required=True) as relay:
        right = smtp(relay, ca, user="archive", password="right")
        wrong = smtp(relay, ca, user="archive", password="wrong")
        assert isinstance(right.send(outgoing()), Taken)
        assert wrong.send(outgoing()) == Failed(cause=Cause.NOT_SET_UP, told="535 5.7.8")
    assert signed.users == ["archive"]


def test_a_relay_without_starttls_gets_nothing(ca: tuple[trustme.CA, Path]) -> None:
    with relaying(None) as relay:
        assert smtp(relay, ca).send(outgoing()) == Failed(cause=Cause.REFUSED)
        assert relay.mails == []
        assert isinstance(smtp(relay, ca, security="none").send(outgoing()), Taken)


def test_a_relay_nobody_vouches_for_gets_nothing(
    relay: Relay, tmp_path: Path, ca: tuple[trustme.CA, Path]
) -> None:
    stranger = authority(tmp_path)
    assert smtp(relay, stranger).send(outgoing()) == Failed(cause=Cause.NETWORK)
    with relaying(ca[0], name="other.example") as other:
        assert smtp(other, ca).send(outgoing()) == Failed(cause=Cause.NETWORK)
        assert relay.mails == other.mails == []


@pytest.mark.parametrize(
    ("reply", "failed"),
    [
        (
            "550 5.1.1 no such user kim",
            Failed(cause=Cause.ADDRESS, told="550 5.1.1", is_final=True),
        ),
        ("550 nobody here", Failed(cause=Cause.ADDRESS, told="550", is_final=True)),
        ("552 5.2.2 full", Failed(cause=Cause.QUOTA, told="552 5.2.2")),
        ("451 4.7.1 greylisted", Failed(cause=Cause.NOT_NOW, told="451 4.7.1")),
        ("554 5.7.1 spam", Failed(cause=Cause.REFUSED, told="554 5.7.1", is_final=True)),
    ],
)
def test_refusals_are_told_apart_and_repeat_no_address(
    relay: Relay, ca: tuple[trustme.CA, Path], reply: str, failed: Failed
) -> None:
    relay.to_rcpt = reply
    assert smtp(relay, ca).send(outgoing()) == failed


@pytest.mark.parametrize("reply", ["550 5.1.8 bad sender", "550 not from you", "553 5.1.7 what?"])
def test_a_relay_that_does_not_take_the_sender_says_nothing_of_the_address(
    relay: Relay, ca: tuple[trustme.CA, Path], reply: str
) -> None:
    """RFC 3463 3.2: 5.1.7 and 5.1.8 are of the sender; nobody need ask a patient for another."""
    relay.to_mail = reply
    assert _cause(smtp(relay, ca).send(outgoing())) is Cause.REFUSED
    if reply.startswith("550 5"):
        relay.to_mail, relay.to_rcpt = None, reply
        assert _cause(smtp(relay, ca).send(outgoing())) is Cause.REFUSED


def test_a_relay_that_wants_a_name_first_is_a_matter_of_the_settings(
    relay: Relay, ca: tuple[trustme.CA, Path]
) -> None:
    """RFC 4954 6: 530. As with a wrong password, it is tried again: somebody may set it right."""
    relay.to_mail = "530 5.7.0 Authentication required"
    failed = Failed(cause=Cause.NOT_SET_UP, told="530 5.7.0")
    assert smtp(relay, ca).send(outgoing()) == failed


def _cause(result: Taken | Failed) -> Cause:
    assert isinstance(result, Failed)
    return result.cause


def test_a_mail_refused_after_it_was_given_is_refused(
    relay: Relay, ca: tuple[trustme.CA, Path]
) -> None:
    relay.to_data = "554 5.6.0 no"
    refused = Failed(cause=Cause.REFUSED, told="554 5.6.0", is_final=True)
    assert smtp(relay, ca).send(outgoing()) == refused


def test_a_mail_that_was_taken_is_taken_whatever_comes_after(
    relay: Relay, ca: tuple[trustme.CA, Path]
) -> None:
    relay.to_quit = "500 5.5.1 what?"
    assert isinstance(smtp(relay, ca).send(outgoing()), Taken)
    assert len(relay.mails) == 1


def test_a_mail_is_plain_letters_in_short_lines(relay: Relay, ca: tuple[trustme.CA, Path]) -> None:
    smtp(relay, ca).send(outgoing("de"))
    assert relay.mails[0].content.isascii()
    assert max(len(line) for line in relay.mails[0].content.split(b"\r\n")) <= 998
    assert "Sie brauchen einen Code." in relay.mails[0].part("plain")


def test_nobody_at_the_port_is_trouble_with_the_network(ca: tuple[trustme.CA, Path]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        relay = Relay(port=unused.getsockname()[1])
        assert smtp(relay, ca).send(outgoing()) == Failed(cause=Cause.NETWORK)


@pytest.mark.parametrize(
    "differs",
    [
        {"security": "none"},
        {"sender": "nobody"},
        {"sender": ""},
        {"ca": "/nowhere.pem"},
        {"bounces": "bounces+x@example.org"},
        {"bounces": "bounces"},
    ],
)
def test_settings_that_cannot_work_are_named_at_the_start(differs: dict[str, str]) -> None:
    mail = Mail(**{"host": "relay", "sender": "images@example.org", **differs})
    with pytest.raises(ConfigError, match=r"mail\."):
        Smtp(mail, site="Hospital")
