"""Secrets of people and programs: hashed under a pepper, sealed, bounded."""

from __future__ import annotations

import os

import pytest

from tests.access.conftest import keyring
from tests.archive import CHEAP
from vna.crypto.credentials import (
    Vault,
    digest,
    form_token,
    is_form_token,
    new_paper_code,
    new_secret,
)
from vna.errors import Corrupt, NotFound


def test_a_secret_has_256_bits_and_none_is_like_another() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(secret) for secret in made} == {43}
    assert len(digest(new_secret())) == 32


def test_a_passphrase_is_known_again_and_no_other() -> None:
    vault = Vault(keyring(), CHEAP)
    kept = vault.hash_passphrase("correct horse")
    assert vault.is_passphrase("correct horse", kept)
    assert not vault.is_passphrase("correct horsf", kept)
    assert not vault.is_passphrase("correct horse", None)
    assert kept != vault.hash_passphrase("correct horse")


def test_a_hash_is_of_no_use_without_the_archive_s_key() -> None:
    kept = Vault(keyring(), CHEAP).hash_passphrase("correct horse")
    with pytest.raises(NotFound):
        Vault(keyring(), CHEAP).is_passphrase("correct horse", kept)


def test_a_passphrase_is_the_same_from_another_keyboard() -> None:
    vault = Vault(keyring(), CHEAP)
    assert vault.is_passphrase("cafe\u0301 noir", vault.hash_passphrase("caf\u00e9 noir"))


def test_rotating_the_archive_key_voids_nothing() -> None:
    keys = keyring()
    vault = Vault(keys, CHEAP)
    kept, sealed = vault.hash_passphrase("correct horse"), vault.seal(1, b"x")
    paper = vault.hash_paper_code(1, "AAAA")
    keys.add(keys.new_archive_key(key_id=os.urandom(16), created_us=2))
    assert vault.is_passphrase("correct horse", kept)
    assert vault.hash_paper_code(1, "AAAA") == paper
    assert vault.open(1, sealed) == b"x"
    assert vault.seal(1, b"x")[:16] != sealed[:16]


@pytest.mark.parametrize(
    "hashed",
    [
        "$argon2id$v=19$m=1048576,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=64,t=99,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$nonsense",
        "",
    ],
)
def test_a_hash_that_asks_for_too_much_is_refused_before_memory_is_taken(hashed: str) -> None:
    keys = keyring()
    with pytest.raises(Corrupt):
        Vault(keys, CHEAP).is_passphrase("x", f"{keys.current.key_id.hex()}:{hashed}")


def test_a_sealed_secret_is_one_account_s() -> None:
    vault = Vault(keyring(), CHEAP)
    sealed = vault.seal(1, b"secret")
    assert vault.open(1, sealed) == b"secret"
    assert vault.seal(1, b"secret") != sealed
    for wrong in (sealed[:-1], sealed[:20], bytes([*sealed[:-1], sealed[-1] ^ 1])):
        with pytest.raises(Corrupt):
            vault.open(1, wrong)
    with pytest.raises(Corrupt):
        vault.open(2, sealed)


def test_a_paper_code_is_read_however_it_is_written() -> None:
    vault = Vault(keyring(), CHEAP)
    code = new_paper_code()
    assert len(code.replace("-", "")) == 12
    one = vault.hash_paper_code(1, "01AB-CD")
    assert one == vault.hash_paper_code(1, " oIab cd")
    assert one != vault.hash_paper_code(2, "01AB-CD")


def test_a_form_belongs_to_one_browser() -> None:
    secret = new_secret()
    assert is_form_token(secret, form_token(secret))
    assert not is_form_token(new_secret(), form_token(secret))
    assert not is_form_token(secret, "")
    assert not is_form_token(secret, "\u00e4")
