"""A provider tells what became of a short message, and is believed for its signature alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.conftest import TestPostgres
from tests.web.conftest import Site, serving
from vna.delivery.channels import phone
from vna.delivery.signing import SIGNATURE, sign, twilio_signature
from vna.delivery.sms import status_url

ORIGIN = "https://images.example.org"
SECRET = "s3cret"
TWILIO = {
    "provider": "twilio",
    "account": "AC1",
    "secret": SECRET,
    "sender": "+4930999",
    "callback": ORIGIN,
}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False, sms=TWILIO) as site:
        yield site


def accepted(site: Site) -> tuple[int, str]:
    """A message that a provider has taken, and its token."""
    archive = site.archive
    with archive.database.transaction() as tx:
        number = archive.messages.post(
            tx, to=phone("+49 30 123456"), template="test", values={}, channel_id=5
        )
        row = tx.execute(
            "UPDATE message SET state = 'accepted', via = 'sms', sealed = NULL, next_at = NULL"
            " WHERE message_id = %s RETURNING encode(token, 'hex')",
            (number,),
        ).fetchone()
    assert row is not None
    return number, str(row[0])


def told(site: Site, token: str, *, signed: str | None = None, **fields: str) -> int:
    """Call as the provider does; return the status."""
    url = status_url(ORIGIN, bytes.fromhex(token))
    shown = twilio_signature(SECRET, url, fields.items()) if signed is None else signed
    answer = site.client.post(
        f"{site.address.url}/delivery/sms/status/{token}",
        content=urlencode(fields),
        headers={
            b"X-Twilio-Signature": shown.encode(),
            b"content-type": b"application/x-www-form-urlencoded",
        },
    )
    return answer.status_code


def state(site: Site, number: int) -> str:
    return site.archive.messages.one(site.archive.who, number).state.value


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("sent", "accepted"),
        ("delivered", "delivered"),
        ("undelivered", "bounced"),
        ("failed", "bounced"),
        ("", "accepted"),
    ],
)
def test_what_the_provider_says_is_the_state(site: Site, said: str, found: str) -> None:
    number, token = accepted(site)
    assert told(site, token, MessageStatus=said, MessageSid="SM1") == 204
    assert state(site, number) == found


def test_a_call_without_the_signature_changes_nothing(site: Site) -> None:
    number, token = accepted(site)
    other = twilio_signature(
        SECRET, status_url(ORIGIN, bytes(16)), {"MessageStatus": "failed"}.items()
    )
    for shown in ("", "x", other, "\u00fc"):
        assert told(site, token, signed=shown, MessageStatus="failed") == 403
    assert state(site, number) == "accepted"


def test_an_unknown_message_is_nobodys(site: Site) -> None:
    assert told(site, "00" * 16, MessageStatus="failed") == 204


@pytest.mark.parametrize("token", ["x", "0" * 31, "0" * 33, "0" * 30 + "%C2%B2"])
def test_what_is_no_token_is_not_found(site: Site, token: str) -> None:
    url = f"{site.address.url}/delivery/sms/status/{token}"
    assert site.client.post(url, content=b"").status_code == 404


def test_a_call_too_large_or_not_a_form_is_refused(site: Site) -> None:
    url = f"{site.address.url}/delivery/sms/status/{'00' * 16}"
    assert site.client.post(url, content=b"x" * 20_000).status_code == 413
    assert site.client.post(url, content="ü=1".encode()).status_code == 400
    assert site.client.post(url, content=b"&a=1" * 100).status_code == 400
    assert site.client.get(url).status_code == 405


def test_a_gateway_of_the_house_signs_its_calls_as_we_do(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    sms = {**TWILIO, "provider": "webhook", "url": "https://gateway.example.org/"}
    with serving(postgres, tmp_path, dev=False, sms=sms) as site:
        number, token = accepted(site)
        url = f"{site.address.url}/delivery/sms/status/{token}"
        body = b'{"status": "delivered"}'
        wrong = {SIGNATURE: sign("other", body)}
        assert site.client.post(url, content=body, headers=wrong).status_code == 403
        right = {SIGNATURE: sign(SECRET, body)}
        assert site.client.post(url, content=body, headers=right).status_code == 204
        assert state(site, number) == "delivered"
        for odd in (b"[]", b'{"status": 1}', b'"x"'):
            fields = {SIGNATURE: sign(SECRET, odd)}
            assert site.client.post(url, content=odd, headers=fields).status_code == 204
        fields = {SIGNATURE: sign(SECRET, b"{")}
        assert site.client.post(url, content=b"{", headers=fields).status_code == 400


def test_where_nobody_is_asked_to_call_nobody_can(postgres: TestPostgres, tmp_path: Path) -> None:
    with serving(postgres, tmp_path, dev=False) as site:
        url = f"{site.address.url}/delivery/sms/status/{'00' * 16}"
        assert site.client.post(url, content=b"").status_code == 404
