"""`vna viewer`: bring the OHIF viewer, pinned by version and digest, or say whether it is there.

The package is a built application: it is fetched by npm, checked, made ready for the place where we
serve it, and put into the data folder in one step.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
from base64 import b64decode
from pathlib import Path

from rich.console import Console

from vna.cli.viewer_package import make_ready
from vna.config import Settings
from vna.errors import ConfigError, Corrupt, Unavailable

PACKAGE = "@ohif/app"
VERSION = "3.13.2"
INTEGRITY = (  # of the tarball, as the registry states it
    "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
)
_FETCH_S = 600.0


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("act", choices=("install", "status", "remove"), help="what to do")
    parser.add_argument(
        "--from",
        dest="tarball",
        type=Path,
        metavar="FILE",
        help=f"the package {PACKAGE} {VERSION} as a file, where npm cannot fetch it",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Install the viewer, remove it, or tell what is there."""
    place = settings.data / "viewer"
    if args.act == "status":
        print(_state(place))
        return 0 if place.is_dir() else 1
    if args.act == "remove":
        shutil.rmtree(place, ignore_errors=True)
        print("The viewer is removed.")
        return 0
    return _install(place, args.tarball)


def _state(place: Path) -> str:
    version = place / "VERSION"
    if not version.is_file():
        return "The viewer is not installed. Bring it with: vna viewer install"
    return f"The viewer {PACKAGE} {version.read_text().strip()} is installed; it opens at /viewer."


def _install(place: Path, tarball: Path | None) -> int:
    version = place / "VERSION"
    if version.is_file() and version.read_text().strip() == VERSION:
        print(_state(place))
        return 0
    if not place.parent.is_dir():
        raise ConfigError(f"There is no data folder {place.parent}; make it with: vna init")
    # beside its place, so that a rename is enough, and gone if we are interrupted
    with (
        tempfile.TemporaryDirectory(prefix=".viewer-", dir=place.parent) as work,
        Console(stderr=True).status(f"Fetching {PACKAGE} {VERSION} ...") as told,
    ):
        found = tarball or _fetch(Path(work))
        _check(found)
        told.update("Unpacking and compressing ...")
        ready = Path(work) / "ready"
        make_ready(found, ready)
        (ready / "VERSION").write_text(VERSION + "\n")
        shutil.rmtree(place, ignore_errors=True)
        os.rename(ready, place)
    print(_state(place))
    return 0


def _fetch(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError(
            "npm is needed to fetch the viewer: install it with your system's packages, or fetch "
            f"{PACKAGE} {VERSION} elsewhere and give the file: vna viewer install --from FILE"
        )
    try:
        done = subprocess.run(
            [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", str(folder)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_FETCH_S,
        )
    except subprocess.TimeoutExpired as exc:
        raise Unavailable("npm did not bring the viewer within ten minutes; try again.") from exc
    found = next(folder.glob("*.tgz"), None)
    if done.returncode or found is None:
        why = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise Unavailable(f"npm could not bring the viewer: {why}")
    return found


def _check(tarball: Path) -> None:
    """Compare the package with the digest we know. Raises `ConfigError`, `Corrupt`."""
    try:
        with tarball.open("rb") as file:
            digest = hashlib.file_digest(file, "sha512").digest()
    except OSError as exc:
        raise ConfigError(f"The file {tarball} cannot be read: {exc.strerror}.") from exc
    if digest != b64decode(INTEGRITY):
        raise Corrupt(f"This is not {PACKAGE} {VERSION}: its SHA-512 is another one.")
