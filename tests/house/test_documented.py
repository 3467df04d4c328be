"""Docs are true: what exists is documented, and what is documented exists."""

from __future__ import annotations

import argparse
import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from vna import telemetry
from vna.cli.main import _parser
from vna.config import Settings
from vna.ingest.releases import RELEASE
from vna.operate import carer_entries, corrections, holds
from vna.operate import labels as label_entries
from vna.operate.identity_entries import APART, BOUND, DECEASED, LINK
from vna.operate.tombstones import DELETE, UNDELETE
from vna.sharing import records

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOLD = [*PAGES, *sorted((ROOT / "conf").glob("*.toml"))]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_command_stands_in_the_readme() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "vna", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    commands = re.findall(r"^ {4}([a-z]+)  ", help_text, re.MULTILINE)
    assert "serve" in commands
    for command in commands:
        assert re.search(rf"\b{command}\b", text("README.md")), command


def test_every_entry_of_the_journal_stands_in_the_format() -> None:
    table = text("docs/crypto.md").partition("## 6. Journal")[2].partition("\n## ")[0]
    told = set(re.findall(r"`([a-z.-]+)`", "\n".join(re.findall(r"^\| (`[^|]*) \|", table, re.M))))
    marks = {label_entries.SET, label_entries.TAKEN, holds.SET, holds.TAKEN}
    people = {LINK, APART, DECEASED, BOUND, *carer_entries.OPS, *records.OPS}
    acts = {DELETE, UNDELETE, corrections.CORRECT, corrections.UNCORRECT, RELEASE}
    assert told == marks | people | acts


def commands(page: Path) -> Iterator[str]:
    """The commands a page prints: in backticks, on a line of a listing, in a unit of systemd."""
    written = page.read_text(encoding="utf-8")
    yield from re.findall(r"`(vna [a-z][^`]*)`", written)
    yield from re.findall(r"^(?:    |ExecStart=\S*/|! |)(vna [a-z].*)$", written, re.MULTILINE)


def words_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The words that may stand first behind a command."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(inner[0].choices) if inner else {}


def test_every_command_of_the_docs_is_one_with_the_flags_it_shows() -> None:
    seen = 0
    for page in TOLD:
        for command in commands(page):
            _, first, *rest = re.split(r"\s+", re.split(r"\s[#|]\s|[;>&]", command)[0].strip())
            parser = words_of(_parser(first)[0]).get(first)
            assert parser is not None, (page.name, command)
            if acts := words_of(parser):
                if rest and re.fullmatch(r"[a-z]+", rest[0]):
                    assert rest[0] in acts, (page.name, command)
                    parser = acts[rest[0]]
                elif len(rest) > 0 and not rest[0].startswith("-"):
                    raise AssertionError((page.name, command))
            for flag in re.findall(r"--[a-z-]+", " ".join(rest)):
                assert flag in parser._option_string_actions, (page.name, command, flag)
            seen += 1
    assert seen > 100


def test_every_setting_the_docs_name_is_one() -> None:
    settings = Settings()
    sections = {
        field.name: {key.name for key in dataclasses.fields(value)}
        for field in dataclasses.fields(settings)
        if dataclasses.is_dataclass(value := getattr(settings, field.name))
    }
    for page in TOLD:
        named = re.findall(r"`([a-z]+)\.([a-z_]+)(?: = [^`]*)?`", page.read_text(encoding="utf-8"))
        for section, key in named:
            if section in sections and f"{key}" not in ("py", "md", "toml", "json"):
                assert key in sections[section], (page.name, f"{section}.{key}")


def test_every_metric_the_docs_name_is_declared() -> None:
    declared = set(re.findall(r'"(vna_[a-z_]+)"', text("vna/telemetry.py")))
    for page in TOLD:
        named = re.findall(r"`(vna_[a-z_]+)", page.read_text(encoding="utf-8"))
        for metric in set(named) - {"vna_share"}:  # a role of the database
            assert {metric, metric.removesuffix("_total")} & declared, (page.name, metric)


