"""The OS user PostgreSQL runs as. It refuses to run as root, and so do we for it."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vna.errors import ConfigError

SERVICE = "vna-postgres"
GUESTS = "vna-share"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """An OS user."""

    name: str
    uid: int
    gid: int

    def switch(self) -> dict[str, Any]:  # keyword arguments of subprocess
        """Say how a child becomes this user; empty when we are it already."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def become(self) -> None:
        """Be this user from now on, for good; nothing of the user before stays."""
        if self.switch():
            os.setgroups([])
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.uid, self.uid, self.uid)

    def can_use(self, folder: Path) -> bool:
        """Whether the account can pass through the folder, and through all above it."""
        if not self.switch():
            return os.access(folder, os.X_OK)
        tried = subprocess.run(
            ["/bin/sh", "-c", 'test -x "$1"', "sh", str(folder)],
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            **self.switch(),
        )
        return tried.returncode == 0

    def own(self, folder: Path) -> None:
        """Give the account a folder we have just made."""
        if self.switch():
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)


def current() -> Account:
    """Return the user we are. Raises `ConfigError` when it has no name."""
    return by_uid(os.geteuid())


def by_uid(uid: int) -> Account:
    """Look a user up; PostgreSQL itself needs its name. Raises `ConfigError`."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as exc:
        raise ConfigError(
            f"The OS user {uid} has no name, which PostgreSQL asks for; "
            "add it to /etc/passwd or set postgres.url."
        ) from exc
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def choose(wanted: str) -> Account:
    """Decide who runs a new cluster: ourselves, or, when we are root, a user without rights.

    As root: the one named in the settings, else `vna-postgres`, made when it is not there, else
    nobody with a warning.
    """
    if os.geteuid() != 0:
        return current()
    if wanted:
        account = named(wanted)
        if account is None or account.uid == 0:
            raise ConfigError(f"postgres.os_user {wanted!r} must be an OS user other than root.")
        return account
    account = named(SERVICE) or _make(SERVICE) or named("nobody")
    if account is None:
        raise ConfigError("PostgreSQL may not run as root: name a user in postgres.os_user.")
    if account.name == "nobody":
        logger.warning("postgres runs as nobody", extra={"why": f"{SERVICE} could not be made"})
    return account


def for_guests(*folders: Path) -> Account:
    """Decide who serves guests: ourselves, or, when we are root, a user without rights.

    That one must be able to read the program. Where it cannot, or cannot be made, guests are served
    as ourselves, with a warning: without our keys, but not kept from our files.
    """
    if os.geteuid() != 0:
        return current()
    account = named(GUESTS) or _make(GUESTS)
    why = f"{GUESTS} could not be made"
    if account is not None:
        closed = [folder for folder in folders if not account.can_use(folder)]
        if not closed:
            return account
        why = f"{GUESTS} cannot read {closed[0]}"
    logger.warning("guests are served as the archive's own user", extra={"why": why})
    return current()


def named(name: str) -> Account | None:
    """Look a user up; None when there is none of that name."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _make(name: str) -> Account | None:
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return None
    command = [program, "--system", "--user-group", "--no-create-home"]
    command += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", name]
    # two archives may start at once: the loser's useradd fails, and the user is there all the same
    subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return named(name)
