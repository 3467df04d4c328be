"""What every room's tests stand on: a clean environment and a real PostgreSQL, cloned per test."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import pytest
from hypothesis import settings
from psycopg.conninfo import make_conninfo

import tests.pynetdicom_peer  # noqa: F401 -- mends the peer of many tests
from tests import prepared
from vna import telemetry
from vna.config import Postgres
from vna.db import migrate
from vna.db.cluster import Cluster
from vna.db.pool import Database

telemetry.quiet_others()  # as in a server, whose log has what it is looked through for
logging.getLogger("mail.log").setLevel(logging.ERROR)  # of the servers tests post to

SCHEMA = "vna"
_TEMPLATE = "archive_template"

# A developer's shell must not colour a test, nor the programs a test starts. VNA_SHARED, which says
# where the sample data lies, goes on under a name that is no setting of the archive.
if "VNA_SHARED" in os.environ:
    os.environ["SHARED_SAMPLES"] = os.environ["VNA_SHARED"]
for _name in [name for name in os.environ if name.startswith(("VNA_", "PG"))]:
    del os.environ[_name]

# The programs tests start are compiled once, not each time, and so are the tests: reading them anew
# takes each worker three times as long as all else before the first test.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long an example takes says nothing where others work on the same machine.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# What tests throw away is mostly databases: a thousand small files each, which cost ten times more
# on a disk than in memory. pytest's own folders lie there, too, and an object is stored in half the
# time; of these only what belongs to a test that failed outlives the run.
_MEMORY = Path("/dev/shm")  # noqa: S108 -- a folder of our own is made there, by mkdtemp
_ROOM_BYTES = 6 << 30

_SLOW_ROOMS = {"flows", "cli"}  # they start servers and browsers


def pytest_configure(config: pytest.Config) -> None:
    """Let temporary folders lie in memory where there is plenty, in one that ends with the run."""
    gc.disable()  # while ten thousand tests are collected: nothing of them is garbage
    if hasattr(config, "workerinput"):
        return  # it got the environment of who started it
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY) if roomy else tempfile.gettempdir())
    prefix = f"vna-tests-{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if roomy else None))
    folder.chmod(0o755)
    os.environ["TMPDIR"] = str(folder)
    os.environ[prepared.FOLDER] = str(folder / "prepared")
    tempfile.tempdir = None  # to be found anew
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    for left in _MEMORY.glob("vna-tests-*-*"):
        if not psutil.pid_exists(int(left.name.split("-")[2])):
            shutil.rmtree(left, ignore_errors=True)


@pytest.hookimpl(trylast=True)  # when they have been shuffled
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each worker (`--dist worksteal`) its share of what takes long first, modules whole.

    The short tests at the end are what one worker takes from another, so that all end at once.
    """
    shares = int(getattr(config, "workerinput", {}).get("workercount", 1))
    modules: dict[Path, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    slow = [one for path, one in modules.items() if path.parent.name in _SLOW_ROOMS]
    others = iter([one for path, one in modules.items() if path.parent.name not in _SLOW_ROOMS])
    ordered: list[pytest.Item] = []
    for share in range(shares):
        ordered += itertools.chain.from_iterable(slow[share::shares])
        while len(ordered) < len(items) * (share + 1) // shares and (more := next(others, None)):
            ordered += more
    items[:] = [*ordered, *itertools.chain.from_iterable(others)]


def pytest_collection_finish() -> None:
    """Look for garbage from now on, but not among the modules and the tests themselves."""
    gc.collect()
    gc.freeze()
    gc.enable()


@dataclass(slots=True)
class TestPostgres:
    """One running server and its migrated template database."""

    __test__ = False

    cluster: Cluster
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def clone(self) -> str:
        """Make a database with the archive's schema in it and say how to connect."""
        return self.create(template=_TEMPLATE)

    def create(self, *, template: str = "template0") -> str:
        """Make a database and say how to connect."""
        name = f"test_{next(self._numbers)}"
        self.admin(f"CREATE DATABASE {name} OWNER vna TEMPLATE {template} STRATEGY file_copy")
        return self.dsn(name)

    def drop(self, dsn: str) -> None:
        """Remove a database, whoever is still connected."""
        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        self.admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def dsn(self, database: str) -> str:
        """Say how to connect to a database as the archive does."""
        return make_conninfo(self.cluster.dsn, dbname=database)

    def terminate(self, database: str) -> None:
        """End every connection to a database and wait until it is gone."""
        with psycopg.connect(self.cluster.admin_dsn(), autocommit=True) as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s",
                (database,),
            )

    def admin(self, statement: str) -> None:
        """Run one statement as the superuser."""
        with psycopg.connect(self.cluster.admin_dsn(), autocommit=True) as conn:
            conn.execute(statement)  # type: ignore[call-overload]  # names of our own making


@pytest.fixture(scope="session")
def reachable_tmp() -> Iterator[Path]:
    """A temporary folder another OS user can pass through, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="vna-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(reachable_tmp: Path) -> Iterator[TestPostgres]:
    """The embedded server, fast and not crash-safe, with the template database."""
    with Cluster.obtain(reachable_tmp / "archive", Postgres(), durable=False) as cluster:
        server = TestPostgres(cluster)
        server.admin(f"CREATE DATABASE {_TEMPLATE} OWNER vna")
        migrate.migrate(server.dsn(_TEMPLATE), SCHEMA)
        yield server


@pytest.fixture
def database(postgres: TestPostgres) -> Iterator[Database]:
    """An empty archive's database, of this test alone."""
    dsn = postgres.clone()
    database = Database(dsn, schema=SCHEMA)
    yield database
    database.close()
    postgres.drop(dsn)


@pytest.fixture
def postgres_admin(
    postgres: TestPostgres,
) -> Iterator[psycopg.Connection[psycopg.rows.TupleRow]]:
    """A superuser's connection to the server of this session."""
    with psycopg.connect(postgres.cluster.admin_dsn(), autocommit=True) as conn:
        yield conn
