"""The walls `lint-imports` holds go round the whole house: a new room is behind them, too."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

_ROOT: Final = Path(__file__).resolve().parents[2]

_HOMES: Final = {
    "psycopg": {"db", "index"},
    "obstore": {"blobs"},
    "cryptography": {"crypto"},
    "numpy": {"pixels"},
    **{one: {"web", "app"} for one in ("asyncio", "anyio", "starlette", "uvicorn")},
}
"""What comes from outside, and the rooms that may import it."""


def _contracts() -> list[dict[str, Any]]:
    told = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = told["tool"]["importlinter"]["contracts"]
    return found


def _rooms() -> set[str]:
    house = _ROOT / "vna"
    modules = {path.stem for path in house.glob("*.py") if path.stem != "__init__"}
    return modules | {path.parent.name for path in house.glob("*/__init__.py")}


@pytest.mark.parametrize("library", _HOMES)
def test_a_library_is_kept_out_of_every_room_but_its_home(library: str) -> None:
    kept_out = {
        source.removeprefix("vna.")
        for contract in _contracts()
        if library in contract.get("forbidden_modules", ())
        for source in contract["source_modules"]
    }
    assert _rooms() - kept_out == _HOMES[library]


@pytest.mark.parametrize(
    ("room", "never"),
    [("blobs", "dicom"), ("blobs", "db"), ("index", "crypto"), ("web", "db"), ("dimse", "blobs")],
)
def test_a_room_is_kept_out_of_another_on_the_floors_below(room: str, never: str) -> None:
    assert any(
        f"vna.{room}" in contract.get("source_modules", ())
        and f"vna.{never}" in contract.get("forbidden_modules", ())
        for contract in _contracts()
    )
