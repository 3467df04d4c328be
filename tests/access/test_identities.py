"""The file of identities: what it may hold, what it proves, and what wrong guesses cost."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.access import identities
from vna.access.identities import Identities, Verifier, read, watched
from vna.access.passcodes import hash_passcode, is_passcode
from vna.access.tokens import Issuer, subject_of
from vna.access.watched import Watched
from vna.crypto.signatures import public_key
from vna.errors import ConfigError, NotAuthenticated

NOW = 1_800_000_000.0
PRINT = "ab" * 32


def pem(key: Any) -> bytes:
    out: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return out


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def by_rsa(data: bytes) -> bytes:
    return RSA.sign(data, padding.PKCS1v15(), hashes.SHA256())


def by_pss(data: bytes) -> bytes:
    return RSA.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def by_curve(data: bytes) -> bytes:
    r, s = decode_dss_signature(EC.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(
    algorithm: str,
    sign: Callable[[bytes], bytes],
    head: dict[str, Any] | None = None,
    **claims: Any,
) -> bytes:
    said = {"iss": "https://idp", "aud": "vna", "sub": "jdoe", "exp": NOW + 60, **claims}
    said = {name: value for name, value in said.items() if value is not None}
    signed = b".".join(
        b64(json.dumps(part).encode()) for part in ({"alg": algorithm, **(head or {})}, said)
    )
    return signed + b"." + b64(sign(signed))


def issuer(key: Any) -> list[Issuer]:
    return [Issuer(name="https://idp", audience="vna", key=public_key(pem(key)))]


@pytest.mark.parametrize(
    ("key", "algorithm", "sign"),
    [
        (RSA, "RS256", by_rsa),
        (RSA, "PS256", by_pss),
        (EC, "ES256", by_curve),
        (ED, "EdDSA", ED.sign),
    ],
)
def test_a_token_of_a_known_issuer_names_its_subject(
    key: Any, algorithm: str, sign: Callable[[bytes], bytes]
) -> None:
    assert subject_of(token(algorithm, sign), issuer(key), NOW) == "jdoe"
    assert subject_of(token(algorithm, sign, aud=["x", "vna"]), issuer(key), NOW) == "jdoe"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 61},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": 10**400},
        {"exp": float("inf")},
        {"sub": "\ud800"},
        {"nbf": NOW + 61},
        {"aud": "other"},
        {"aud": None},
        {"iss": "https://other"},
        {"sub": ""},
        {"sub": 7},
        {"head": {"crit": ["b64"]}},
    ],
    ids=str,
)
def test_a_token_that_does_not_hold_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated):
        subject_of(token("RS256", by_rsa, **claims), issuer(RSA), NOW)


def test_the_key_decides_on_the_algorithm_and_not_the_token() -> None:
    import hashlib
    import hmac

    def with_public_text(data: bytes) -> bytes:
        return hmac.new(pem(RSA), data, hashlib.sha256).digest()

    for algorithm, sign in (
        ("none", lambda _: b""),
        ("HS256", with_public_text),
        ("ES256", by_curve),
        ("RS512", by_rsa),
    ):
        with pytest.raises(NotAuthenticated, match="signed"):
            subject_of(token(algorithm, sign), issuer(RSA), NOW)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 400), st.integers(1, 255))
def test_a_token_changed_anywhere_is_refused(at: int, change: int) -> None:
    good = bytearray(token("EdDSA", ED.sign))
    at %= len(good) - 1  # the last character holds spare bits
    good[at] ^= change
    with pytest.raises(NotAuthenticated):
        subject_of(bytes(good), issuer(ED), NOW)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.text(alphabet="eyJ.AbC=", max_size=60).map(str.encode))
def test_what_is_no_token_is_refused(data: bytes) -> None:
    with pytest.raises(NotAuthenticated):
        subject_of(data, issuer(ED), NOW)


@pytest.mark.parametrize(
    "head",
    [
        b"[" * 6000,
        b'{"alg":' * 900 + b"1" + b"}" * 900,
        b'{"alg":"EdDSA","crit":1}',
        b'{"alg":"EdDSA","crit":[["b64"]]}',
        b'{"alg":"EdDSA","crit":[{}]}',
        b'{"alg":["EdDSA"]}',
    ],
    ids=lambda head: head[:32].decode(),
)
def test_a_header_nobody_would_write_is_refused_as_any_other(head: bytes) -> None:
    said = b64(json.dumps({"iss": "https://idp", "aud": "vna", "sub": "jdoe"}).encode())
    shown = b64(head) + b"." + said + b"." + b64(bytes(64))
    with pytest.raises(NotAuthenticated):
        subject_of(shown, issuer(ED), NOW)
    with pytest.raises(NotAuthenticated):
        public_key(pem(ED)).verified(shown)


def test_weak_and_unknown_keys_are_not_taken() -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 -- to be refused
    odd = ec.generate_private_key(ec.SECP256K1())
    for data in (pem(small), pem(odd), b"not a key"):
        with pytest.raises(ConfigError):
            public_key(data)


def test_a_passcode_is_known_by_its_hash_alone() -> None:
    kept = hash_passcode("secret ü")
    assert kept.startswith("scrypt$16384$8$1$")
    assert "secret" not in kept
    assert is_passcode("secret ü", kept)
    assert not is_passcode("secret u", kept)
    assert hash_passcode("secret ü") != kept  # a salt of its own


@pytest.mark.parametrize(
    "kept", ["", "secret", "scrypt$1$2$3$4$5", "scrypt$1048576$8$1$AAAA$AAAA", "md5$1$1$1$AA$AA"]
)
def test_a_hash_of_another_form_or_beyond_all_memory_is_refused(kept: str) -> None:
    with pytest.raises(ConfigError):
        is_passcode("x", kept)


def written(folder: Path, text: str) -> Path:
    path = folder / "identities.toml"
    path.write_text(text)
    return path


def test_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "idp.pem").write_bytes(pem(RSA))
    text = f"""
