"""`vna init`, `vna status`, `vna doctor`: an archive made, looked at, examined."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import socket
import stat
import subprocess
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest

from tests.cli import serving
from tests.cli.conftest import Vna
from tests.conftest import TestPostgres
from vna import app
from vna.backup import restoring
from vna.cli.usable import require_usable
from vna.config import Postgres, Settings
from vna.crypto import certificates
from vna.db import account, migrate, runlock, statements
from vna.db.cluster import Cluster
from vna.db.place import make_data
from vna.errors import ConfigError, Unavailable
from vna.ingest import recover
from vna.loading import load
from vna.operate.corrections import CorrectionEngine


def test_init_says_what_it_made_and_then_that_there_is_nothing_to_do(vna: Vna, data: Path) -> None:
    first = vna("init", "--data", data)
    kinds = ["data folder", "root key", "blob store", "PostgreSQL cluster", "migrations 0001 to"]
    lines = first.stdout.splitlines()
    assert [kind for kind in kinds if any(line.startswith(kind) for line in lines)] == kinds
    second = vna("init", "--data", data)
    assert second.returncode == 0
    assert second.stdout.splitlines()[0] == f"nothing to do: the archive in {data} is complete"


def test_init_prints_the_first_administrator_s_link_and_a_fingerprint(vna: Vna, data: Path) -> None:
    first, second = vna("init", "--data", data), vna("init", "--data", data)
    link = re.compile(r"https://127\.0\.0\.1:8080/enrol#([\w-]{43})\n")
    found = [link.findall(done.stdout) for done in (first, second)]
    assert [len(one) for one in found] == [1, 1]
    assert found[0] != found[1]
    assert re.search(r"SHA-256 fingerprint (?:[0-9A-F]{2}:){31}[0-9A-F]{2}\n", first.stdout)
    assert stat.S_IMODE((data / "tls" / "server.key").stat().st_mode) == 0o400
    shown = vna("user", "list", "--data", data).stdout
    assert shown.split() == [
        "admin", "person,", "invited:", "system-administrator", "archive-administrator"
    ]  # fmt: skip


@pytest.mark.usefixtures("held")
def test_accounts_and_tokens_at_the_shell(vna: Vna, archive: Path) -> None:
    where = ("--data", archive)
    assert vna("user", "add", "ada", "--role", "king", *where).returncode == 1
    added = vna("user", "add", "Ada", "--role", "auditor", "--role", "radiologist", *where)
    assert "one-time link of Ada" in added.stdout
    assert vna("user", "add", "ada", "--role", "auditor", *where).returncode == 1
    patient = vna("user", "add", "jane", "--role", "patient", *where)
    assert patient.returncode == 2
    assert "/study/UID/account" in patient.stderr
    assert vna("user", "disable", "ada", *where).returncode == 0
    assert vna("user", "reset", "ada", *where).returncode == 1
    assert vna("user", "enable", "ada", *where).returncode == 0
    assert "/enrol#" in vna("user", "reset", "ada", *where).stdout
    assert vna("user", "roles", "ada", "referring", *where).returncode == 0
    assert vna("user", "add", "pacs", "--service", *where).returncode == 0
    assert vna("token", "add", "ada", "x", *where).returncode == 1
    assert vna("user", "certificate", "pacs", archive / "nowhere.pem", *where).returncode == 2
    certificates.make(archive / "pacs.pem", archive / "pacs.key", ["pacs.example.org"])
    shown = vna("user", "certificate", "pacs", archive / "pacs.pem", *where).stdout
    assert re.search(r"pacs is who shows the certificate [0-9a-f]{64}", shown)
    made = vna("token", "add", "pacs", "x", "--days", "2", *where)
    assert re.search(r"\n    vna_[\w-]{43}\n", made.stdout)
    found = json.loads(vna("user", "list", "--json", *where).stdout)
    assert [(a["login"], a["kind"], a["state"], a["roles"]) for a in found] == [
        ("ada", "person", "invited", ["referring"]),
        ("admin", "person", "invited", ["system-administrator", "archive-administrator"]),
        ("pacs", "service", "active", ["service"]),
    ]
    tokens = json.loads(vna("token", "list", "--json", *where).stdout)
    assert [(t["login"], t["state"], t["may"]) for t in tokens] == [("pacs", "good", None)]
    assert "vna_" not in vna("token", "list", *where).stdout
    assert vna("token", "revoke", str(tokens[0]["token"]), *where).returncode == 0
    assert vna("token", "revoke", "99", *where).returncode == 1
    roles = vna("role", "list", *where)
    assert "archive-administrator" in roles.stdout


def test_what_is_secret_is_closed_to_others(archive: Path) -> None:
    modes = {
        name: stat.S_IMODE((archive / name).stat().st_mode)
        for name in ("keys", "keys/root.key", "blobs", "pg")
    }
    assert modes == {"keys": 0o700, "keys/root.key": 0o400, "blobs": 0o700, "pg": 0o700}


def test_nobody_else_writes_to_what_is_made_whatever_the_umask(data: Path) -> None:
    """A service manager or a container may leave none: files open to all were what `open` made."""
    subprocess.run(
        serving.command("init", "--data", data), umask=0, check=True, capture_output=True
    )
    found = [data, *data.rglob("*")]
    modes = {path: path.lstat().st_mode for path in found if not path.is_symlink()}
    open_to_others = stat.S_IWGRP | stat.S_IWOTH
    assert data / "run" / "postgres-start.log" in modes
    assert not [path for path, mode in modes.items() if mode & open_to_others]


def test_a_lost_root_key_is_never_replaced(vna: Vna, archive: Path) -> None:
    (archive / "keys" / "root.key").unlink()
    done = vna("init", "--data", archive)
    assert done.returncode == 2
    assert "restore it" in done.stderr
    assert not (archive / "keys" / "root.key").exists()


def test_a_root_key_cut_off_while_it_was_made_is_made_again(vna: Vna, data: Path) -> None:
    (data / "keys").mkdir(parents=True, mode=0o700)
    data.chmod(0o711)
    (data / "keys" / "root.key").touch(0o400)
    assert vna("init", "--data", data).returncode == 0
    assert (data / "keys" / "root.key").stat().st_size > 0


def test_the_root_key_may_come_from_the_environment(vna: Vna, data: Path) -> None:
    variables = {"VNA_KEYS_ROOT": "env", "VNA_ROOT_KEY": "A" * 43 + "="}
    assert vna("init", "--data", data, **variables).returncode == 0
    assert not (data / "keys").exists()
    wrong = vna("status", "--data", data, VNA_KEYS_ROOT="env", VNA_ROOT_KEY="B" * 42 + "A=")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("vna: The root key does not open the key of this archive: ")
    advised = vna("doctor", "--data", data, VNA_KEYS_ROOT="env", VNA_ROOT_KEY="B" * 42 + "A=")
    assert advised.returncode == 1
    said = r"^fail +keys +The root key does not open .*\n +-> bring back the root key"
    assert re.search(said, advised.stdout, re.MULTILINE)


def test_a_database_of_another_archive_is_refused(
    vna: Vna, postgres: TestPostgres, data: Path
) -> None:
    dsn = postgres.create()
    variables = {"VNA_DATABASE_URL": dsn}
    assert vna("init", "--data", data / "one", **variables).returncode == 0
    other = vna("init", "--data", data / "two", **variables)
    assert other.returncode == 2
    assert "another archive" in other.stderr
    apart = vna("init", "--data", data / "two", VNA_POSTGRES_SCHEMA="other", **variables)
    assert apart.returncode == 0, apart.stderr
    postgres.drop(dsn)


def test_a_database_that_is_not_there_is_exit_code_one(vna: Vna, data: Path) -> None:
    done = vna("init", "--data", data, VNA_DATABASE_URL="postgresql://127.0.0.1:1/none")
    assert done.returncode == 1
    assert done.stderr.startswith("vna: The index database cannot be reached")


def test_a_database_url_that_is_none_is_exit_code_two(vna: Vna, data: Path) -> None:
    done = vna("init", "--data", data, VNA_DATABASE_URL="postgresql://[half")
    assert done.returncode == 2
    assert "postgres.url" in done.stderr


def test_status_tells_what_the_archive_holds(vna: Vna, archive: Path) -> None:
    text = vna("status", "--data", archive).stdout
    assert "0 patients, 0 studies, 0 series, 0 instances" in text
    assert "not serving" in text
    facts = json.loads(vna("status", "--data", archive, "--json").stdout)
    assert facts["holds"]["instances"] == 0
    assert facts["at_work"] is None
    assert facts["keys"] == {
        "root": "file",
        "study_keys": 0,
        "archive_key": facts["keys"]["archive_key"],
    }
    assert facts["archive"] in text


def test_status_says_when_nothing_is_taken_in(vna: Vna, archive: Path) -> None:
    """As the page on operations promises under Space."""
    enough, full = (
        vna(
            "status",
            "--data",
            archive,
            VNA_BLOBS_FREE_BYTES=least,
            VNA_BLOBS_FREE_PERCENT="0",
        ).stdout
        for least in ("0", str(1 << 60))
    )
    assert "nothing is taken in" not in enough
    assert "too little: nothing is taken in" in full


def test_a_dropped_database_is_made_again_by_reindex(vna: Vna, archive: Path) -> None:
    shutil.rmtree(archive / "pg")
    done = vna("reindex", "--data", archive)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "0 instances indexed from 0 blobs"


@pytest.mark.parametrize("lost", ["the folder", "archive.json"])
def test_blobs_that_are_not_mounted_are_told_and_no_others_made_in_their_place(
    vna: Vna, archive: Path, tmp_path: Path, lost: str
) -> None:
    blobs = archive / "blobs"
    before = blobs.rename(tmp_path / "blobs") if lost == "the folder" else None
    if before is None:
        (blobs / "archive.json").rename(tmp_path / "archive.json")
    left = sorted(blobs.rglob("*"))
    for command in ("init", "status", "reindex"):
        done = vna(command, "--data", archive)
        assert done.returncode == 2
        assert f"its blob store {blobs} is not: mount it" in done.stderr
    done = vna("doctor", "--data", archive)
    assert done.returncode == 1
    assert "fail  journal      The index of an archive is there, and its blob store" in done.stdout
    assert sorted(blobs.rglob("*")) == left
    if before is None:
        (tmp_path / "archive.json").rename(blobs / "archive.json")
    else:
        before.rename(blobs)
    assert vna("status", "--data", archive).returncode == 0


@pytest.mark.parametrize("command", ["status", "verify", "init"])
def test_a_restore_that_was_cut_off_early_is_told_as_such(
    vna: Vna, data: Path, command: str
) -> None:
    """Asked for its state it advised `vna init`, which then refused."""
    make_data(data)
    restoring.begin(data)
    done = vna(command, "--data", data)
    assert done.returncode == 2
    assert "`vna restore` was cut off" in done.stderr


def test_an_empty_folder_for_the_index_is_room_for_one(vna: Vna, data: Path) -> None:
    """Whoever sets a machine up makes it beforehand, for the owner it will have."""
    make_data(data)
    (data / "pg").mkdir(mode=0o700)
    account.choose("").own(data / "pg")
    done = vna("init", "--data", data)
    assert (done.returncode, done.stderr) == (0, "")
    assert "PostgreSQL cluster" in done.stdout


@pytest.mark.usefixtures("held")
def test_nothing_is_served_of_an_index_whose_rebuilding_was_cut_off(
    vna: Vna, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(Settings(), data=archive, dev=True)
    with app.index_of(settings) as index:
        with monkeypatch.context() as patch:  # the first blobs are to be read
            patch.setattr(recover, "_batches", _cut_off)
            assert vna("reindex", "--data", archive).returncode != 0
        with pytest.raises(ConfigError, match="`vna reindex` was cut off"):
            require_usable(settings, index)
        assert vna("reindex", "--data", archive).returncode == 0
        require_usable(settings, index)


@pytest.mark.usefixtures("held")
def test_an_index_that_was_not_emptied_is_served(
    vna: Vna, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal cannot be read, say: then the catalogue stays as it is."""
    settings = dataclasses.replace(Settings(), data=archive, dev=True)
    with app.index_of(settings) as index:
        with monkeypatch.context() as patch:
            patch.setattr(CorrectionEngine, "lay", _cut_off)
            assert vna("reindex", "--data", archive).returncode != 0
        require_usable(settings, index)


