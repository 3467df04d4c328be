"""Whoever calls by HTTP keeps to the same rules: a table of all who do, and of what they must not.

What is looked at is what arrived at a real server, and to which address somebody connected.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.delivery.gateway import Gateway, serving
from tests.delivery.test_smtp import SITE, VALUES
from vna.access.issuers import Remote
from vna.access.peers import Peer
from vna.config import Outbound, Settings, Sms
from vna.delivery.letters import compose
from vna.delivery.notifier import Outgoing
from vna.delivery.sealing import Contents
from vna.delivery.sms import TwilioSms, WebhookSms
from vna.delivery.webhooks import call
from vna.errors import VNAError
from vna.jobs.stow_client import Client, Part
from vna.outbound import Gate

TOKEN = bytes(16)
TEXT = Outgoing(
    token=TOKEN,
    kind="sms",
    address="+4930123456",
    letter=compose("invitation", VALUES, language="en", site=SITE),
    language="en",
)
_SMS = {"account": "AC1", "secret": "s", "sender": "+4930999", "timeout_s": 5.0}


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller is set up with: where to, whom it trusts, whom the settings allow."""

    url: str
    ca: Path
    allow: str = ""

    @property
    def outbound(self) -> Outbound:
        return Outbound(allow=self.allow, ca=str(self.ca))


def webhook(given: Given) -> None:
    call(Gate(given.outbound), TOKEN, Contents(given.url, {"body": "{}", "secret": "s"}))


def gateway_of_sms(given: Given) -> None:
    WebhookSms(Sms(**{**_SMS, "url": given.url}), Gate(given.outbound)).send(TEXT)


def twilio(given: Given) -> None:
    TwilioSms(Sms(**{**_SMS, "url": given.url}), Gate(given.outbound)).send(TEXT)


def provider(given: Given) -> None:
    Remote(given.url, given.outbound, ca=str(given.ca)).endpoints()


def exchange_of_codes(given: Given) -> None:
    there = Remote(given.url, given.outbound, ca=str(given.ca))
    there.post(given.url, {"code": "c"}, ("archive", "secret"))


def keys(given: Given) -> None:
    issuer = "https://issuer.example"
    there = Remote(issuer, given.outbound, jwks=given.url, ca=str(given.ca))
    there.verified(_token({"alg": "ES256", "kid": "k"}, {"iss": issuer}))


def archive(given: Given) -> None:
    peer = Peer(name="there", url=given.url, authority=given.ca.read_text())
    with Client(peer, Settings(outbound=given.outbound)) as client:
        client.store([Part(transfer_syntax="1.2", chunks=iter([b"x"]))])


Call = Callable[[Given], None]
ELSEWHERE: tuple[Call, ...] = (webhook, gateway_of_sms, twilio)
NAMED: tuple[Call, ...] = (provider, exchange_of_codes, keys, archive)
"""Those whom an administrator tells whom to call: who stands in the house may be called."""
ALL = (*ELSEWHERE, *NAMED)

NOBODY_S = (
    *("169.254.169.254", "100.100.100.200", "0.0.0.0", "224.0.0.1", "255.255.255.255"),
    *("[fe80::1]", "[fd00:ec2::254]", "[::]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]"),
    *("[64:ff9b:1::a9fe:a9fe]", "[::169.254.169.254]", "[::ffff:0:169.254.169.254]"),
)
INSIDE = (
    *("127.0.0.1", "10.0.0.1", "100.64.0.1", "192.0.0.192", "198.18.0.1", "[::1]", "[fd00::1]"),
    *("[::ffff:10.0.0.1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::10.0.0.1]", "[2002:a00:1::]"),
    *("[::10.0.0.1]", "[::ffff:0:10.0.0.1]", "[fec0::1]", "[5f00::1]", "[3fff::1]"),
)


def _token(head: dict[str, str], claims: dict[str, str]) -> bytes:
    parts = (json.dumps(head).encode(), json.dumps(claims).encode(), b"no signature")
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def make(caller: Call, given: Given) -> None:
    """Call; how it ends is each caller's own, and told by an error of the house at most."""
    with suppress(VNAError):
        caller(given)


