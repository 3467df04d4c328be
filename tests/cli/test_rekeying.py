"""`vna rekey`: another root key at the shell, cut off anywhere, and what backups make of it."""

from __future__ import annotations

import base64
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.cli.conftest import Vna
from tests.factories import ct
from vna.blobs.backends import connect
from vna.blobs.layout import ARCHIVE_KEYS
from vna.blobs.store import BlobStore
from vna.cli import rekeying
from vna.crypto import keyring
from vna.crypto.keyring import Keyring, RootKey, make_root_key
from vna.errors import ConfigError, WrongKey

ARCHIVE = bytes(range(16))


class Cut(BaseException):
    """The command is no more."""


def key_file(at: Path) -> Path:
    make_root_key(at)
    return at


def instances(vna: Vna, data: Path, **variables: str) -> int:
    done = vna("verify", "--data", data, **variables)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[0])


def filled(vna: Vna, data: Path, tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        (tmp_path / "in" / f"{number}.dcm").write_bytes(ct(1, 1, number).part10())
    done = vna("import", tmp_path / "in", "--data", data)
    assert done.returncode == 0, done.stderr
    return data


@pytest.mark.usefixtures("held")
def test_the_archive_goes_on_under_another_root_key(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    filled(vna, archive, tmp_path)
    before = (archive / "keys" / "root.key").read_text()
    done = vna("rekey", "--data", archive)
    assert done.returncode == 0, done.stderr
    kept, now = sorted((archive / "keys").glob("root.key*"), key=lambda path: -len(path.name))
    assert kept.read_text() == before != now.read_text()
    assert [stat.S_IMODE(one.stat().st_mode) for one in (kept, now)] == [0o400, 0o400]
    assert str(kept) in done.stdout
    assert instances(vna, archive) == 2
    told = vna("audit", "search", "--kind", "archive.rekeyed", "--json", "--data", archive)
    assert "archive.rekeyed" in told.stdout
    assert "an old root key lies beside" in vna("doctor", "--data", archive).stdout
    now.unlink()
    shutil.copy2(kept, now)
    assert vna("status", "--data", archive).returncode == 1
    kept.unlink()


@pytest.mark.usefixtures("held")
def test_a_backup_follows_and_opens_with_the_new_root_key(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    filled(vna, archive, tmp_path)
    copy, older = tmp_path / "backup", tmp_path / "older"
    assert vna("backup", copy, "--data", archive).returncode == 0
    shutil.copytree(copy, older)
    new = key_file(tmp_path / "mine.key")
    assert vna("rekey", "--new", new, "--data", archive).returncode == 0
    done = vna("backup", copy, "--data", archive)
    assert done.returncode == 0, done.stderr + done.stdout
    ((kept),) = (archive / "keys").glob("root.key.until-*")
    for folder, fits, other in ((copy, new, kept), (older, kept, new)):
        back = tmp_path / f"back-{folder.name}"
        refused = vna("restore", folder, "--root-key", other, "--data", back)
        assert refused.returncode != 0
        shutil.rmtree(back, ignore_errors=True)
        done = vna("restore", folder, "--root-key", fits, "--data", back)
        assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("held")
def test_a_root_key_of_the_environment_is_changed_for_one_in_a_file(
    vna: Vna, archive: Path, tmp_path: Path
) -> None:
    at = archive / "keys" / "root.key"
    old = {"VNA_KEYS_ROOT": "env", "VNA_ROOT_KEY": at.read_text()}
    at.unlink()
    assert vna("rekey", "--data", archive, **old).returncode == 2
    new = key_file(tmp_path / "new.key")
    done = vna("rekey", "--new", new, "--data", archive, **old)
    assert done.returncode == 0, done.stderr
    assert str(new) in done.stdout
    assert vna("status", "--data", archive, **old).returncode == 1
    assert instances(vna, archive, **{**old, "VNA_ROOT_KEY": new.read_text()}) == 0


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("kind", ["the same", "not a key", "open to others"])
def test_a_new_root_key_that_is_none_is_refused_and_nothing_changes(
    vna: Vna, archive: Path, tmp_path: Path, kind: str
) -> None:
    at, new = archive / "keys" / "root.key", tmp_path / "new.key"
    text = at.read_text() if kind == "the same" else base64.b64encode(bytes(32)).decode()
    new.write_text("secret" if kind == "not a key" else text)
    new.chmod(0o444 if kind == "open to others" else 0o400)
    before = at.read_text()
    done = vna("rekey", "--new", new, "--data", archive)
    assert done.returncode == 2
    assert "root key" in done.stderr
    assert text.strip() not in done.stderr
    assert [path.name for path in (archive / "keys").iterdir()] == ["root.key"]
    assert at.read_text() == before
    assert vna("status", "--data", archive).returncode == 0


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Path]:
    """A root key in its file, and a store under it."""
    at, where = tmp_path / "keys" / "root.key", tmp_path / "blobs"
    make_root_key(at)
    BlobStore.init(where, ARCHIVE, RootKey.file(at))
    return at, where


def test_it_may_be_cut_off_anywhere_and_is_run_again(
    kept: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, where = kept
    steps: list[tuple[object, str]] = [
        (BlobStore, "rewrap"),
        (rekeying, "write_root_key"),
        (Path, "replace"),
        (rekeying, "sync_folder"),
        (BlobStore, "forget_other_roots"),
    ]
    for place, name in steps:
        for is_after in (False, True):
            with monkeypatch.context() as patch, opened(where, at) as store:
                patch.setattr(place, name, _cut(getattr(place, name), is_after=is_after))
                with pytest.raises(Cut):
                    rekeying.in_file(store, at, None)
            opened(where, at).close()  # what stands there opens the store
            with opened(where, at) as store:
                before = rekeying.in_file(store, at, None)
            opened(where, at).close()
            assert len(list(connect(where).list(ARCHIVE_KEYS))) == 1
            with pytest.raises(WrongKey):
                BlobStore.open(where, Keyring(RootKey.file(before), ARCHIVE))
            assert not at.with_name("root.key.next").exists()


@pytest.mark.parametrize(
    "text",
    [b"", bytes(45), base64.b64encode(bytes(32))[:20]],
    ids=["empty", "zeros", "a part"],
)
def test_a_new_key_that_was_cut_off_while_it_was_written_stands_in_nobody_s_way(
    kept: tuple[Path, Path], text: bytes
) -> None:
    at, where = kept
    following = at.with_name("root.key.next")
    following.write_bytes(text)
    following.chmod(0o400)
    with opened(where, at) as store:
        before = rekeying.in_file(store, at, None)
    opened(where, at).close()
    assert not following.exists()
    assert not RootKey.file(at).is_same(RootKey.file(before))


def test_each_operation_on_key_files_may_be_the_last_and_none_is_in_the_way_of_the_next_run(
    kept: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, where = kept
    ends: list[BaseException] = [Cut(), OSError(28, os.strerror(28))]
    for end in ends:
        for number in range(1, 100):
            with monkeypatch.context() as patch, opened(where, at) as store:
                seen = _EndingAt(number, end)
                patch.setattr(keyring, "os", seen)
                with suppress(Cut, ConfigError, OSError):
                    rekeying.in_file(store, at, None)
            for one in at.parent.glob("root.key.until-*"):
                one.unlink()
            opened(where, at).close()
            with opened(where, at) as store:
                before = rekeying.in_file(store, at, None)
            with pytest.raises(WrongKey):
                BlobStore.open(where, Keyring(RootKey.file(before), ARCHIVE))
            before.unlink()
            assert os.listdir(at.parent) == ["root.key"]
            if seen.left > 0:  # it came to its end before
                break
        assert number > 10


def test_a_key_that_cannot_be_written_changes_nothing(
    kept: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, where = kept

    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(28, os.strerror(28))

    with opened(where, at) as store:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match="cannot be written"):
            rekeying.in_file(store, at, None)
        monkeypatch.undo()
    opened(where, at).close()
    assert os.listdir(at.parent) == ["root.key"]


def opened(where: Path, at: Path) -> BlobStore:
    return BlobStore.open(where, Keyring(RootKey.file(at), ARCHIVE))


def _cut(call: Callable[..., object], *, is_after: bool) -> Callable[..., NoReturn]:
    def cut(*args: object) -> NoReturn:
        if is_after:
            call(*args)
        raise Cut

    return cut


class _EndingAt:
    """The module `os`, as who writes keys sees it: its operation of a number fails."""

    def __init__(self, number: int, end: BaseException) -> None:
        self.left = number
        self._end = end

    def __getattr__(self, name: str) -> Any:  # whatever `os` has
        found = getattr(os, name)
        return self._counted(found) if name in ("open", "fdopen", "fsync", "read") else found

    def _counted(self, call: Callable[..., object]) -> Callable[..., object]:
        def one(*args: object, **options: object) -> object:
            self.left -= 1
            if self.left == 0:
                raise self._end
            return call(*args, **options)

        return one
