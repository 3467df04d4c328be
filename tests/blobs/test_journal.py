"""The journal: durable entries, chained by process, replayed in order of time."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from tests.blobs.conftest import ARCHIVE, ROOT
from vna.blobs.backends import Backend
from vna.blobs.journal import ENTRY_MAX, Journal
from vna.blobs.layout import JOURNALS, blob_name
from vna.blobs.store import BlobStore
from vna.crypto.envelope import JOURNAL
from vna.crypto.keyring import Keyring
from vna.errors import Corrupt, NotFound, TooLarge


def test_entries_come_back_in_order_of_time(store: BlobStore, backend: Backend) -> None:
    one, two = Journal(store), Journal(BlobStore.open(backend, Keyring(ROOT, ARCHIVE)))
    ids = [
        journal.append("hold", {"study": f"1.2.{n}"}, {"until": n, "why": "Prüfung"}, "user:7")
        for n, journal in enumerate([one, two, one, one, two])
    ]

    entries = list(one.replay())

    assert [entry.id for entry in entries] == ids
    assert [entry.target for entry in entries] == [{"study": f"1.2.{n}"} for n in range(5)]
    assert entries[2].args == {"until": 2, "why": "Prüfung"}
    assert {(entry.op, entry.actor) for entry in entries} == {("hold", "user:7")}
    assert all(a.at <= b.at for a, b in pairwise(entries))


def test_entries_are_not_among_the_data_sets(store: BlobStore) -> None:
    entry = Journal(store).append("hold", {}, {}, "somebody")

    assert list(store.blob_ids()) == []
    assert list(store.ids(JOURNALS)) == [entry]
    with pytest.raises(NotFound):
        store.reader(entry)


def test_an_entry_says_what_the_format_says(store: BlobStore) -> None:
    journal = Journal(store)
    first = journal.append("hold", {"study": "1.2"}, {}, "somebody")
    second = journal.append("release", {"study": "1.2"}, {}, "somebody")

    lines = [store.reader(i, kind=JOURNAL).read(0, 10_000) for i in (first, second)]

    assert set(orjson.loads(lines[0])) == {
        "id", "at", "actor", "op", "target", "args", "prev_sha256",
    }  # fmt: skip
    assert orjson.loads(lines[0])["prev_sha256"] is None
    assert len(orjson.loads(lines[1])["prev_sha256"]) == 64
    assert orjson.loads(store.reader(first, kind=JOURNAL).meta())["epoch"] == store.epoch.hex()


def test_a_missing_entry_is_noticed(folder: Path, local: BlobStore) -> None:
    journal = Journal(local)
    ids = [journal.append("hold", {}, {"n": n}, "somebody") for n in range(3)]
    os.unlink(folder / blob_name(ids[1], JOURNAL))

    with pytest.raises(Corrupt, match="missing"):
        list(journal.replay())


def test_an_exchanged_or_damaged_entry_is_noticed(folder: Path, local: BlobStore) -> None:
    journal = Journal(local)
    one, two = (folder / blob_name(journal.append("x", {}, {}, "y"), JOURNAL) for _ in range(2))
    kept = two.read_bytes()

    two.write_bytes(one.read_bytes())
    with pytest.raises(Corrupt):
        list(journal.replay())
    damaged = bytearray(kept)
    damaged[260] ^= 1
    two.write_bytes(damaged)
    with pytest.raises(Corrupt):
        list(journal.replay())


def test_the_journal_outlives_every_study_key(store: BlobStore, backend: Backend) -> None:
    Journal(store).append("delete", {"study": "1.2.3"}, {}, "somebody")
    key = store.keys.for_study("1.2.3")
    store.keys.destroy(key.key_id)

    with BlobStore.open(backend, Keyring(ROOT, ARCHIVE)) as fresh:
        assert [entry.op for entry in Journal(fresh).replay()] == ["delete"]


def test_an_entry_has_a_limit(store: BlobStore) -> None:
    with pytest.raises(TooLarge):
        Journal(store).append("x", {}, {"text": "y" * ENTRY_MAX}, "somebody")

    assert list(store.ids(JOURNALS)) == []
