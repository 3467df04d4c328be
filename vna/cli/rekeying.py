"""`vna rekey`: another root key. No blob is written again; every archive key is wrapped anew.

While it works either root key opens the store. So it may be cut off anywhere: what stands at
`keys/root.key` opens the archive, and the command is run again.
"""

from __future__ import annotations

import argparse
import datetime as dt
from contextlib import suppress
from pathlib import Path

from vna import app
from vna.access.audit import Event
from vna.backup.manifest import sync_folder
from vna.blobs.store import BlobStore
from vna.cli.shell import shell
from vna.config import Settings
from vna.crypto.keyring import Keyring, RootKey, make_root_key, write_root_key
from vna.errors import ConfigError


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Gives the archive another root key. The archive must not be running. The one before stays "
        "beside it: backups taken until now open with it alone. It does not help against somebody "
        "who had the old root key and the blobs: what they opened once they can open again."
    )
    parser.add_argument(
        "--new",
        type=Path,
        metavar="FILE",
        help="the new root key: base64 of 32 bytes, mode 0400 (default: one is made)",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Change the root key and say where the one before is."""
    given = RootKey.file(args.new) if args.new is not None else None
    is_file = settings.keys.root == "file"
    if not is_file and given is None:
        raise ConfigError("The root key comes from VNA_ROOT_KEY: give the new one by --new FILE.")
    with app.at_work(settings, "rekey", exclusive=True) as archive:
        if given is not None and given.is_same(app.root_key(settings)):
            raise ConfigError(f"{args.new} is the root key the archive has.")
        if is_file:
            before = in_file(archive.store, app.root_key_at(settings), given)
        elif given is not None:
            before = None
            archive.store.rewrap(given)
            forget(archive.store, given)
        event = Event(kind="archive.rekeyed", outcome="done", detail={"by": settings.keys.root})
        with archive.database.transaction() as tx:
            archive.audit.write(tx, shell(), [event])
    print("the archive has another root key now: copy it elsewhere, and take a backup")
    if before is None:
        print(f"from now on VNA_ROOT_KEY must be what stands in {args.new}")
        print("backups taken until now open with the one before alone")
    else:
        print(f"backups taken until now open with the one before alone: {before}")
        print(
            "move that to where your copies are: with it here, a stolen backup can be opened, too"
        )
    return 0


def in_file(store: BlobStore, at: Path, given: RootKey | None) -> Path:
    """Change the key in the file `at` for the given one, or for one that is made.

    Gives the file the one before is in. A key made by a run that was cut off is taken again.
    """
    following = at.with_name(f"{at.name}.next")
    root = _given(following, given) if given is not None else _made(following)
    store.rewrap(root)
    before = at.with_name(f"{at.name}.until-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%f}")
    write_root_key(before, RootKey.file(at))
    following.replace(at)
    sync_folder(at.parent)
    forget(store, root)
    return before


def _given(following: Path, given: RootKey) -> RootKey:
    following.unlink(missing_ok=True)
    write_root_key(following, given)
    return RootKey.file(following)


def _made(following: Path) -> RootKey:
    if following.exists():
        # One that is no whole key was cut off while it was written: what is wrapped under it comes
        # after that. Nor would it be missed: what `root.key` opens goes when this has its name.
        with suppress(ConfigError):
            return RootKey.file(following)
        following.unlink()
    make_root_key(following)
    return RootKey.file(following)


def forget(store: BlobStore, root: RootKey) -> None:
    """Leave nothing in the store that another root key opens."""
    store.forget_other_roots(Keyring(root, store.archive_id))