def test_every_metric_has_a_row_with_its_labels() -> None:
    kinds = {Counter: "_total", Gauge: "", Histogram: ""}
    declared = {
        f"{metric._name}{kinds[type(metric)]}": list(metric._labelnames)
        for metric in vars(telemetry).values()
        if type(metric) in kinds
    }
    told: dict[str, list[str]] = {}
    rows = re.findall(r"^\| (`vna_.+?) \| (.*?) ?\| ", text("docs/operations.md"), re.MULTILINE)
    for cell, labels in rows:
        names = re.findall(r"`(\w+)`", cell)
        of_each = labels.split("; ") if labels else [""] * len(names)
        for name, said in zip(names, of_each, strict=True):
            told[name] = re.findall(r"`(\w+)`", said)
    assert told == declared


def test_every_table_of_the_schema_has_its_row() -> None:
    written = "\n".join(p.read_text() for p in sorted((ROOT / "sql/migrations").glob("*.sql")))
    made = set(re.findall(r"^CREATE (?:UNLOGGED )?TABLE (\w+)", written, re.M))
    gone = set(re.findall(r"^DROP TABLE (\w+)", written, re.M))
    table = text("docs/schema.md").partition("## Tables")[2].partition("\n## ")[0]
    rows = [
        name
        for cell in re.findall(r"^\| (`.+?) \| ", table, re.M)
        for name in re.findall(r"`(\w+)`", cell)
    ]
    assert len(rows) == len(set(rows))
    assert set(rows) == (made - gone) | {"migration"}


def test_every_heading_the_docs_link_to_is_there() -> None:
    for page in PAGES:
        links = re.findall(r"\]\(([^)#:\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
        for target, anchor in links:
            there = (page.parent / target) if target else page
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, (page.name, target, anchor)


def test_every_room_has_a_row_that_says_what_belongs_there() -> None:
    rooms = {path.parent.name for path in (ROOT / "vna").glob("*/__init__.py")}
    rows = set(re.findall(r"^\| .+ \| `(\w+)` \|$", text("docs/contributing.md"), re.MULTILINE))
    assert rooms == rows


def test_every_module_that_touches_pixels_has_its_row() -> None:
    modules = {path.stem for path in (ROOT / "vna" / "pixels").glob("[a-z]*.py")}
    table = text("docs/pixels.md").partition("## Rooms inside")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.+?) \| ", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == modules


def test_every_file_the_docs_name_exists() -> None:
    for page in PAGES:
        for path in re.findall(r"`((?:vna|tests|sql|conf|docs)/[\w/.-]+\.\w+)`", page.read_text()):
            assert (ROOT / path).exists(), (page.name, path)


def test_every_link_in_the_docs_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_test_the_docs_name_exists() -> None:
    written = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    known = set(re.findall(r"def (test_\w+)", written))
    for page in [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]:
        named = set(re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8")))
        assert named <= known, (page.name, named - known)


def test_every_threat_of_sharing_has_a_test_or_says_that_it_is_not_held() -> None:
    table = text("docs/security.md").partition("## Threats of sharing, by number")[2]
    rows = re.findall(r"^\| (T\d+) \| (.+?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    assert [number for number, *_ in rows] == [f"T{number}" for number in range(1, 29)]
    for number, _, defence, shown in rows:
        files = re.findall(r"`(tests/\w+/test_\w+\.py)`", shown)
        assert all((ROOT / file).exists() for file in files), number
        assert files or re.search(r"`test_\w+`", shown) or "no such share" in defence, number


def test_every_make_target_of_the_docs_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    for page in ("README.md", "docs/contributing.md"):
        for target in re.findall(r"`make ([a-z-]+)", text(page)):
            assert target in targets, target


def test_the_locks_carry_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        lock = text(name)
        assert "--hash=sha256:" in lock
        assert "://" not in lock


def test_every_metric_is_counted_somewhere() -> None:
    metrics = re.findall(
        r"^([A-Z_]+) = (?:Counter|Gauge|Histogram)\(", text("vna/telemetry.py"), re.M
    )
    rooms = "\n".join(
        p.read_text(encoding="utf-8")
        for p in (ROOT / "vna").rglob("*.py")
        if p.name != "telemetry.py"
    )
    assert metrics
    for metric in metrics:
        assert metric in rooms, metric
