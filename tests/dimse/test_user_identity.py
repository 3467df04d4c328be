"""User Identity Negotiation (PS3.7 D.3.3.7): types 1, 2 and 5, under TLS only."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.access.test_identities import pem, token
from tests.dimse import wire
from tests.dimse.certificates import Authority, Signed
from tests.dimse.edge import Edge
from tests.dimse.shelf import Shelf, served
from vna.access.passcodes import hash_passcode
from vna.dimse import tls as contexts
from vna.dimse.pdu import AssociateRequest, UserIdentity, decode_request, encode_request
from vna.dimse.scu import Requestor
from vna.errors import InvalidRequest, NotPermitted, Unavailable

Serve = Callable[..., Edge]
ISSUER = ed25519.Ed25519PrivateKey.generate()
SECRET = "open sesame"


def name(user: str, *, wants: bool = True) -> UserIdentity:
    return UserIdentity(kind=1, wants_response=wants, primary=user.encode())


def passcode(user: str, secret: str = SECRET, *, wants: bool = True) -> UserIdentity:
    return UserIdentity(
        kind=2, wants_response=wants, primary=user.encode(), secondary=secret.encode()
    )


def bearer(data: bytes) -> UserIdentity:
    return UserIdentity(kind=5, wants_response=True, primary=data)


class House:
    """An edge that knows an AE, two users and an issuer."""

    def __init__(self, serve: Serve, folder: Path) -> None:
        self.authority = Authority(folder)
        self.ct1: Signed = self.authority.sign("ct1")
        (folder / "idp.pem").write_bytes(pem(ISSUER))
        path = folder / "identities.toml"
        path.write_text(f"""
[[user]]
name = "open"
[[user]]
name = "jdoe"
passcode = "{hash_passcode(SECRET)}"
[[issuer]]
name = "https://idp"
audience = "vna"
key = "idp.pem"
""")
        self.shelf = Shelf()
        self.edge = serve(
            served(ingest=self.shelf),
            tls=self.authority.settings(self.authority.sign("archive")),
            identities=str(path),
        )

    def store(self, identity: UserIdentity | None) -> tuple[str, bytes | None]:
        """Store as a user; return whom the archive took us for and what it answered."""
        with Requestor(
            "localhost",
            self.edge.secured,
            calling="CT1",
            called="VNA",
            contexts=[(wire.CT, [wire.EXPLICIT])],
            tls=contexts.requestor(self.authority.settings(self.ct1)).value(),
            identity=identity,
        ) as remote:
            assert remote.store(wire.CT, "1.2.3", wire.EXPLICIT, [b"data"]).code == 0
            return self.shelf.taken[-1].principal.name, remote.identity_response


@pytest.fixture
def house(serve: Serve, tmp_path: Path) -> House:
    return House(serve, tmp_path)


def jwt(**claims: object) -> bytes:
    return token("EdDSA", ISSUER.sign, **{"exp": time.time() + 60, **claims})


def test_a_known_user_is_verified_and_answered(house: House) -> None:
    assert house.store(name("open")) == ("open@CT1", b"")
    assert house.store(passcode("jdoe")) == ("jdoe@CT1", b"")
    assert house.store(bearer(jwt(sub="anna"))) == ("anna@CT1", b"")


def test_there_is_an_answer_only_where_one_was_asked_for(house: House) -> None:
    assert house.store(passcode("jdoe", wants=False)) == ("jdoe@CT1", None)
    assert house.store(None) == ("CT1", None)


@pytest.mark.parametrize(
    "identity",
    [
        name("jdoe"),  # has a passcode
        name("nobody"),
        name(""),
        passcode("jdoe", "wrong"),
        passcode("nobody"),
        passcode("open", ""),
        UserIdentity(kind=2, wants_response=True, primary=b"\xff", secondary=b"x"),
        UserIdentity(kind=2, wants_response=True, primary=b"x" * 257, secondary=b"x"),
        bearer(b"no token"),
        bearer(jwt(exp=1)),
        bearer(jwt(aud="other")),
    ],
    ids=lambda identity: f"{identity.kind}-{identity.primary[:12]!r}",
)
def test_a_user_that_cannot_be_verified_is_rejected(house: House, identity: UserIdentity) -> None:
    with pytest.raises(Unavailable, match="1/2/1"):
        house.store(identity)


@pytest.mark.parametrize("kind", [3, 4, 6])
def test_kinds_we_do_not_verify_are_passed_over(house: House, kind: int) -> None:
    identity = UserIdentity(kind=kind, wants_response=True, primary=b"ticket")
    assert house.store(identity) == ("CT1", None)


def test_without_tls_an_identity_is_neither_sent_nor_looked_at(
    serve: Serve, tmp_path: Path
) -> None:
    with pytest.raises(NotPermitted):
        Requestor("localhost", 1, calling="A", called="B", contexts=[], identity=name("x"))
    path = tmp_path / "identities.toml"
    path.write_text('[[user]]\nname = "open"\n')
    edge = serve(identities=str(path))
    for user in ("open", "nobody"):
        with edge.connect() as sock:
            sock.sendall(_asked(name(user)))
            kind, body = wire.answer(sock)
            assert kind == 2
            assert b"\x59\x00" not in body


def _asked(identity: UserIdentity) -> bytes:
    request = decode_request(wire.associate()[6:])
    user = replace(request.user, identity=identity)
    return encode_request(replace(request, user=user))


def test_the_secrets_stand_in_no_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    house.store(passcode("jdoe"))
    with pytest.raises(Unavailable):
        house.store(passcode("jdoe", SECRET + "!"))
    assert any(record.message == "user not verified" for record in caplog.records)
    told = " ".join(str(vars(record)) for record in caplog.records)
    assert SECRET not in told
    assert SECRET not in repr(passcode("jdoe"))


@pytest.mark.parametrize("identity", [name("n"), passcode("u", "p"), bearer(b"t" * 9000)])
def test_what_is_written_is_read_again(identity: UserIdentity) -> None:
    again = decode_request(_asked(identity)[6:])
    assert isinstance(again, AssociateRequest)
    assert again.user.identity == identity


@pytest.mark.parametrize(
    "item",
    [b"", b"\x01", b"\x01\x00\x00", b"\x01\x00\x00\x05abcd", b"\x02\x01\x00\x01a\x00\x02b"],
)
def test_an_item_that_is_cut_off_is_refused(item: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_request(wire.associate(user=wire.item(0x58, item))[6:])


def test_dcmtk_stores_as_a_user(house: House, tmp_path: Path) -> None:
    from tests import factories

    path = tmp_path / "one.dcm"
    path.write_bytes(factories.ct(1, 1, 1).part10())

    def storescu(*user: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *("storescu", "-aet", "CT1", "-rsp", *user),
                *("+tls", house.ct1.key, house.ct1.certificate, "+cf", house.authority.path),
                *("localhost", str(house.edge.secured), path),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert storescu("-usr", "jdoe", "-pwd", "wrong").returncode != 0
    done = storescu("-usr", "jdoe", "-pwd", SECRET)
    assert done.returncode == 0, done.stderr
    assert house.shelf.taken[-1].principal.name == "jdoe@CT1"
    said = tmp_path / "token"
    said.write_bytes(jwt(sub="anna"))
    done = storescu("--jwt", said)
    assert done.returncode == 0, done.stderr
    assert house.shelf.taken[-1].principal.name == "anna@CT1"
