"""The log: one JSON object a line, and never what an error said: it may be a patient's name."""

from __future__ import annotations

import ast
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from vna.telemetry import JsonLines, Spell, place_of

ROOT = Path(__file__).resolve().parents[2]
CANARY = "Canary^Patient"


def written(record: logging.LogRecord) -> dict[str, Any]:
    """Format a record, and read it back."""
    line = JsonLines().format(record)
    assert "\n" not in line
    assert CANARY not in line
    found: dict[str, Any] = json.loads(line)
    return found


def chained() -> BaseException:
    """Fail as code does that nobody foresaw: an error from another one, from another one."""
    try:
        try:
            int(CANARY)
        except ValueError as exc:
            {}[CANARY]
            raise AssertionError from exc
    except KeyError as exc:
        try:
            raise RuntimeError(CANARY) from exc
        except RuntimeError as last:
            return last


def test_of_an_error_the_place_and_the_types_are_logged() -> None:
    exc = chained()
    record = logging.makeLogRecord(
        {"name": "vna.x", "msg": "keeping failed", "exc_info": (type(exc), exc, exc.__traceback__)}
    )
    found = written(record)
    assert (found["event"], found["error"]) == ("keeping failed", "RuntimeError")
    for told in ("RuntimeError", "KeyError", "ValueError", "in chained"):
        assert told in found["trace"]


def test_of_an_error_of_the_system_its_number_is_logged() -> None:
    told = place_of(OSError(28, "No space left on device", CANARY))
    assert told.endswith("OSError 28")
    assert CANARY not in told


def test_what_goes_round_in_circles_ends() -> None:
    one, other = ValueError(CANARY), KeyError(CANARY)
    one.__cause__, other.__cause__ = other, one
    assert CANARY not in place_of(one)


def test_fields_stand_beside_the_event() -> None:
    record = logging.makeLogRecord(
        {"name": "vna.x", "msg": "stored", "number": 3, "line\n": "a\nb"}
    )
    found = written(record)
    assert (found["room"], found["number"], found["line\n"]) == ("vna.x", 3, "a\nb")


PROGRAMS = {
    "ValueError": "raise ValueError(sys.argv[1])",
    "KeyError": "t = threading.Thread(target=lambda: {}[sys.argv[1]]); t.start(); t.join()",
    "OSError": """
async def fails():
    raise OSError(sys.argv[1])

async def main():
    task = asyncio.ensure_future(fails())
    await asyncio.sleep(0)
    del task
    gc.collect()

asyncio.run(main())
""",
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_what_nobody_caught_is_a_line_of_the_log_as_well(kind: str) -> None:
    program = f"""
import asyncio, gc, sys, threading
from vna.telemetry import start_logging
start_logging("INFO")
{PROGRAMS[kind]}
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, CANARY],  # its own lines stand in a trace, from 3.13 on
        capture_output=True,
        text=True,
        check=False,
    )
    assert CANARY not in ended.stderr
    (line,) = ended.stderr.splitlines()
    assert (json.loads(line)["error"], json.loads(line)["level"]) in (
        (kind, "CRITICAL"),
        (kind, "ERROR"),
    )
    assert ended.returncode == (1 if kind == "ValueError" else 0)


def test_a_fault_that_comes_again_and_again_is_told_once_a_reason_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A line for each object refused during an outage would hide all else that is in the log."""
    now = 100.0
    spell = Spell(logging.getLogger("spell"), "nothing taken", clock=lambda: now)
    spell.worked()
    assert not caplog.records
    for _ in range(1000):
        spell.failed("away")
        spell.failed("full")
        now += 0.1
    spell.worked()  # one that slipped through: it is not over yet
    assert [vars(one)["why"] for one in caplog.records] == ["away", "full"]
    now += 10
    spell.worked()
    spell.worked()
    over = caplog.records[2:]
    assert [one.getMessage() for one in over] == ["nothing taken: over"]
    assert vars(over[0])["times"] == 2000
    assert vars(over[0])["for_s"] == pytest.approx(99.9)
    spell.failed("away")
    assert len(caplog.records) == 4


def test_a_fault_that_lasts_is_told_again_each_day(caplog: pytest.LogCaptureFixture) -> None:
    """Who was away when it began never heard of it: its one line is weeks back, or rotated away."""
    now = 0.0
    spell = Spell(logging.getLogger("spell"), "nothing taken", clock=lambda: now)
    for _ in range(3 * 24 * 60):
        spell.failed("away")
        now += 60
    told = [(vars(one)["why"], vars(one)["times"], vars(one)["for_s"]) for one in caplog.records]
    assert told == [("away", 1, 0.0), ("away", 1441, 86400.0), ("away", 2881, 172800.0)]
    now += 10
    spell.worked()
    assert vars(caplog.records[-1])["times"] == 4320
    now += 80_000
    spell.failed("away")  # another spell: told at once, and not again the same day
    now += 80_000
    spell.failed("away")
    assert len(caplog.records) == 5


def test_a_spell_is_told_at_the_level_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """Where an alarm looks for errors, an outage told once still has to be one."""
    Spell(logging.getLogger("spell"), "audit not sealed", level=logging.ERROR).failed("away")
    assert [one.levelname for one in caplog.records] == ["ERROR"]


def test_reasons_without_end_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    spell = Spell(logging.getLogger("spell"), "nothing taken")
    for number in range(100):
        spell.failed(f"reason {number}")
    assert len(caplog.records) == 8


def test_no_field_of_a_line_has_the_name_of_one_of_python_s_own() -> None:
    """Such a line raises where it is written, and only where its level is wanted."""
    taken = {*vars(logging.makeLogRecord({})), "message", "asctime"}
    found = [
        (path.name, key.value)
        for path in (ROOT / "vna").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "extra"
        for one in ast.walk(node.value)
        if isinstance(one, ast.Dict)
        for key in one.keys
        if isinstance(key, ast.Constant)
    ]
    assert len(found) > 100
    assert [one for one in found if one[1] in taken] == []


def test_whom_we_call_is_not_logged_by_their_whole_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A gateway's address may hold a token, or the number a short message goes to."""
    answer = httpx.MockTransport(lambda _: httpx.Response(200))
    with caplog.at_level("INFO"), httpx.Client(transport=answer) as client:
        client.get(f"https://example.org/?to={CANARY}")
    assert CANARY not in caplog.text
