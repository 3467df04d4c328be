"""How soon the portal's pages come with many studies in the index: of staff, guests and patients.

The server is in this process and so is the client, which makes the times worse than they are. Rows
of the studies nobody opens are written by SQL, with indexes and statistics as they would be.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests import factories
from tests.bench.filling import fill
from tests.conftest import SCHEMA, TestPostgres
from tests.web.conftest import Site, serving
from tests.web.guests import inside, offered
from tests.web.people import Surfer, patient_of, signed_in
from vna.config import Postgres
from vna.db import migrate
from vna.db.cluster import Cluster

_TEMPLATE = "archive_template"
_CALLS, _SHARES = 60, 60
_GOAL_MS = 100.0

Get = Callable[[str], httpx.Response]


def main(studies: int) -> None:
    """Print the median and the 95th percentile of each page."""
    folder = Path(tempfile.mkdtemp(prefix="vna-bench-"))
    folder.chmod(0o755)
    (folder / "site").mkdir()
    try:
        with Cluster.obtain(folder / "archive", Postgres()) as cluster:
            postgres = TestPostgres(cluster)
            postgres.admin(f"CREATE DATABASE {_TEMPLATE} OWNER vna")
            migrate.migrate(postgres.dsn(_TEMPLATE), SCHEMA)
            with serving(postgres, folder / "site", dev=False) as site:
                uid = _lived_in(site)
                patient = patient_of(site, uid)
                fill(postgres.dsn(site.database_name), studies)
                _measure(site, uid, patient, studies)
    finally:
        shutil.rmtree(folder)


def _lived_in(site: Site) -> str:
    """Store a study and share it often; return its UID."""
    made = [factories.ct(1, 1, n, values={"PatientBirthDate": "19700101"}) for n in range(1, 31)]
    for one in made:
        site.archive.take(one.part10())
    for _ in range(_SHARES):
        offered(site, made[0], forward=True)
    return made[0].study


def _measure(site: Site, uid: str, patient: Surfer, studies: int) -> None:
    clerk = signed_in(site, "bench", "records-clerk")
    guest = inside(site, offered(site, factories.ct(), forward=True))
    sought = itertools.count(1)
    print(f"\n| pages, {studies} studies | p50 ms | p95 ms | goal p95 |\n|---|---|---|---|")
    staff = ("/", "/?offset=1000", f"/study/{uid}", f"/study/{uid}/share", f"/view/{uid}")
    rows: list[tuple[str, Get, Callable[[], str]]] = [
        ("staff: search by name", clerk.get, lambda: f"/?name=fam{next(sought) % 256:02x}"),
        ("staff: search by ID", clerk.get, lambda: f"/?id=F{next(sought) * 7 % studies}"),
        ("staff: search by day", clerk.get, lambda: _day(next(sought))),
    ]
    rows += [(f"staff: {_told(p, uid)}", clerk.get, lambda p=p: p) for p in staff]
    rows += [
        (f"staff: {path}", clerk.get, lambda p=path: p)
        for path in ("/shares", "/shares?tab=all", "/patients", "/requests/patients", "/consents")
    ]
    rows += [
        (f"guest: {_told(path, uid)}", guest.get, lambda p=path: p)
        for path in ("/s/home", f"/s/view/{uid}", "/s/download", "/s/forward")
    ]
    rows += [
        (f"patient: {_told(path, uid)}", patient.get, lambda p=path: p)
        for path in ("/my", f"/my/study/{uid}", "/my/access", "/my/shares", "/my/share")
    ]
    slowest = max(_row(name, get, path) for name, get, path in rows)
    print(f"| the slowest of them | | {slowest:.1f} | < {_GOAL_MS:.0f} |", flush=True)


def _row(name: str, get: Get, path: Callable[[], str]) -> float:
    """Print a page's row; return the 95th percentile in ms."""
    took = []
    get(path())  # what is kept between requests is there
    for _ in range(_CALLS):
        asked, begun = path(), time.perf_counter()
        status = get(asked).status_code
        took.append((time.perf_counter() - begun) * 1000)
        if status != 200:
            raise SystemExit(f"expected 200 of {asked}, got {status}")
    took.sort()
    p95 = took[len(took) * 95 // 100]
    print(f"| {name} | {took[len(took) // 2]:.1f} | {p95:.1f} | < {_GOAL_MS:.0f} |", flush=True)
    return p95


def _told(path: str, uid: str) -> str:
    return path.replace(uid, "UID")


def _day(number: int) -> str:
    day = f"20{17 + number % 8:02}-{1 + number % 12:02}-{1 + number % 28:02}"
    return f"/?from={day}&to={day}"
