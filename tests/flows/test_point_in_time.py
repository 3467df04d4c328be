"""Back to the moment before a mistake: a backup, and the log PostgreSQL has archived since."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import factories
from tests.flows.test_backup import KEY, Vna, settings_of, vna, write
from vna import app
from vna.db.cluster import Cluster

__all__ = ["vna"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def top() -> Iterator[Path]:
    """A temporary folder another OS user can pass through."""
    found = Path(tempfile.mkdtemp(prefix="vna-moment-"))
    found.chmod(0o755)
    yield found
    shutil.rmtree(found)


def archived(cluster: Cluster) -> None:
    """Close the segment of the log that is written to, and wait until it lies in the archive."""
    with psycopg.connect(cluster.admin_dsn(), autocommit=True) as conn:
        row = conn.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        assert row is not None
        for _ in range(6000):
            last = conn.execute("SELECT last_archived_wal FROM pg_stat_archiver").fetchone()
            if last is not None and (last[0] or "") >= row[0]:
                return
            conn.execute("SELECT pg_sleep(0.05)")
    raise AssertionError("the log was not archived")


def settings_for_archiving(log: Path) -> str:
    """Take the lines from the page, for the folder of this test."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(r"```conf\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1].replace("/mnt/wal", str(log))


def logins(vna: Vna, data: Path) -> set[str]:
    code, out, err = vna("user", "list", "--data", data)
    assert code == 0, err
    return {line.split()[0] for line in out.splitlines()}


@pytest.mark.timeout(300)
def test_an_archive_goes_back_to_the_moment_before_a_mistake(top: Path, vna: Vna) -> None:
    data, backup, log = top / "data", top / "backup", top / "wal"
    studies = [write(top / f"in-{n}", [factories.ct(n, 1, 1)]) for n in (1, 2, 3)]
    assert vna("init", "--data", data)[0] == 0
    settings = settings_of(data)
    with app.index_of(settings) as index:
        assert index.cluster is not None
        files = index.cluster.files
    log.mkdir()
    shutil.chown(log, files.stat().st_uid, files.stat().st_gid)
    with (files / "postgresql.conf").open("a", encoding="utf-8") as out:
        out.write(settings_for_archiving(log))
    with app.index_of(settings) as index:
        assert index.cluster is not None
        assert vna("import", studies[0], "--data", data)[0] == 0
        assert vna("backup", backup, "--data", data)[0] == 0
        assert vna("import", studies[1], "--data", data)[0] == 0
        assert vna("user", "add", "kept", "--role", "auditor", "--data", data)[0] == 0
        with psycopg.connect(index.cluster.admin_dsn()) as conn:
            row = conn.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        before: dt.datetime = row[0]
        assert vna("user", "add", "mistaken", "--role", "auditor", "--data", data)[0] == 0
        assert vna("user", "disable", "kept", "--data", data)[0] == 0
        assert vna("import", studies[2], "--data", data)[0] == 0
        archived(index.cluster)

    new = top / "new"
    words = ("restore", backup, "--root-key", data / KEY, "--data", new)
    moment = before.isoformat()
    code, _, err = vna(*words, "--until", moment)
    assert (code, "needs --wal" in err) == (2, True)
    code, _, err = vna(*words, "--until", moment, "--wal", studies[0] / "none")
    assert (code, "no archived log" in err) == (2, True)
    code, out, err = vna(*words, "--until", moment, "--wal", log)
    assert code == 0, err
    assert moment[:10] in out
    subprocess.run(["cp", "-an", f"{data}/blobs/.", new / "blobs"], check=True)
    assert logins(vna, new) == {"admin", "kept"}
    assert "invited" in vna("user", "list", "--data", new)[1]
    assert "2 instances" in vna("status", "--data", new)[1]
    with app.at_work(settings_of(new), "test", exclusive=True) as archive:
        archive.recovery.adopt(older_s=0.0)
    assert "3 instances" in vna("status", "--data", new)[1]
    assert vna("verify", "--keyed", "--data", new)[0] == 0
