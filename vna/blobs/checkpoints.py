"""Signed checkpoints of the audit trail, beside the blobs: they find a database put back.

A checkpoint says how long the trail was, and its hash there. It holds no patient's data and is not
sealed: who has the public key can check it without the archive. Layout: docs/security.md.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from vna.blobs.backends import Backend, get, put
from vna.blobs.layout import CHECKPOINTS, checkpoint_name, id_of, uuid7
from vna.crypto.keyring import Keyring
from vna.crypto.signing import is_signed
from vna.errors import Corrupt, NotFound

ACCEPTED_MOST = 2000  # checkpoints one acceptance names
_SIZE_MAX = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What was signed: the trail `trail` had the hash `hash` at its link `seal_seq`.

    `accepts` are the marks of checkpoints that an administrator said this trail does not follow:
    it was put back to before they were made.
    """

    trail: str
    seal_seq: int
    hash: bytes
    at: str  # UTC, ISO 8601
    statement: str
    signature: bytes
    accepts: frozenset[str] = frozenset()

    @property
    def mark(self) -> str:
        """Name what was signed, wherever it stands."""
        return hashlib.sha256(self.statement.encode()).hexdigest()[:32]


class Checkpoints:
    """Makes and checks the checkpoints of one store."""

    def __init__(self, backend: Backend, keyring: Keyring) -> None:
        self._backend = backend
        self._keyring = keyring

    def sign(
        self,
        trail: str,
        seal_seq: int,
        digest: bytes,
        at: dt.datetime,
        *,
        accepts: Collection[str] = (),
    ) -> Checkpoint:
        """Sign a place of the trail and write it down; durable on return. Raises `Unavailable`."""
        key_id = self._keyring.current.key_id
        key = self._keyring.checkpoint_key(key_id)
        values: dict[str, Any] = {
            "v": 1,
            "trail": trail,
            "seal_seq": seal_seq,
            "hash": digest.hex(),
            "at": at.isoformat(timespec="milliseconds"),
            "key_id": str(uuid.UUID(bytes=key_id)),
            "public": key.public.hex(),
        }
        if accepts:
            values["accepts"] = sorted(accepts)
        statement = orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()
        signature = key.sign(statement.encode())
        line = orjson.dumps({"statement": statement, "signature": signature.hex()}) + b"\n"
        put(self._backend, checkpoint_name(uuid7()), line)
        return self.checked(statement, signature)

    def checked(self, statement: str, signature: bytes) -> Checkpoint:
        """Read a statement this archive signed. Raises `Corrupt`."""
        try:
            values = orjson.loads(statement)
            key = self._keyring.checkpoint_key(uuid.UUID(values["key_id"]).bytes)
            found = Checkpoint(
                trail=str(values["trail"]),
                seal_seq=int(values["seal_seq"]),
                hash=bytes.fromhex(values["hash"]),
                at=str(values["at"]),
                statement=statement,
                signature=signature,
                accepts=frozenset(map(str, values.get("accepts", ()))),
            )
        except (ValueError, KeyError, TypeError, AttributeError, NotFound) as exc:
            raise Corrupt("A checkpoint of the audit trail is not readable.") from exc
        if not is_signed(key.public, signature, statement.encode()):
            raise Corrupt("A checkpoint of the audit trail was not signed by this archive.")
        return found

    def names(self) -> Iterator[str]:
        """Walk the names of all checkpoints, oldest first."""
        return (name for name in self._backend.list(CHECKPOINTS) if id_of(name) is not None)

    def read(self, name: str) -> Checkpoint:
        """Read one by its name. Raises `NotFound`, `Corrupt`."""
        try:
            values = orjson.loads(get(self._backend, name, _SIZE_MAX))
            statement, signature = str(values["statement"]), bytes.fromhex(values["signature"])
        except (ValueError, KeyError, TypeError) as exc:
            raise Corrupt("A checkpoint of the audit trail is not readable.") from exc
        return self.checked(statement, signature)
