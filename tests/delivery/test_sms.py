"""Short messages reach a gateway that speaks like Twilio, or one of the house by a signed call."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme

from tests.delivery.conftest import Opening, Post
from tests.delivery.gateway import Gateway, serving
from vna.config import Outbound, Sms
from vna.delivery.channels import phone
from vna.delivery.messages import State
from vna.delivery.signing import SIGNATURE, is_signed, sign
from vna.delivery.sms import TwilioSms, WebhookSms
from vna.errors import ConfigError
from vna.outbound import Gate

TO = phone("+49 30 1234542")
CODE = {"code": "12345678", "minutes": "10", "host": "images.example.org"}


@pytest.fixture
def gateway(ca: tuple[trustme.CA, Path]) -> Iterator[Gateway]:
    with serving(ca[0]) as gateway:
        yield gateway


def office(opening: Opening, gateway: Gateway, ca: tuple[trustme.CA, Path], **sms: Any) -> Post:
    settings = {"provider": "twilio", "url": gateway.url, "account": "AC1", "secret": "s3cret"}
    return opening(
        sms={**settings, "sender": "+4930999", "timeout_s": 5.0, **sms},
        outbound={"allow": "127.0.0.1", "ca": str(ca[1])},
    )


def coded(post: Post) -> int:
    number = post.posted(to=TO, template="code", values=CODE)
    post.work()
    return number


def test_a_code_goes_out_as_twilio_takes_it(
    opening: Opening, gateway: Gateway, ca: tuple[trustme.CA, Path]
) -> None:
    gateway.answers = [(201, {}, b'{"sid": "SM1", "status": "queued"}')]
    post = office(opening, gateway, ca, callback="https://images.example.org")
    number = coded(post)
    found = post.seen(number)
    assert (found.state, found.via, found.told) == (State.ACCEPTED, "sms", "201")
    (call,) = gateway.calls
    assert call.path == "/2010-04-01/Accounts/AC1/Messages.json"
    assert base64.b64decode(call.headers["authorization"].split()[1]) == b"AC1:s3cret"
    fields = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
    ((token,),) = post.sql("SELECT encode(token, 'hex') FROM message")
    assert fields["To"] == "+49301234542"
    assert fields["From"] == "+4930999"
    assert fields["Body"].endswith("\n\n@images.example.org #12345678")
    assert fields["StatusCallback"] == (f"https://images.example.org/delivery/sms/status/{token}")
    assert post.sql("SELECT provider_ref, sealed FROM message") == [("SM1", None)]


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        ((400, b'{"code": 21211}'), (State.DEAD, "address")),
        ((400, b'{"code": 30000}'), (State.DEAD, "refused")),
        ((401, b"{}"), (State.FAILED, "not-set-up")),
        ((429, b"{}"), (State.FAILED, "quota")),
        ((500, b"<html>"), (State.FAILED, "not-now")),
        ((302, b""), (State.FAILED, "not-now")),
        ((200, b"x" * 70_000), (State.FAILED, "network")),
    ],
)
def test_what_a_gateway_refuses_is_told_apart(
    opening: Opening,
    gateway: Gateway,
    ca: tuple[trustme.CA, Path],
    answer: tuple[int, bytes],
    ending: tuple[State, str],
) -> None:
    gateway.answers = [(answer[0], {}, answer[1])]
    post = office(opening, gateway, ca)
    found = post.seen(coded(post))
    assert (found.state, found.cause) == ending


@pytest.mark.parametrize("said", [b"", b"[]", b'"queued"', b"<ok/>", b'{"sid": "with a space"}'])
def test_what_a_gateway_took_is_sent_once_whatever_it_writes(
    opening: Opening, gateway: Gateway, ca: tuple[trustme.CA, Path], said: bytes
) -> None:
    gateway.answers = [(201, {}, said), (201, {}, said)]
    post = office(opening, gateway, ca)
    number = coded(post)
    post.later()
    post.work()
    assert (post.seen(number).state, len(gateway.calls)) == (State.ACCEPTED, 1)
    assert post.sql("SELECT provider_ref FROM message") == [(None,)]


def test_a_gateway_of_the_house_gets_a_signed_call(
    opening: Opening, gateway: Gateway, ca: tuple[trustme.CA, Path]
) -> None:
    gateway.answers = [(202, {}, b"")]
    post = office(opening, gateway, ca, provider="webhook", url=f"{gateway.url}/sms", account="")
    assert post.seen(coded(post)).state is State.ACCEPTED
    (call,) = gateway.calls
    assert call.path == "/sms"
    assert is_signed("s3cret", call.body, call.headers[SIGNATURE.lower()])
    assert not is_signed("other", call.body, call.headers[SIGNATURE.lower()])
    said = json.loads(call.body)
    assert (said["to"], said["from"]) == ("+49301234542", "+4930999")
    assert said["text"].startswith("12345678 is your code")


def test_countries_nobody_wants_to_pay_for_are_not_written_to(
    opening: Opening, gateway: Gateway, ca: tuple[trustme.CA, Path]
) -> None:
    post = office(opening, gateway, ca, countries="FR, gb")
    found = post.seen(coded(post))
    assert (found.state, found.cause) == (State.DEAD, "refused")
    assert gateway.calls == []


def test_a_gateway_inside_the_house_must_be_named(
    opening: Opening, gateway: Gateway, ca: tuple[trustme.CA, Path]
) -> None:
    post = opening(
        sms={"provider": "webhook", "url": gateway.url, "secret": "s", "timeout_s": 5.0},
        outbound={"ca": str(ca[1])},
    )
    found = post.seen(coded(post))
    assert (found.state, found.cause) == (State.FAILED, "not-set-up")
    assert gateway.connections == 0


@pytest.mark.parametrize(
    "sms",
    [
        {"secret": ""},
        {"account": ""},
        {"sender": ""},
        {"url": "http://gateway.example"},
        {"callback": "http://images.example.org"},
    ],
)
def test_settings_that_cannot_work_are_named(sms: dict[str, str]) -> None:
    settings = {"account": "AC1", "secret": "s", "sender": "+4930999", **sms}
    with pytest.raises(ConfigError, match=r"sms\."):
        TwilioSms(Sms(**settings), Gate(Outbound()))
    if "secret" in sms or "url" in sms:
        with pytest.raises(ConfigError, match=r"sms\."):
            WebhookSms(Sms(**settings), Gate(Outbound()))


def test_a_signature_holds_for_its_body_and_its_time() -> None:
    shown = sign("key", b"body", at=1000)
    assert is_signed("key", b"body", shown, at=1299)
    assert not is_signed("key", b"body", shown, at=1301)
    assert not is_signed("key", b"other", shown, at=1000)
    for broken in ("", "t=,v1=", "t=x,v1=00", shown[:-1], f"t={'9' * 40},v1=00", "ü"):
        assert not is_signed("key", b"body", broken, at=1000)
