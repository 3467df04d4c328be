"""How soon a search answers with few and with many studies in the index: C-FIND and QIDO-RS.

One server, one association, one connection; each time another study: nothing is asked twice.
"""

from __future__ import annotations

import http.client
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.filling import fill
from tests.flows.serving import Serving
from vna.config import Postgres
from vna.db.cluster import Cluster
from vna.dicom.encode import encode_dataset
from vna.dimse.scu import Requestor

SIZES = (10_000, 100_000, 1_000_000)
_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_IMPLICIT = "1.2.840.10008.1.2"
_CALLS, _FEW = 300, 20
_MOST_OF_MONTH = 100_000  # studies: past it a month is more than one answer of QIDO-RS may hold


def main(sizes: Sequence[int] = SIZES) -> None:
    """Print a row a search and size."""
    print("\n| search | studies | matches | p50 ms | p95 ms | goal |\n|---|---|---|---|---|---|")
    for studies in sizes:
        folder = Path(tempfile.mkdtemp(prefix="vna-bench-"))
        folder.chmod(0o755)
        serving = Serving(folder / "data")
        try:
            serving.start()
            with Cluster.obtain(serving.data, Postgres()) as cluster:
                fill(cluster.dsn, studies)
            _measure(serving, studies)
        finally:
            serving.stop()
            shutil.rmtree(folder)


def _measure(serving: Serving, studies: int) -> None:
    some = [1 + n * 7919 % studies for n in range(_CALLS)]
    days = [f"2017{1 + n % 12:02}{1 + n % 28:02}" for n in range(_FEW)]
    months = [f"2018{1 + n % 12:02}01-2018{1 + n % 12:02}28" for n in range(_FEW)]
    with Requestor(
        "127.0.0.1", serving.dicom, calling="BENCH", called="VNA", contexts=[(_FIND, [_IMPLICIT])]
    ) as remote:

        def find(tag: str, vr: str, value: str) -> int:
            identifier = encode_dataset(_keys(tag, vr, value), explicit=False)
            return sum(1 for _ in remote.find(_FIND, identifier, transfer_syntax=_IMPLICIT))

        def row(name: str, goal: str, tag: str, vr: str, values: Sequence[str]) -> None:
            _row(f"C-FIND, {name}", studies, goal, lambda value: find(tag, vr, value), values)

        row("Study Instance UID", "<= 1 ms", "0020000D", "UI", [f"1.2.{n}" for n in some])
        row("Accession Number", "<= 1 ms", "00080050", "SH", [f"A{n}" for n in some])
        row("a day", "", "00080020", "DA", days)
        if studies <= _MOST_OF_MONTH:
            row("a month", "", "00080020", "DA", months)
    conn = http.client.HTTPConnection("127.0.0.1", serving.http)

    def ask(key: str, value: str) -> int:
        conn.request("GET", f"/dicom-web/studies?{key}={value}&limit=1000")
        with conn.getresponse() as answer:
            found = answer.read()
            if answer.status != 200:
                raise SystemExit(f"expected 200, got {answer.status}")
            return found.count(b'"0020000D"')

    for name, key, values in (
        ("Accession Number", "AccessionNumber", [f"A{n}" for n in some]),
        ("a day", "StudyDate", days),
        *([("a month", "StudyDate", months)] if studies <= _MOST_OF_MONTH else []),
    ):
        _row(f"QIDO-RS, {name}", studies, "", lambda value, key=key: ask(key, value), values)
    conn.close()


def _keys(tag: str, vr: str, value: str) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "00080020": {"vr": "DA"},
        "00080050": {"vr": "SH"},
        "00080052": {"vr": "CS", "Value": ["STUDY"]},
        "00081030": {"vr": "LO"},
        "00100010": {"vr": "PN"},
        "00100020": {"vr": "LO"},
        "0020000D": {"vr": "UI"},
    }
    return dict(sorted({**asked, tag: {"vr": vr, "Value": [value]}}.items()))


def _row(
    name: str, studies: int, goal: str, ask: Callable[[str], int], values: Sequence[str]
) -> None:
    took, matches = [], []
    for value in (*values[:5], *values):  # the first ones only warm up
        begun = time.perf_counter()
        matches.append(ask(value))
        took.append((time.perf_counter() - begun) * 1000)
    took = sorted(took[5:])
    if not min(matches):
        raise SystemExit(f"{name}: nothing was found")
    p95 = took[len(took) * 95 // 100]
    print(
        f"| {name} | {studies} | {median(matches):.0f} | {median(took):.2f} | {p95:.2f} | {goal} |",
        flush=True,
    )
