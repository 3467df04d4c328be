"""Where a cluster's files and its socket lie, and with which rights.

Usually DATA/pg. When we are root and the server's user cannot pass through DATA (a 0700 folder, as
mktemp makes), the cluster lies in /var/lib/vna/<id>/pg and DATA/pg is a file that says so. Nothing
outside the data folder ever has its permissions changed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from vna.db import account as accounts
from vna.db.account import Account
from vna.errors import ConfigError

ELSEWHERE = Path("/var/lib/vna")
PORT = 5432  # of the socket's name only: nothing listens on TCP
# sun_path holds 108 bytes with its final zero on Linux, 104 on macOS and the BSDs
_SOCKET_BYTES = 103


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster's own folder `files`, and the OS user it belongs to."""

    files: Path
    account: Account

    @property
    def base(self) -> Path:
        """The folder the cluster lies in: ours, not the server's."""
        return self.files.parent

    def exists(self) -> bool:
        """Whether the cluster was made; it is moved here only when complete."""
        return (self.files / "PG_VERSION").exists()

    def socket_folder(self) -> Path:
        """Make the folder of the socket: near the cluster, else where a path is short enough."""
        for folder in (self.base / "run" / "pg", _short(self.files)):
            path = os.fsencode(folder / f".s.PGSQL.{PORT}")
            if len(path) <= _SOCKET_BYTES and b"," not in path:  # a comma separates folders
                _make_socket_folder(folder, self.account)
                return folder
        raise ConfigError("No folder for PostgreSQL's socket has a short enough path; set TMPDIR.")


def find(data: Path, os_user: str, name: str | None) -> Place:
    """Find the cluster of a data folder, or decide where a new one goes and who owns it.

    `name` tells clusters in /var/lib/vna apart. The owner of a cluster that exists runs it,
    whatever the settings say by now.
    """
    here = data / "pg"
    files = files_of(data)
    if files.is_dir():
        return Place(files, _owner(files))
    account = accounts.choose(os_user)
    if account.can_use(data):
        return Place(here, account)
    files = ELSEWHERE / (name or uuid.uuid4().hex) / "pg"
    for folder in (ELSEWHERE, files.parent):
        _make(folder, 0o755)
    here.write_text(f"{files}\n", encoding="utf-8")
    return Place(files, account)


def files_of(data: Path) -> Path:
    """Say where the cluster of a data folder lies, or may come to lie. Raises `ConfigError`."""
    here = data / "pg"
    return _pointed_to(here) if here.is_file() else here


def has_cluster(data: Path) -> bool:
    """Whether a data folder has a cluster, here or elsewhere: an empty folder is room for one."""
    here = data / "pg"
    try:
        return here.is_file() or (here / "PG_VERSION").exists()
    except PermissionError:  # whoever closed it has something in it
        return True


def make_data(data: Path) -> None:
    """Make the data folder and its `run`, closed to everybody whom the server does not need."""
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        if not data.is_dir():
            data.parent.mkdir(parents=True, exist_ok=True)
            _make(data, mode)
        _make(data / "run", 0o755)
    except OSError as exc:
        raise ConfigError(f"The data folder {data} cannot be made: {exc.strerror}.") from exc


def _make(folder: Path, mode: int) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        return
    folder.chmod(mode)  # whatever the umask took away


def _pointed_to(pointer: Path) -> Path:
    files = Path(pointer.read_text(encoding="utf-8").strip())
    if not files.is_absolute() or not files.parent.is_dir():
        raise ConfigError(f"{pointer} says that the cluster lies in {files}, which is not there.")
    return files


def _owner(files: Path) -> Account:
    uid = files.stat().st_uid
    if uid == 0:
        raise ConfigError(f"The cluster {files} belongs to root, and PostgreSQL may not run so.")
    if os.geteuid() not in (0, uid):
        raise ConfigError(f"The cluster {files} belongs to the OS user {uid}; run as that one.")
    return accounts.by_uid(uid)


def _short(files: Path) -> Path:
    name = hashlib.sha256(os.fsencode(files)).hexdigest()[:12]
    if os.geteuid() == 0:
        return Path("/run/vna") / name
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    top = Path(runtime) if Path(runtime).is_absolute() and Path(runtime).is_dir() else None
    return (top or Path(tempfile.gettempdir())) / f"vna-{os.geteuid()}-{name}"


def _make_socket_folder(folder: Path, account: Account) -> None:
    try:
        for made in (folder.parent, folder):
            _make(made, 0o755)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            account.own(folder)
            found = folder.lstat()
    except OSError as exc:
        raise ConfigError(f"The socket's folder {folder} cannot be made: {exc.strerror}.") from exc
    # in a folder all may write to, somebody else could have been here first
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid:
        raise ConfigError(f"The socket's folder {folder} belongs to somebody else.")
