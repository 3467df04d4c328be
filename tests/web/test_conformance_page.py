"""docs/conformance-dicomweb.md says what the code does: resources, codes, limits."""

from __future__ import annotations

import re
from pathlib import Path

from vna.config import Settings
from vna.ingest.outcome import Cause, Caution
from vna.web.dicomweb.routes import ROUTES, find
from vna.web.dicomweb.store_response import FAILURE, WARNING
from vna.web.dicomweb.uri import PARAMETERS

PAGE = (Path(__file__).parents[2] / "docs" / "conformance-dicomweb.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Cells of the table whose first heading is this."""
    lines = PAGE.split(f"\n| {heading} |")[1].splitlines()[2:]
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def test_every_resource_and_method_is_on_the_page() -> None:
    told = {row[0].strip("`"): row[1].split(", ") for row in rows("Resource")}
    assert told == {route.path: list(route.methods) for route in ROUTES}


def test_every_route_is_found_by_its_path() -> None:
    for route in ROUTES:
        path = re.sub(r"\{(\w+)\}", r"\1", route.path)
        found, names = find(f"/{path}")
        assert found is route
        assert all(name == value for name, value in names.items())


def test_every_parameter_of_the_uri_service_is_on_the_page() -> None:
    assert [row[0].strip("`") for row in rows("URI parameter")] == list(PARAMETERS)


def test_every_reason_is_on_the_page() -> None:
    assert set(FAILURE) == set(Cause)
    assert set(WARNING) == set(Caution)
    assert {row[0] for row in rows("Failure Reason")} == {f"{c:04X}" for c in FAILURE.values()}
    assert {row[0] for row in rows("Warning Reason")} == {f"{c:04X}" for c in WARNING.values()}


def test_every_limit_has_its_default_on_the_page() -> None:
    settings = Settings()
    for name, default, _ in rows("Setting"):
        section, key = name.strip("`").split(".")
        assert str(getattr(getattr(settings, section), key)) == default