[[ae]]
title = "CT1"
fingerprints = ["SHA256:{":".join(["AB"] * 32)}"]
subjects = ["CN=ct1,O=Hospital"]
[[user]]
name = "jdoe"
[[issuer]]
name = "https://idp"
audience = "vna"
key = "idp.pem"
"""
    found = read(written(tmp_path, text))
    assert found.is_certified("CT1")
    assert not found.is_certified("CT2")
    assert found.proves("CT1", fingerprint=PRINT, subject="")
    assert found.proves("CT1", fingerprint="", subject="CN=ct1,O=Hospital")
    assert not found.proves("CT1", fingerprint="", subject="")
    assert not found.proves("CT2", fingerprint=PRINT, subject="")
    assert found.users == {"jdoe": None}
    assert [one.name for one in found.issuers] == ["https://idp"]


@pytest.mark.parametrize(
    "text",
    [
        "[[ae]]",
        '[[ae]]\ntitle = "A"',
        '[[ae]]\ntitle = "A"\nfingerprints = ["12"]',
        f'[[ae]]\ntitle = "A"\nfingerprints = ["{PRINT}"]\nprint = 1',
        '[ae]\ntitle = "A"',
        '[[user]]\nname = ""',
        '[[user]]\nname = "a"\npasscode = "secret"',
        '[[issuer]]\nname = "i"\naudience = "a"\nkey = "none.pem"',
        "[[person]]",
        "not toml",
    ],
)
def test_what_is_wrong_in_the_file_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        read(written(tmp_path, text))
    with pytest.raises(ConfigError):
        watched(str(tmp_path / "absent.toml")).value()


def verifier(**users: str | None) -> Verifier:
    return Verifier(Watched(tuple, lambda: Identities(users=users)))


def test_a_name_alone_is_enough_only_without_a_passcode() -> None:
    who = verifier(open=None, closed=hash_passcode("x"))
    assert who.by_name("open") == "open"
    for name in ("closed", "nobody"):
        with pytest.raises(NotAuthenticated):
            who.by_name(name)


def test_guesses_end_after_five_from_one_address() -> None:
    who = verifier(jdoe=hash_passcode("right"))
    for _ in range(5):
        with pytest.raises(NotAuthenticated, match="another"):
            who.by_passcode("jdoe", "wrong", address="a")
    with pytest.raises(NotAuthenticated, match="too often"):
        who.by_passcode("jdoe", "right", address="a")
    assert who.by_passcode("jdoe", "right", address="b") == "jdoe"


def guesses(who: Verifier, names: Iterable[str], address: str = "192.0.2.1") -> int:
    """Guess the passcode of these names; count the guesses that were heard."""
    heard = 0
    for name in names:
        with pytest.raises(NotAuthenticated) as refused:
            who.by_passcode(name, "wrong", address=address)
        heard += "too often" not in str(refused.value)
    return heard


def test_passcodes_guessed_at_once_count_as_if_one_after_the_other() -> None:
    who = verifier(jdoe=hash_passcode("right"))
    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(lambda _: guesses(who, ["jdoe"]), range(20))) == 5


def test_right_passcodes_do_not_count() -> None:
    who = verifier(jdoe=hash_passcode("right"))
    for _ in range(7):
        assert who.by_passcode("jdoe", "right", address="192.0.2.1") == "jdoe"


def test_other_names_make_nobody_forget_the_guesses_at_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "_REMEMBERED", 20)
    who = verifier(jdoe=hash_passcode("right"))
    assert guesses(who, ["jdoe"] * 6) == 5
    for number in range(40):  # a name without a passcode costs nothing to try
        with pytest.raises(NotAuthenticated):
            who.by_name(f"nobody-{number}")
    assert guesses(who, ["jdoe"]) == 0


def test_an_address_guesses_at_sixty_names_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "is_passcode", lambda *_: False)
    who = verifier()
    assert guesses(who, (f"u{number}" for number in range(70))) == 60
    assert guesses(who, ["u1"], "192.0.2.2") == 1


def test_all_addresses_of_an_ipv6_network_guess_passcodes_together() -> None:
    who = verifier(jdoe=hash_passcode("right"))
    heard = [guesses(who, ["jdoe"], f"2001:db8:0:1::{number}") for number in range(7)]
    assert sum(heard) == 5


def test_what_was_guessed_long_ago_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    who = verifier(jdoe=hash_passcode("right"))
    assert guesses(who, ["jdoe"] * 6) == 5
    monkeypatch.setattr(identities, "_FAILURES_S", 0.0)
    assert who.by_passcode("jdoe", "right", address="192.0.2.1") == "jdoe"


def test_an_unknown_user_and_one_without_a_passcode_are_refused_alike() -> None:
    who = verifier(open=None)
    for name in ("open", "nobody"):
        with pytest.raises(NotAuthenticated, match="not known, or"):
            who.by_passcode(name, "", address="a")


def test_a_changed_file_is_taken_over_and_a_broken_one_is_not(tmp_path: Path) -> None:
    path = written(tmp_path, '[[user]]\nname = "one"')
    known = watched(str(path))
    first = known.value()
    assert first.users == {"one": None}
    assert known.value() is first
    written(tmp_path, '[[user]]\nname = "another"')
    assert known.value().users == {"another": None}
    written(tmp_path, "broken [")
    assert known.value().users == {"another": None}
    path.unlink()
    assert known.value().users == {"another": None}
    written(tmp_path, '[[user]]\nname = "third one"')
    assert known.value().users == {"third one": None}
