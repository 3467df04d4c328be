"""`make bench`: the hot paths of the archive, beside its peers where they are installed.

With the side-by-side harness in ../shared/bench and its peers installed (its peers/install.sh), one
interleaved run of all targets; without, our own rows alone. Ratios of one run count: absolute times
on a shared machine do not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from tests.bench import costs, own, sharing, sizes, table

ROOT = Path(__file__).resolve().parents[2]
HARNESS = ROOT.parent / "shared" / "bench"
SUITES = "ingest,retrieve,memory,query,sizes,associations,costs,sharing"
OURS = ("sizes", "associations", "costs", "sharing")  # suites the harness does not know
_SMALL = 40, 2000  # slices of a study, studies in the index
PEERS = ("orthanc13-sqlite", "orthanc13-pg")


def main() -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=2, help="interleaved repetitions")
    parser.add_argument("--suite", default=SUITES, help=f"of {SUITES}")
    parser.add_argument("--sizes", default="10000", help="studies in the index, for suite query")
    parser.add_argument("--only", help="targets; default: ours and the peers")
    parser.add_argument("--own", action="store_true", help="our own rows, without the harness")
    parser.add_argument(
        "--small", action="store_true", help="sizes and sharing, to see that they work"
    )
    parser.add_argument("--out", default="", help="file of results to add to; default: a new one")
    asked = parser.parse_args()
    suites = asked.suite.split(",")
    if set(suites) <= set(OURS):
        return _ours(suites, small=asked.small)
    home = Path(os.environ.get("BENCH_HOME", "/tmp/bench"))  # noqa: S108 -- the harness's own default
    python = home / "venv" / "bin" / "python"
    if asked.own or not (HARNESS / "bench.py").exists() or not python.exists():
        if not asked.own:
            print(
                f"The harness is not ready (run {HARNESS.name}/peers/install.sh): our rows alone."
            )
        return own.main() or _ours({"costs", "sharing"} & set(suites), small=asked.small)
    out = Path(asked.out or home / "ours.json")
    if not asked.out:
        out.unlink(missing_ok=True)
    environment = {**os.environ, "BENCH_HOME": str(home)}
    environment.setdefault("VNA", str(ROOT / ".venv" / "bin" / "vna"))
    if not (home / "data" / "manifest.json").exists():
        subprocess.run([python, "gen.py"], cwd=HARNESS, env=environment, check=True)
    theirs = ",".join(suite for suite in suites if suite not in OURS)
    command = [python, "bench.py", "--suite", theirs, "--reps", str(asked.reps)]
    command += ["--sizes", asked.sizes, "--out", out]
    command += ["--only", asked.only or ",".join((*PEERS, "ours"))]
    done = subprocess.run(command, cwd=HARNESS, env=environment, check=False)
    print(table.render(json.loads(out.read_text()), PEERS))
    return _ours(suites, small=asked.small) or done.returncode


def _ours(suites: Collection[str], *, small: bool) -> int:
    """Run what needs no peer."""
    if "sizes" in suites:
        sizes.main(sizes.SIZES[:1] if small else sizes.SIZES)
    if "associations" in suites:
        own.associations()
    if "costs" in suites:
        costs.main()
    if "sharing" in suites:
        sharing.main(*(_SMALL if small else ()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
