"""Reads a whole backup and says what is wrong with it; changes nothing and needs no key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from vna.backup.manifest import Entry, Summary, digest_of, entries

_THREADS = 4
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Damage:
    """One file that is not what was written."""

    path: str
    why: str


def check(
    folder: Path, summary: Summary, progress: Callable[[int], None] = lambda _: None
) -> Iterator[Damage]:
    """Compare every file with its digest. Raises `Corrupt` when the list itself is damaged."""
    listed = entries(folder, summary)
    done = 0
    with ThreadPoolExecutor(_THREADS, "check") as pool:
        while batch := list(islice(listed, _BATCH)):
            for found in pool.map(lambda entry: _look(folder, entry), batch):
                if found is not None:
                    yield found
            done += len(batch)
            progress(done)
    if done != summary.files:
        yield Damage(summary.sums, f"names {done} files and should name {summary.files}")


def _look(folder: Path, entry: Entry) -> Damage | None:
    try:
        found = digest_of(folder / entry.path)
    except FileNotFoundError:
        return Damage(entry.path, "is missing")
    except OSError as exc:
        return Damage(entry.path, f"cannot be read: {exc.strerror}")
    return None if found == entry.digest else Damage(entry.path, "is not what was written")
