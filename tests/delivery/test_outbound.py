"""Nobody inside a house is called, whatever name they hide under; nobody is followed elsewhere."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.delivery.gateway import Gateway, serving
from vna.config import Outbound
from vna.errors import ConfigError, InvalidRequest, NotPermitted, TooLarge, Unavailable
from vna.outbound import Gate, require_url

ALLOWED = "127.0.0.0/8"


@pytest.fixture
def gateway(ca: tuple[trustme.CA, Path]) -> Iterator[Gateway]:
    with serving(ca[0]) as gateway:
        yield gateway


def gate(ca: tuple[trustme.CA, Path], allow: str = ALLOWED) -> Gate:
    return Gate(Outbound(allow=allow, ca=str(ca[1])))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "255.255.255.255", "224.0.0.1", "198.18.0.1",
        "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "2002:7f00:1::", "64:ff9b::7f00:1", "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)  # fmt: skip
def test_an_address_inside_a_house_is_not_called(address: str) -> None:
    with pytest.raises(NotPermitted):
        Gate(Outbound()).addresses(address, 443)


@pytest.mark.parametrize("written", ["0x7f000001", "2130706433", "127.1", "0177.0.0.1"])
def test_nor_under_another_spelling(written: str) -> None:
    with pytest.raises(NotPermitted):
        Gate(Outbound()).addresses(written, 443)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1"])
def test_a_public_address_may_be_called(address: str) -> None:
    assert Gate(Outbound()).addresses(address, 443) == [address]


def test_a_name_is_ruled_out_by_one_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _answering("93.184.216.34", "10.0.0.1"))
    with pytest.raises(NotPermitted):
        Gate(Outbound()).addresses("both.example", 443)
    assert Gate(Outbound(allow="both.example")).addresses("BOTH.example.", 443)
    assert Gate(Outbound(allow="10.0.0.0/8")).addresses("both.example", 443)


def test_a_name_that_answers_differently_the_second_time_changes_nothing(
    gateway: Gateway, ca: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def lookup(host: str, *args: Any, **named: Any) -> Any:
        asked.append(host)
        at = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return _answering(at)(host, *args, **named)

    monkeypatch.setattr(socket, "create_connection", _never)
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(_Connected) as caught:
        gate(ca, allow="").call("POST", f"https://evil.example:{gateway.port}/", timeout_s=5)
    assert caught.value.address == ("93.184.216.34", gateway.port)
    assert asked == ["evil.example"]
    assert gateway.connections == 0


def test_a_call_arrives_and_its_answer_is_read(
    gateway: Gateway, ca: tuple[trustme.CA, Path]
) -> None:
    gateway.answers = [(201, {"x-said": "yes"}, b"taken")]
    answer = gate(ca).call("POST", f"{gateway.url}/a?b=c", content=b"body", timeout_s=5)
    assert (answer.status, answer.headers["x-said"], answer.body) == (201, "yes", b"taken")
    assert (gateway.calls[0].path, gateway.calls[0].body) == ("/a?b=c", b"body")


def test_nobody_is_sent_elsewhere(gateway: Gateway, ca: tuple[trustme.CA, Path]) -> None:
    gateway.answers = [(302, {"location": f"{gateway.url}/other"}, b"")]
    assert gate(ca).call("GET", gateway.url, timeout_s=5).status == 302
    assert len(gateway.calls) == 1


def test_no_proxy_of_the_environment_is_used(
    gateway: Gateway, ca: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    assert gate(ca).call("GET", gateway.url, timeout_s=5).status == 200


def test_an_answer_that_is_too_long_is_an_error_and_never_cut(
    gateway: Gateway, ca: tuple[trustme.CA, Path]
) -> None:
    gateway.answers = [(200, {}, b"x" * 1001)]
    with pytest.raises(TooLarge):
        gate(ca).call("GET", gateway.url, timeout_s=5, most=1000)


def test_who_nobody_vouches_for_and_who_has_another_name_is_not_called(
    gateway: Gateway, ca: tuple[trustme.CA, Path]
) -> None:
    with pytest.raises(Unavailable):
        Gate(Outbound(allow=ALLOWED)).call("POST", gateway.url, timeout_s=5)
    with serving(ca[0], "other.example") as other, pytest.raises(Unavailable):
        gate(ca).call("POST", other.url, timeout_s=5)
    assert gateway.calls == other.calls == []


def test_a_name_has_its_own_certificate_though_its_address_is_called(
    ca: tuple[trustme.CA, Path],
) -> None:
    with serving(ca[0], "localhost") as gateway:
        answer = gate(ca).call("GET", f"https://localhost:{gateway.port}/", timeout_s=5)
        assert answer.status == 200
        assert gateway.calls[0].headers["host"] == f"localhost:{gateway.port}"


def test_one_that_trickles_is_left_in_time(ca: tuple[trustme.CA, Path]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        over = threading.Event()
        thread = threading.Thread(target=_trickle, args=(listener, ca[0], over))
        thread.start()
        begun = time.monotonic()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(Unavailable):
            gate(ca).call("GET", url, timeout_s=0.5)
        over.set()
        thread.join(10)
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "url",
    [
        "", "http://example.org/", "ftp://example.org/", "file:///etc/passwd", "https://",
        "https://user:secret@example.org/", "https://example.org/#part", "https://exa mple.org/",
        "https://example.org:0/", "https://example.org:99999/", "https://[::1/", "//example.org",
        "https://example.org/\r\nHost: other", "https://example.org/" + "x" * 3000, "javascript:1",
    ],
)  # fmt: skip
def test_what_is_no_address_of_https_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        require_url(url)


@pytest.mark.parametrize("settings", [{"allow": "10.0.0.0/99"}, {"ca": "/nowhere.pem"}])
def test_settings_that_cannot_work_are_named(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"outbound\."):
        Gate(Outbound(**settings))


class _Connected(Exception):
    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address)
        self.address = address


def _never(address: tuple[str, int], *args: Any, **named: Any) -> Any:
    raise _Connected(address)


def _answering(*addresses: str) -> Any:
    def lookup(host: str, port: int, *args: Any, **named: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    return lookup


def _trickle(listener: socket.socket, ca: trustme.CA, over: threading.Event) -> None:
    """Answer a letter at a time, until told that it is over."""
    import ssl

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(tls)
    plain, _ = listener.accept()
    try:
        with tls.wrap_socket(plain, server_side=True) as peer:
            peer.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.1):
                peer.sendall(b"X")
    except OSError:
        pass
