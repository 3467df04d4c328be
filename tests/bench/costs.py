"""What trust costs: CPU of a request with and without the access check, with and without audit.

Calls in this process, no sockets: the application is called as a server would call it. Two ways of
working take turns, call by call or every few calls, so that whatever else the machine does hits
them alike. CPU is that of this process and of PostgreSQL's backends; the clock on the wall is not
looked at. Ratios are medians of seven rounds. Leaving out is done here, from outside: the archive
has no such switch.

A credential is verified anew twice a second, which is a matter of time and not of requests: a
request is measured with one that is believed, a verification by itself, and two of those a second
are added as what they take of a core that does nothing but answer.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from starlette.types import ASGIApp, Message, Scope

from tests import factories
from tests.conftest import SCHEMA, TestPostgres
from tests.web.conftest import Site, serving
from tests.web.people import token_of
from vna.access import policy, principal
from vna.access.audit import Audit
from vna.access.principal import Principal
from vna.config import Postgres
from vna.db import migrate
from vna.db.cluster import Cluster
from vna.ingest import commit
from vna.ingest.outcome import Stored
from vna.operate.sealing import Sealer
from vna.retrieve import engine as retrieve
from vna.retrieve import pieces
from vna.web import identity
from vna.web.asgi import create
from vna.web.identity import Identity
from vna.web.standing import Standing

CALLS = 20_000
_ROUNDS, _TURN = 7, 50  # rounds, and calls before another way of working has its turn
_FRAMES, _STUDIES = 50, 500
_VERIFIED = 1000
_LONG_S = 1e6
_TEMPLATE = "archive_template"
_ANY = principal.system("bench")

Way = Callable[[], ExitStack]
Call = Callable[[], Awaitable[None]]


def main(calls: int = CALLS) -> None:
    """Print what the access check and the audit trail cost of a frame, a search and an ingest."""
    folder = Path(tempfile.mkdtemp(prefix="vna-bench-"))
    folder.chmod(0o755)
    (folder / "site").mkdir()
    try:
        with Cluster.obtain(folder / "archive", Postgres()) as cluster:
            postgres = TestPostgres(cluster)
            postgres.admin(f"CREATE DATABASE {_TEMPLATE} OWNER vna")
            migrate.migrate(postgres.dsn(_TEMPLATE), SCHEMA)
            with serving(postgres, folder / "site", dev=False) as site:
                asyncio.run(_Costs(site, postgres, calls).run())
    finally:
        shutil.rmtree(folder)


class _Costs:
    """One archive that is asked, and how much of it is counted."""

    def __init__(self, site: Site, postgres: TestPostgres, calls: int) -> None:
        self._site = site
        self._conninfo = postgres.cluster.admin_dsn()
        self._calls = calls
        self._numbers = itertools.count(10_000)

    async def run(self) -> None:
        """Measure and print."""
        self._fill()
        token = token_of(self._site, "bench", "service")
        verifying = self._verifying(token)
        print("\n| share of the CPU of | CPU ms | access check | goal | audit | goal |")
        print("|---|---|---|---|---|---|")
        async with _running(create(self._site.engines)) as app:
            for name, paths, accept in (
                ("a frame of 512 KiB", self._frame_paths(), "multipart/related"),
                ("a QIDO-RS search, one match", self._search_paths(), "application/dicom+json"),
            ):
                ask = _asker(app, itertools.cycle(paths), token, accept)
                with _replaced(identity, "BELIEVED_S", _LONG_S):
                    access = await self._alternated(ask, _without_access) + 2 * verifying / 1000
                ms, audit = await self._compared(ask, _without_audit)
                print(f"| {name} | {ms:.2f} | {access:.1%} | < 3 % | {audit:.1%} | |", flush=True)
        ms, audit = await self._compared(self._ingest, _without_audit)
        print(f"| an ingest of 32 KiB | {ms:.2f} | | | {audit:.1%} | < 5 % |", flush=True)
        sealing = self._sealing()
        print(
            f"| the same, chained by the upkeep | {sealing:.3f} a row | | | {sealing / ms:.1%} | |"
        )
        print(f"\nOne verification of a token takes {verifying:.2f} ms, twice a second.")

    def _verifying(self, token: str) -> float:
        """Verify a token again and again, labels looked at each time; return the ms of one."""
        people = self._site.archive.people
        spent = 0.0
        for count in (_TURN, _VERIFIED):  # the first ones prepare
            before, began = self._backends(), time.process_time()
            for _ in range(count):
                people.labels._looked = float("-inf")
                if people.bearer(token, "127.0.0.1") is None:
                    raise SystemExit("expected the token to let somebody in")
            spent = time.process_time() - began + _more(before, self._backends())
        return spent / _VERIFIED * 1000

    async def _alternated(self, call: Call, way: Way) -> float:
        """Return which share of a call's CPU in this process another way saves, by its medians.

        Call by call in turn: what is looked for is microseconds, and asks no database.
        """
        saved = []
        for _ in range(_ROUNDS):
            took: tuple[list[float], list[float]] = [], []
            for number in range(self._calls // _ROUNDS):
                at = (number + number // 2) % 2  # first the one, then the other, then turned round
                with (_whole, way)[at]():
                    began = time.process_time()
                    await call()
                    took[at].append(time.process_time() - began)
            whole, less = median(took[0]), median(took[1])
            saved.append((whole - less) / whole)
        return median(saved)

    async def _compared(self, call: Call, way: Way) -> tuple[float, float]:
        """Return the ms of a call with PostgreSQL's part, and which share of it a way saves."""
        ways = _whole, way
        turns = max(1, self._calls // (_ROUNDS * len(ways) * _TURN))
        for one in ways:  # caches, prepared statements, the first access of each study
            await self._turn(call, one)
        rounds = []
        for _ in range(_ROUNDS):
            spent = dict.fromkeys(ways, 0.0)
            for number in range(turns):
                for one in ways[:: (1, -1)[number % 2]]:
                    spent[one] += await self._turn(call, one)
            rounds.append(tuple(s / (turns * _TURN) * 1000 for s in spent.values()))
        saved = median((whole - less) / whole for whole, less in rounds)
        return median(whole for whole, _ in rounds), saved

    async def _turn(self, call: Call, way: Way) -> float:
        """Make some calls in one way; return the CPU they took, in seconds."""
        with way():
            before, began = self._backends(), time.process_time()
            for _ in range(_TURN):
                await call()
            self._site.archive.audit.flush()  # what was noted belongs to who noted it
            return time.process_time() - began + _more(before, self._backends())

    def _backends(self) -> dict[int, float]:
        """Tell the seconds each backend of this archive has worked."""
        with psycopg.connect(self._conninfo) as conn:
            rows = conn.execute(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = %s AND backend_type = 'client backend'",
                (self._site.database_name,),
            ).fetchall()
        return {pid: _worked(pid) for (pid,) in rows}

    def _fill(self) -> None:
        archive = self._site.archive
        for n in range(1, _FRAMES + 1):
            _expect(archive.take(factories.ct(1, 1, n, rows=512, columns=512).part10()))
        for n in range(2, _STUDIES + 2):
            _expect(archive.take(factories.ct(n, patient_id=f"B-{n}").part10()))

    def _frame_paths(self) -> list[str]:
        series = f"/studies/{factories.uid(1)}/series/{factories.uid(1, 1)}"
        return [
            f"{series}/instances/{factories.uid(1, 1, n)}/frames/1" for n in range(1, _FRAMES + 1)
        ]

    def _search_paths(self) -> list[str]:
        return [f"/studies?PatientID=B-{n}" for n in range(2, _STUDIES + 2)]

    async def _ingest(self) -> None:
        study, instance = divmod(next(self._numbers), _TURN)
        made = factories.ct(study, 1, instance + 1, rows=128, columns=128)
        _expect(self._site.archive.take_dataset(made.dataset(), made.transfer_syntax))

    def _sealing(self) -> float:
        """Chain what is not chained yet; return the CPU of a row in ms."""
        archive = self._site.archive
        sealer = Sealer(archive.database, archive.store.checkpoints)
        before, began = self._backends(), time.process_time()
        rows = sealer.seal() + sealer.seal()  # the last row drawn is known to be there at a second
        spent = time.process_time() - began + _more(before, self._backends())
        return spent / rows * 1000


def _asker(app: ASGIApp, paths: Iterator[str], token: str, accept: str) -> Call:
    fields = [
        (b"host", b"localhost"),
        (b"accept", accept.encode()),
        (b"authorization", f"Bearer {token}".encode()),
    ]

    async def ask() -> None:
        path, _, query = next(paths).partition("?")
        raw = f"/dicom-web{path}".encode()
        scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": raw.decode(),
            "raw_path": raw,
            "query_string": query.encode(),
            "root_path": "",
            "headers": fields,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        status = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])

        await app(scope, _receiver(), send)
        if status != [200]:
            raise SystemExit(f"expected 200, got {status}")

    return ask


