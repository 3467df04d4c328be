"""Study keys as key objects beside the blobs: made, wrapped, cached, destroyed.

No two processes ever agree on a key: each makes its own for a study it receives, so a study may own
several. A key is handed out for new blobs for an hour at most, and stays opened in a process's
memory for five minutes at most: whoever destroys keys can rely on both (docs/crypto.md 4.3).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from vna.blobs.backends import Backend, get, put
from vna.blobs.layout import ARCHIVE_KEYS, KEYS, id_of, key_name, uuid7
from vna.blobs.recent import Recent
from vna.crypto.keyring import KEY_OBJECT_MAX, KeyObject, Keyring
from vna.errors import Corrupt, Gone, NotFound

MAKE_S = 3600.0
OPEN_S = 300.0

_STUDIES = 4096
_OPENED = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyKey:
    """An opened study key."""

    key_id: bytes
    version: int
    key: bytes = field(repr=False)


class StudyKeys:
    """The study keys of one store; shared by the threads of one process."""

    def __init__(self, backend: Backend, keyring: Keyring, confirm: Callable[[], None]) -> None:
        self._backend = backend
        self._keyring = keyring
        self._confirm = confirm
        self._lock = threading.Lock()
        self._made: Recent[str, StudyKey] = Recent(_STUDIES, MAKE_S)
        self._making: dict[str, Future[StudyKey]] = {}
        self._opened: Recent[tuple[bytes, int], StudyKey] = Recent(_OPENED, OPEN_S)

    def for_study(self, study_uid: str) -> StudyKey:
        """Give this process's key of a study, made and durable on the first call."""
        with self._lock:
            key = self._made.get(study_uid)
            if key is not None:
                return key
            waiting = self._making.get(study_uid)
            if waiting is None:
                mine = self._making[study_uid] = Future()
        if waiting is not None:
            return waiting.result()
        try:
            key = self._make(study_uid)
            self._made.put(study_uid, key)
        except BaseException as exc:
            mine.set_exception(exc)
            raise
        else:
            mine.set_result(key)
            return key
        finally:
            with self._lock:
                del self._making[study_uid]

    def open(self, key_id: bytes, version: int) -> StudyKey:
        """Open a study key. Raises `Gone` (a `NotFound`) when it was destroyed, `WrongKey`."""
        key = self._opened.get((key_id, version))
        if key is None:
            found = self._read(key_id)
            if found.version != version:
                raise Gone("The study key is not there in that version.")
            secret = self._keyring.open_study_key(found)
            key = StudyKey(key_id=key_id, version=version, key=secret)
            self._opened.put((key_id, version), key)
        return key

    def ids(self) -> Iterator[bytes]:
        """Walk the ids of all study keys."""
        for name in self._backend.list(KEYS):
            key_id = id_of(name)
            if key_id is not None and not name.startswith(ARCHIVE_KEYS):
                yield key_id

    def retire(self, study_uid: str) -> None:
        """Hand out this process's key of a study no more: the next blob gets another one."""
        self._made.drop(study_uid)

    def destroy(self, key_id: bytes) -> None:
        """Remove a key for good: everything sealed under it is unreadable from then on."""
        for study, key in self._made.items():
            if key.key_id == key_id:
                self._made.drop(study)
        for opened, _ in self._opened.items():
            if opened[0] == key_id:
                self._opened.drop(opened)
        self._backend.delete(key_name(key_id))

    def holds(self, key_id: bytes) -> bool:
        """Tell whether a study key is there. Raises `Unavailable` when the store is not."""
        try:
            self._backend.size(key_name(key_id))
        except NotFound:
            self._confirm()
            return False
        return True

    def check(self) -> None:
        """Unwrap every study key. Raises `Corrupt` or `WrongKey` for the first that does not."""
        for key_id in self.ids():
            self.check_one(key_id)

    def check_one(self, key_id: bytes) -> None:
        """Unwrap one study key. Raises `Gone` when it was destroyed, `Corrupt`, `WrongKey`."""
        self._keyring.open_study_key(self._read(key_id))

    def _make(self, study_uid: str) -> StudyKey:
        key_id = uuid7()
        made, secret = self._keyring.new_study_key(
            study_uid, key_id=key_id, created_us=time.time_ns() // 1000
        )
        put(self._backend, key_name(key_id), made.encode())
        key = StudyKey(key_id=key_id, version=made.version, key=secret)
        self._opened.put((key_id, made.version), key)
        return key

    def _read(self, key_id: bytes) -> KeyObject:
        try:
            data = get(self._backend, key_name(key_id), KEY_OBJECT_MAX + 1)
        except NotFound as exc:
            self._confirm()
            raise Gone("The study key is not there: it was destroyed.") from exc
        found = KeyObject.decode(data)
        if found.key_id != key_id:
            raise Corrupt("A key object stands under another's name.")
        return found
