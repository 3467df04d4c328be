"""Docs are true: what exists is documented, and what is documented exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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