def _receiver() -> Callable[[], Awaitable[Message]]:
    pending = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        return next(pending, None) or await asyncio.get_running_loop().create_future()

    return receive


@asynccontextmanager
async def _running(app: ASGIApp) -> AsyncIterator[ASGIApp]:
    """Begin and end an application as a server does."""
    words: asyncio.Queue[Message] = asyncio.Queue()
    done: asyncio.Queue[Message] = asyncio.Queue()
    life = asyncio.ensure_future(app({"type": "lifespan"}, words.get, done.put))
    words.put_nowait({"type": "lifespan.startup"})
    await done.get()
    try:
        yield app
    finally:
        words.put_nowait({"type": "lifespan.shutdown"})
        await life


def _whole() -> ExitStack:
    return ExitStack()


def _without_access() -> ExitStack:
    """Everybody is let in, nothing is asked about what they may, bodies are not watched."""

    async def anybody(_self: Identity, _scope: Scope) -> Principal:
        return _ANY

    async def sent(_self: Standing, *args: Any) -> bool:  # what `Standing.sent` takes
        await args[-1]()
        return True

    stack = ExitStack()
    stack.enter_context(_replaced(Identity, "principal", anybody))
    stack.enter_context(_replaced(Standing, "sent", sent))
    stack.enter_context(_replaced(policy, "require", _nothing))
    stack.enter_context(_replaced(retrieve, "require", _nothing))
    stack.enter_context(_replaced(pieces, "require", _nothing))
    stack.enter_context(_replaced(principal.Scope, "within", _nothing))
    return stack


def _without_audit() -> ExitStack:
    """Nothing is written down, of reads, searches and what is stored."""
    stack = ExitStack()
    for name in ("read", "read_all", "asked", "note", "require_writable"):
        stack.enter_context(_replaced(Audit, name, _nothing))
    stack.enter_context(_replaced(commit, "_ACT", None))
    return stack


def _nothing(*_args: object, **_named: object) -> None:
    return None


@contextmanager
def _replaced(owner: object, name: str, value: object) -> Iterator[None]:
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def _worked(pid: int) -> float:
    """Tell the seconds a process of one thread has been on a processor."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except FileNotFoundError:  # it ended just now
        return 0.0


def _more(before: dict[int, float], after: dict[int, float]) -> float:
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def _expect(outcome: object) -> None:
    if not isinstance(outcome, Stored):
        raise SystemExit(f"expected an object to be stored, got {outcome}")
