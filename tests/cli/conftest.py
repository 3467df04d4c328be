"""Data folders that PostgreSQL's user can reach."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import prepared
from tests.cli.serving import Serving, run, serving
from vna.cli.main import main
from vna.config import Postgres
from vna.db.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


Vna = Callable[..., Done]


@pytest.fixture
def vna(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Vna:
    """Run a command in this process, as `run` does in one of its own at three times the cost."""

    def invoke(*words: str | Path, **variables: str) -> Done:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return invoke


@pytest.fixture(scope="session")
def made(reachable_tmp: Path) -> Path:
    """An archive as `vna init` leaves it, to be copied and never used itself."""
    data = reachable_tmp / "made"
    prepared.lay(data)
    done = run("init", "--data", data)
    assert done.returncode == 0, done.stderr
    return data


@pytest.fixture
def data(reachable_tmp: Path) -> Iterator[Path]:
    """A data folder that is not there yet."""
    with _folder(reachable_tmp) as folder:
        yield folder / "data"


@pytest.fixture
def archive(made: Path, reachable_tmp: Path) -> Iterator[Path]:
    """The data folder of an archive of this test alone."""
    with _folder(reachable_tmp) as folder:
        yield prepared.copy(made, folder / "data")


@pytest.fixture
def held(archive: Path) -> Iterator[Path]:
    """That archive with its PostgreSQL at work: no command of the test starts and stops it anew."""
    with Cluster.obtain(archive, Postgres(), durable=False):
        yield archive


@pytest.fixture(scope="module")
def standing(made: Path, reachable_tmp: Path) -> Iterator[Path]:
    """An archive whose PostgreSQL is at work, for commands that leave it as it is."""
    with _folder(reachable_tmp) as folder:
        data = prepared.copy(made, folder / "data")
        with Cluster.obtain(data, Postgres(), durable=False):
            yield data


@pytest.fixture(scope="module")
def served(made: Path, reachable_tmp: Path) -> Iterator[Serving]:
    """A running archive for tests that leave it as it is."""
    with _folder(reachable_tmp) as folder, serving(prepared.copy(made, folder / "data")) as server:
        yield server


@contextlib.contextmanager
def _folder(top: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=top))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
