"""Named statements: cut from their files, found in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

import pytest

from vna.db import statements
from vna.errors import ConfigError

TWO = """-- Statements of a test.

-- name: find_one
-- Find it.
SELECT 1
  -- this one
  FROM one;

-- name: find_two
SELECT '%;' AS two
"""


def test_a_file_is_cut_at_its_names() -> None:
    assert statements.parse(TWO, "x.sql") == {
        "find_one": "SELECT 1\n  -- this one\n  FROM one",
        "find_two": "SELECT '%;' AS two",
    }


@pytest.mark.parametrize(
    "text", ["-- name: a\n-- only words\n", "-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n"]
)
def test_an_empty_or_repeated_statement_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.sql"):
        statements.parse(text, "x.sql")


def test_statements_are_attributes_and_items() -> None:
    found = statements.load("audit")
    assert found.insert_audit == found["insert_audit"]
    assert "insert_audit" in set(found)
    with pytest.raises(AttributeError, match=r"audit\.sql has no statement nonsense"):
        found.nonsense  # noqa: B018 -- the look-up is the act


def test_a_room_without_statements_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        statements.load("nowhere")


def test_an_installed_package_carries_its_sql(tmp_path: Path) -> None:
    (tmp_path / "vna" / "_sql").mkdir(parents=True)
    assert statements.folder(tmp_path / "vna") == tmp_path / "vna" / "_sql"


def test_a_checkout_has_it_beside_the_package(tmp_path: Path) -> None:
    assert statements.folder(tmp_path / "vna") == tmp_path / "sql"


@pytest.mark.parametrize("path", sorted((statements.folder() / "queries").glob("*.sql")))
def test_every_file_of_statements_is_sound(path: Path) -> None:
    assert len(statements.load(path.stem)) > 0
