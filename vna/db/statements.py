"""Named SQL statements: sql/queries/<room>.sql, read once.

-- name: claim_job
-- Take the oldest due job nobody holds.
UPDATE job ...
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import LiteralString, cast

import vna
from vna.errors import ConfigError

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


class Statements(Mapping[str, LiteralString]):
    """The statements of one room, by name: `SQL.claim_job` or `SQL["claim_job"]`."""

    def __init__(self, room: str, statements: Mapping[str, LiteralString]) -> None:
        self._room = room
        self._statements = dict(statements)

    def __getattr__(self, name: str) -> LiteralString:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"sql/queries/{self._room}.sql has no statement {name}") from None

    def __getitem__(self, name: str) -> LiteralString:
        return self._statements[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)


@functools.cache
def load(room: str) -> Statements:
    """Read the statements of a room. Raises `ConfigError` when the file is missing or not sound."""
    path = folder() / "queries" / f"{room}.sql"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"The statements {path} cannot be read: {exc.strerror}.") from exc
    return Statements(room, parse(text, path.name))


def parse(text: str, source: str) -> dict[str, LiteralString]:
    """Cut a file of statements into its parts. Raises `ConfigError`."""
    pieces = _NAME.split(text)
    found: dict[str, LiteralString] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        statement = _without_purpose(body)
        if not statement or name in found:
            raise ConfigError(f"In {source} the statement {name} is empty or stands there twice.")
        # Vouched for here, once: it is text of our own files and never of a peer. To mypy a
        # LiteralString is a str; basedpyright tells them apart.
        found[name] = cast(LiteralString, statement)  # type: ignore[redundant-cast]
    return found


def folder(package: Path | None = None) -> Path:
    """Find `sql`: inside an installed package as `_sql`, else beside the checkout's package."""
    package = package or Path(vna.__file__).parent
    packed = package / "_sql"
    return packed if packed.is_dir() else package.parent / "sql"


def _without_purpose(body: str) -> str:
    """Drop the comment lines before the statement; those inside it stay."""
    lines = body.strip().splitlines()
    while lines and (not lines[0].strip() or lines[0].lstrip().startswith("--")):
        lines.pop(0)
    return "\n".join(lines).strip().removesuffix(";")
