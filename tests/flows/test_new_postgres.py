"""A new major version of PostgreSQL: the lines of docs/operations.md, on an archive with an index.

There is one embedded version to try it with, so that it is both of them: pg_upgrade does the same
work, and wants the two clusters made alike.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql

from tests import prepared
from vna import app
from vna.config import Settings
from vna.db import place, programs
from vna.db.account import Account

_OPERATIONS: Final = prepared.ROOT / "docs" / "operations.md"
_BLOCK: Final = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLES: Final = "SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'vna' ORDER BY 1"


@pytest.fixture
def data(reachable_tmp: Path) -> Iterator[Path]:
    """An archive whose cluster lies in it, in a folder of whoever runs the cluster."""
    folder = Path(tempfile.mkdtemp(dir=reachable_tmp))
    folder.chmod(0o755)
    prepared.lay(folder / "ar chive")
    yield folder / "ar chive"
    shutil.rmtree(folder)


def script(tools: programs.Programs) -> str:
    """The lines of the manual, with the programs of this release for those of both."""
    (found,) = (text for text in _BLOCK.findall(_OPERATIONS.read_text()) if "pg_upgrade" in text)
    told = re.sub(r"^(OLD|NEW)=.*$", f"\\1='{tools.folder / 'bin'}'", found, flags=re.MULTILINE)
    assert told.count(str(tools.folder)) == 2
    return told


def held(settings: Settings) -> dict[str, list[Any]]:
    """Every row of every table."""
    with app.index_of(settings) as index, psycopg.connect(index.dsn) as conn:
        names = [name for (name,) in conn.execute(_TABLES).fetchall()]
        said = sql.SQL("SELECT t::text FROM vna.{} AS t ORDER BY 1")
        return {name: conn.execute(said.format(sql.Identifier(name))).fetchall() for name in names}


def owned(data: Path) -> Account:
    """Whose the cluster is; the folder it lies in becomes theirs, as the manual has it."""
    account = place.find(data, "", None).account
    os.chown(data, account.uid, account.gid)
    return account


@pytest.mark.parametrize("how", ["", "--link"])
def test_the_index_comes_along_as_the_manual_has_it(data: Path, how: str) -> None:
    settings = Settings(data=data, dev=True)
    before = held(settings)
    made_as = place.find(data, "", None).files.stat().st_ino
    account = owned(data)
    done = subprocess.run(
        ["bash", "-c", script(programs.usable_by(account, data)).rstrip() + f" {how}\n"],
        cwd=data,
        env={"PATH": os.defpath, "HOME": "/", "LANG": "de_DE.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **account.switch(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    files = place.find(data, "", None).files
    assert files.stat().st_ino != made_as
    assert held(settings) == before
    assert before["migration"]
    assert "trust" not in (files / "pg_hba.conf").read_text().split()
    assert files.stat().st_mode & 0o077 == 0
