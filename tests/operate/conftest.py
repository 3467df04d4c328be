"""An archive of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archive import Archive, open_archive
from vna.db.pool import Database


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    """Real blobs in a temporary folder, a real database, the real engines."""
    with open_archive(tmp_path, database) as found:
        yield found