@pytest.fixture
def gateway(ca: tuple[trustme.CA, Path]) -> Iterator[Gateway]:
    with serving(ca[0]) as gateway:
        yield gateway


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Nobody is connected to; where to it would have gone is written down."""
    found: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        found.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    return found


def answering(*rounds: list[str]) -> Any:
    """Answer look-ups of names in turn, the last for ever; addresses are what they are."""
    left = list(rounds)

    def lookup(host: str, port: int, *_: object, **__: object) -> Any:
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    return lookup


@pytest.mark.parametrize("caller", ALL)
def test_a_call_goes_straight_to_who_may_be_called_and_nothing_comes_packed(
    caller: Call,
    gateway: Gateway,
    ca: tuple[trustme.CA, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    make(caller, Given(gateway.url, ca[1], allow="127.0.0.0/8"))
    assert len(gateway.calls) == 1
    assert gateway.calls[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("caller", ALL)
def test_who_stands_in_the_house_is_called_if_somebody_named_them(
    caller: Call, gateway: Gateway, ca: tuple[trustme.CA, Path]
) -> None:
    make(caller, Given(gateway.url, ca[1]))
    assert gateway.connections == (1 if caller in NAMED else 0)


@pytest.mark.parametrize("caller", ALL)
def test_where_machines_ask_about_themselves_nobody_is_sent_even_if_named(
    caller: Call, ca: tuple[trustme.CA, Path], connected: list[tuple[str, int]]
) -> None:
    for address in NOBODY_S:
        make(caller, Given(f"https://{address}/latest", ca[1]))
        assert connected == [], address


@pytest.mark.parametrize("caller", ELSEWHERE)
@pytest.mark.parametrize("address", INSIDE)
def test_what_is_not_of_the_internet_is_not_called_however_it_is_written(
    caller: Call, ca: tuple[trustme.CA, Path], connected: list[tuple[str, int]], address: str
) -> None:
    """RFC 6890 and its registries, RFC 8215, RFC 3879, whichever of them this Python knows."""
    make(caller, Given(f"https://{address}/", ca[1]))
    assert connected == []


@pytest.mark.parametrize("caller", ALL)
@pytest.mark.parametrize("address", ["93.184.216.34", "192.0.1.1", "2606:4700::1111"])
def test_what_is_of_the_internet_is_called(
    caller: Call, ca: tuple[trustme.CA, Path], connected: list[tuple[str, int]], address: str
) -> None:
    written = f"[{address}]" if ":" in address else address
    make(caller, Given(f"https://{written}/", ca[1]))
    assert connected == [(address, 443)]


@pytest.mark.parametrize("caller", NAMED)
@pytest.mark.parametrize("address", ["::1", "fd00::1", "::ffff:10.0.0.1"])
def test_who_stands_in_the_house_may_be_named_by_an_ipv6_address(
    caller: Call, ca: tuple[trustme.CA, Path], connected: list[tuple[str, int]], address: str
) -> None:
    make(caller, Given(f"https://[{address}]/", ca[1]))
    assert connected == [(address, 443)]


@pytest.mark.parametrize("caller", ALL)
def test_a_name_that_leads_there_as_well_is_not_called(
    caller: Call,
    ca: tuple[trustme.CA, Path],
    connected: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answering(["93.184.216.34", "169.254.169.254"]))
    make(caller, Given("https://both.example/", ca[1]))
    assert connected == []


@pytest.mark.parametrize("caller", ALL)
def test_a_name_is_looked_up_once_and_what_was_looked_at_is_called(
    caller: Call,
    ca: tuple[trustme.CA, Path],
    connected: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lookups = answering(["93.184.216.34"], ["169.254.169.254"])
    monkeypatch.setattr(socket, "getaddrinfo", lookups)
    make(caller, Given("https://twice.example:8443/", ca[1]))
    assert connected == [("93.184.216.34", 8443)]


@pytest.mark.parametrize("caller", ALL)
def test_nobody_elsewhere_is_spoken_to_in_the_clear(
    caller: Call, ca: tuple[trustme.CA, Path], connected: list[tuple[str, int]]
) -> None:
    for url in ("http://93.184.216.34/", "http://10.0.0.1/", "ftp://10.0.0.1/"):
        make(caller, Given(url, ca[1], allow="10.0.0.0/8"))
        assert connected == [], url


@pytest.mark.parametrize("caller", ALL)
def test_nobody_is_sent_elsewhere_by_an_answer(
    caller: Call, gateway: Gateway, ca: tuple[trustme.CA, Path]
) -> None:
    with serving(ca[0]) as other:
        gateway.answers = [(307, {"location": other.url}, b"")]
        make(caller, Given(gateway.url, ca[1], allow="127.0.0.0/8"))
        assert (len(gateway.calls), other.connections) == (1, 0)


@pytest.mark.parametrize("caller", ALL)
def test_nothing_is_said_to_who_nobody_vouches_for(
    caller: Call, ca: tuple[trustme.CA, Path]
) -> None:
    with serving(trustme.CA()) as stranger, serving(ca[0], "other.example") as other:
        for there in (stranger, other):
            make(caller, Given(there.url, ca[1], allow="127.0.0.0/8"))
            assert (there.connections, there.calls) == (1, [])


@pytest.mark.parametrize("told", ["jwks_uri", "token_endpoint"])
def test_what_a_provider_says_of_itself_is_not_what_an_administrator_named(
    gateway: Gateway, ca: tuple[trustme.CA, Path], told: str
) -> None:
    """Its metadata may say anything, also where the secrets of our own house are asked for."""
    with serving(ca[0], "localhost") as inside:
        there = f"https://localhost:{inside.port}/"
        urls = dict.fromkeys(("jwks_uri", "authorization_endpoint", "token_endpoint"), gateway.url)
        said = {"issuer": gateway.url, **urls, told: there}
        gateway.answers = [(200, {}, json.dumps(said).encode())]
        for allow, reached in (("", 0), ("localhost", 1)):
            issuer = Remote(gateway.url, Outbound(allow=allow, ca=str(ca[1])), ca=str(ca[1]))
            with suppress(VNAError):
                issuer.post(issuer.endpoints().token, {"code": "c"}, None)
            assert inside.connections == reached
