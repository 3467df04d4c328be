"""Archives with a known content, made as a test names it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.archive import Archive, open_archive
from tests.conftest import SCHEMA, TestPostgres
from tests.factories import Instance
from vna.db.pool import Database
from vna.ingest.outcome import Stored

Filled = Callable[[Iterable[Instance]], Archive]


@pytest.fixture
def filled(postgres: TestPostgres, tmp_path: Path) -> Iterator[Filled]:
    """Make archives, each with a database of its own that holds just the instances given."""
    yield from filling(postgres, tmp_path)


def filling(postgres: TestPostgres, folder: Path) -> Iterator[Filled]:
    """Yield the function that makes archives below a folder; they are gone afterwards."""
    numbers = itertools.count()
    with ExitStack() as open_ones:

        def make(instances: Iterable[Instance]) -> Archive:
            dsn = postgres.clone()
            open_ones.callback(postgres.drop, dsn)
            database = Database(dsn, schema=SCHEMA, connections=2)
            open_ones.callback(database.close)
            own = folder / str(next(numbers))
            own.mkdir()
            archive = open_ones.enter_context(open_archive(own, database))
            for one in instances:
                assert isinstance(archive.take(one.part10()), Stored)
            return archive

        yield make