def test_an_archive_nobody_can_sign_in_to_says_so_on_loopback(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `vna serve` makes it where `vna init` was not run before."""
    settings = dataclasses.replace(Settings(), data=data)
    make_data(data)
    app.found(settings)
    with runlock.held(data, "serve", exclusive=True), app.index_of(settings) as index:
        app.found_index(settings, index)
        require_usable(settings, index)
        told = capsys.readouterr().err
        assert "there is no administrator yet: `vna init`" in told
        beyond = dataclasses.replace(settings.http, listen="0.0.0.0:8443")
        with pytest.raises(ConfigError, match="no administrator yet"):
            require_usable(dataclasses.replace(settings, http=beyond), index)


def _cut_off(*_: object) -> NoReturn:
    raise Unavailable("The index database cannot be reached.")


def test_a_schema_that_is_behind_is_told_so(vna: Vna, archive: Path) -> None:
    done = vna("status", "--data", archive, VNA_POSTGRES_SCHEMA="empty")
    assert done.returncode == 2
    assert "vna init" in done.stderr


def test_init_changes_no_index_that_an_older_release_serves(
    vna: Vna, postgres: TestPostgres, data: Path, tmp_path: Path
) -> None:
    """Its processes would go on, and none that ends would come up again."""
    older = tmp_path / "older"
    shutil.copytree(statements.folder() / "migrations", older)
    newest = max(older.iterdir())
    newest.unlink()
    dsn = postgres.create()
    migrate.migrate(dsn, "vna", folder=older)
    make_data(data)
    with runlock.held(data, "serve", exclusive=True):
        done = vna("init", "--data", data, VNA_DATABASE_URL=dsn)
        assert done.returncode == 2
        assert f"lacks migration {newest.stem}, and `vna serve` is at work" in done.stderr
        assert migrate.migrate(dsn, "vna", folder=older) == []  # it is what it was
    done = vna("init", "--data", data, VNA_DATABASE_URL=dsn)
    assert f"migration {newest.stem[:4]} of schema vna" in done.stdout
    postgres.drop(dsn)


def test_the_doctor_finds_a_fresh_machine_well(vna: Vna, data: Path) -> None:
    done = vna("doctor", "--data", data)
    assert done.returncode == 0, done.stdout
    assert not data.exists()
    assert re.search(r"^warn +folder .*\n +-> vna init$", done.stdout, re.MULTILINE)


def test_the_doctor_says_when_the_folder_is_a_file(vna: Vna, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = vna("doctor", "--data", tmp_path / "file")
    assert done.returncode == 1
    assert re.search(r"^fail +folder .* is a file\n +-> name a folder", done.stdout, re.MULTILINE)


def test_the_doctor_finds_an_archive_well(vna: Vna, archive: Path) -> None:
    before = sorted(archive.rglob("*"))
    done = vna("doctor", "--data", archive, "--config", "conf/vna.toml")
    assert done.returncode == 0, done.stdout
    assert sorted(archive.rglob("*")) == before
    assert "file system of the blobs" in done.stdout
    assert all(line.startswith(("ok ", "warn ", "  ")) for line in done.stdout.splitlines())


def test_the_doctor_names_what_is_wrong(vna: Vna, archive: Path) -> None:
    (archive / "keys" / "root.key").chmod(0o444)
    (archive / "blobs").chmod(0o755)
    done = vna("doctor", "--data", archive, VNA_BLOBS_FREE_PERCENT="100")
    assert done.returncode == 1
    assert re.search(r"^fail +keys .*0400", done.stdout, re.MULTILINE)
    assert re.search(r"^fail +space .*nothing is taken in", done.stdout, re.MULTILINE)
    assert re.search(r"^warn +folder +open to others: .*blobs", done.stdout, re.MULTILINE)


def test_the_doctor_tries_every_port_that_serve_would_open(vna: Vna, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = vna("doctor", "--data", data, VNA_SHARING_LISTEN=where)
    assert done.returncode == 1
    assert re.search(rf"^fail +ports .*{where}", done.stdout, re.MULTILINE)
    assert "choose another sharing.listen" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="asks for root")
def test_root_s_archive_lies_where_its_server_can_reach_it(vna: Vna, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert vna("init", "--data", closed / "data").returncode == 0
    files = Path((closed / "data" / "pg").read_text().strip())
    archive = json.loads((closed / "data" / "blobs" / "archive.json").read_text())["archive_id"]
    assert files == Path("/var/lib/vna") / archive / "pg"
    assert vna("status", "--data", closed / "data").returncode == 0
    shutil.rmtree(files.parent)


def test_an_archive_whose_database_only_answers_is_not_ready(archive: Path) -> None:
    """A standby, or one whose administrator lets nobody write: every object would be refused."""
    with (
        Cluster.obtain(archive, Postgres(), durable=False) as cluster,
        app.opened(load(environ={}, flags={"data": str(archive)}), cluster.dsn) as opened,
        psycopg.connect(cluster.admin_dsn(), autocommit=True) as admin,
    ):
        opened.engines.check()
        admin.execute("ALTER ROLE vna SET default_transaction_read_only = on")
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'vna'"
        )
        with pytest.raises(Unavailable, match="takes no changes"):
            opened.engines.check()
