"""The table of what counts: ours against the best peer of the same run, as ratios of medians."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

# suite, case, figure, is more better, the ratio to reach (None: shown, but nothing was set).
# Ratios of the 1 GiB rows are those of BASELINE's peer to the absolute time that was set.
ROWS: tuple[tuple[str, str, str, bool, float | None], ...] = (
    ("ingest", "C-STORE storescu CT x1 assoc", "ops_s", True, 2.0),
    ("ingest", "C-STORE storescu CT x4 assoc", "ops_s", True, 1.3),
    ("ingest", "C-STORE storescu CT x1 assoc", "cpu_ms_op", False, 1.83),
    ("ingest", "C-STORE raw CT x1 assoc", "ops_s", True, None),
    ("ingest", "STOW CT 1 a POST x1 conn", "ops_s", True, 1.5),
    ("ingest", "STOW CT 50 a POST x1 conn", "ops_s", True, 2.0),
    ("ingest", "STOW CT 1 a POST x4 conn", "ops_s", True, 1.3),
    ("retrieve", "metadata series 1000", "p50_ms", False, 5.0),
    ("retrieve", "metadata series 200", "p50_ms", False, None),
    ("retrieve", "frame CT 0.5 MB", "ops_s", True, 2.5),
    ("retrieve", "frames CT 64 concurrent", "ops_s", True, 2.0),
    ("retrieve", "instance CT 0.5 MB", "ops_s", True, None),
    ("retrieve", "series 200 CT multipart", "ops_s", True, 4.0),
    ("retrieve", "frame DX 15 MB", "ops_s", True, 4.0),
    ("retrieve", "bulkdata CT pixel data", "ops_s", True, 3.0),
    ("retrieve", "rendered CT jpeg", "ops_s", True, 3.0),
    ("retrieve", "rendered CT jpeg 8 concurrent", "ops_s", True, None),
    ("retrieve", "rendered DX jpeg", "ops_s", True, 2.5),
    ("retrieve", "thumbnail CT", "ops_s", True, 4.0),
    ("retrieve", "frame JPEG-LS decoded", "ops_s", True, 1.0),
    ("retrieve", "frame JPEG 2000 decoded", "ops_s", True, 1.0),
    ("retrieve", "C-GET series 200 CT", "ops_s", True, 1.0),
    ("retrieve", "C-GET series 200 CT", "cpu_ms_op", False, None),
    ("retrieve", "C-MOVE series 200 CT", "ops_s", True, 1.0),
    ("retrieve", "C-MOVE series 200 CT", "cpu_ms_op", False, None),
    ("memory", "1 GiB object frame 1000", "seconds", False, 260.0),
    ("memory", "1 GiB object C-STORE", "seconds", False, 2.0),
    ("memory", "1 GiB object STOW", "seconds", False, 2.0),
    ("memory", "1 GiB object WADO instance", "seconds", False, 2.0),
    ("query", "QIDO 10k PatientID", "p50_ms", False, 1.5),
    ("query", "QIDO 10k month", "p50_ms", False, 10.0),
    ("query", "C-FIND 10k PatientID", "p50_ms", False, None),
    ("query", "C-FIND 10k 200 instances of a series", "p50_ms", False, 5.0),
)


def render(results: Sequence[dict[str, Any]], peers: Sequence[str]) -> str:
    """Markdown: a row a case, the best peer, ours, the ratio and what it should be."""
    lines = ["| work | figure | best peer | ours | ratio | asked |", "|---|---|---|---|---|---|"]
    for suite, case, figure, more, asked in ROWS:
        theirs = [v for p in peers if (v := _median(results, suite, case, figure, p)) is not None]
        mine = _median(results, suite, case, figure, "ours")
        if mine is None:
            continue
        best = (max(theirs) if more else min(theirs)) if theirs else None
        ratio = None if best is None or not mine else (mine / best if more else best / mine)
        lines.append(
            f"| {case} | {figure} | {_show(best)} | {_show(mine)} | "
            f"{'-' if ratio is None else f'{ratio:.2f}x'} | "
            f"{'-' if asked is None else f'{asked:g}x'} |"
        )
    lines += ["", *_memory(results, peers)]
    return "\n".join(lines)


def _memory(results: Sequence[dict[str, Any]], peers: Sequence[str]) -> list[str]:
    lines = [
        "| 1 GiB object | growth of memory, MB: " + ", ".join((*peers, "ours")) + " |",
        "|---|---|",
    ]
    for case in dict.fromkeys(r["case"] for r in results if r["suite"] == "memory"):
        grown = []
        for target in (*peers, "ours"):
            rows = [r for r in results if r["case"] == case and r["target"] == target]
            deltas = [r["rss_peak_mb"] - r["rss_before_mb"] for r in rows if "rss_peak_mb" in r]
            grown.append(f"{median(deltas):.0f}" if deltas else "-")
        lines.append(f"| {case} | {', '.join(grown)} |")
    return lines


def _median(
    results: Sequence[dict[str, Any]], suite: str, case: str, figure: str, target: str
) -> float | None:
    values = [
        r[figure]
        for r in results
        if (r["suite"], r["case"], r["target"]) == (suite, case, target) and r.get("ops")
        if r.get(figure) is not None
    ]
    return median(values) if values else None


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.2f}"
