"""A ZIP file sealed by a passphrase (WinZip AE-2, AES-256), walked as an open one is.

Opened by 7-Zip, WinZip and Keka. Its length is known beforehand, any part can be asked for again,
nothing is held. The format leaves names, sizes and times of files in clear: names are numbers, all
times are the same. A file's authentication code is over all of it, so that a part which ends with
the code needs what stands before it, once more; codes that were computed are remembered.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from vna.blobs.recent import Recent
from vna.crypto.keyring import Keyring
from vna.crypto.sealed_zip import (
    CHECK_SIZE,
    CODE_SIZE,
    LABEL,
    MARGIN,
    SALT_SIZE,
    FileSeal,
    PackageSeal,
    code_of,
)
from vna.errors import InvalidRequest
from vna.retrieve.package import Entry, bound
from vna.retrieve.payload import Buffer, Stretch
from vna.retrieve.zipformat import FileHead

_REMEMBERED, _REMEMBERED_S = 100_000, 86_400.0
_NO_TIME = datetime(1980, 1, 1, tzinfo=UTC)  # the first the format knows
_LABEL = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
_BEFORE = SALT_SIZE + CHECK_SIZE

Seal = PackageSeal
Codes = Recent[bytes, bytes]


class Seals:
    """Begins sealed packages, and finds them again. Keeps nothing of them.

    `holder` is the secret of who takes a package; its label is none, and of no use to others.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def begin(self, holder: str) -> tuple[PackageSeal, str]:
        """Begin a package, to show its passphrase; its label names it to who asks for its bytes."""
        seal = PackageSeal.fresh(self._key(), holder)
        return seal, base64.urlsafe_b64encode(seal.number).rstrip(b"=").decode("ascii")

    def begun(self, holder: str, label: str) -> PackageSeal:
        """Give the seal of a package that was begun. Raises `InvalidRequest`."""
        if not _LABEL.fullmatch(label):
            raise InvalidRequest("This is not the label of a sealed package.")
        return PackageSeal(self._key(), holder, base64.urlsafe_b64decode(label + "=="))

    def _key(self) -> bytes:
        return self._keyring.drawn_key(self._keyring.first_id, LABEL)  # whatever is rotated


def codes() -> Codes:
    """Make a memory of authentication codes, by the salts of their files."""
    return Recent(_REMEMBERED, _REMEMBERED_S)


def sealed_package(entries: Sequence[Entry], seal: PackageSeal, known: Codes) -> Stretch:
    """Make the sealed ZIP file of some entries, any part of which can be walked."""
    passphrase = seal.passphrase
    heads = [
        FileHead(
            name=entry.name,
            size=entry.content.length,
            packed=entry.content.length + MARGIN,
            changed_at=_NO_TIME,
            is_sealed=True,
        )
        for entry in entries
    ]
    files = [
        _file(entry.content, head, passphrase, seal.salt(_named(entry)), known)
        for entry, head in zip(entries, heads, strict=True)
    ]
    return bound(files, heads, lambda _: 0)


def _named(entry: Entry) -> bytes:
    """Name a file and what is in it: where either is another one, so is the salt."""
    size = entry.content.length
    return b"%d|%d|%b|%b" % (size, len(entry.name), entry.name.encode("ascii"), entry.key)


def _file(content: Stretch, head: FileHead, passphrase: str, salt: bytes, known: Codes) -> Stretch:
    before = head.local_size + _BEFORE
    behind = before + content.length

    def walk(start: int, end: int) -> Iterator[Buffer]:
        keys = FileSeal(passphrase, salt)
        if start < before:
            yield (head.local(0) + keys.head)[start:end]
        first, last = max(start - before, 0), min(end - before, content.length)
        code = known.get(salt)
        coder = None if code is not None or end <= behind else keys.coder()
        if coder is not None:  # what was sent before this part began
            for piece in _sealed(content, keys, 0, first):
                coder.update(piece)
                yield b""  # nothing yet: but whoever walks may look whether to go on
        for piece in _sealed(content, keys, first, last):
            if coder is not None:
                coder.update(piece)
            yield piece
        if coder is not None:
            code = code_of(coder)
            known.put(salt, code)
        if end > behind and code is not None:
            yield code[max(start - behind, 0) : end - behind]

    return Stretch(behind + CODE_SIZE, walk)


def _sealed(content: Stretch, keys: FileSeal, start: int, end: int) -> Iterator[bytes]:
    if start >= end:
        return
    at = start
    for piece in content.walk(start, end):
        yield keys.sealed(piece, at)
        at += len(piece)
