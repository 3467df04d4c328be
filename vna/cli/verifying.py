"""`vna verify`: reads every blob and says which are damaged, and what is lost."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from vna.app import at_work
from vna.backup.losses import losses
from vna.blobs.layout import blob_name, key_name
from vna.blobs.store import BlobStore
from vna.cli.progress import Bar, bar
from vna.config import Settings
from vna.errors import Corrupt, NotFound, Unavailable


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--keyed",
        action="store_true",
        help="also decrypt every blob and compare the digest of its data set "
        "(without: only checksums, which need no key)",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Verify; 0 when every blob and key is whole and there, 1 when one is not."""
    with at_work(settings, "verify") as archive:
        store = archive.store
        with bar("blobs", None) as shown:
            checked, damaged = _blobs(store, shown, keyed=args.keyed)
            bad_keys = _bad_keys(store, shown)
            lost = 0
            for loss in losses(archive.database, store):
                lost += 1
                shown.say(f"lost     {loss.name}: {loss.why}")
    keys = f"keys: {bad_keys} damaged" if bad_keys else "keys whole"
    print(
        f"{checked} blobs checked, {damaged} damaged; {keys}" + (f"; {lost} lost" if lost else "")
    )
    return 1 if damaged or bad_keys or lost else 0


def _blobs(store: BlobStore, shown: Bar, *, keyed: bool) -> tuple[int, int]:
    checked = damaged = 0
    for blob_id in store.blob_ids():
        why = _problem(partial(_scrub, store, blob_id, keyed=keyed), partial(store.holds, blob_id))
        checked += 1
        shown.step()
        if why is not None:
            damaged += 1
            shown.say(f"damaged  {blob_name(blob_id)}: {why}")
    return checked, damaged


def _scrub(store: BlobStore, blob_id: bytes, *, keyed: bool) -> None:
    for key_too in dict.fromkeys((False, keyed)):
        store.check(blob_id, keyed=key_too)


def _bad_keys(store: BlobStore, shown: Bar) -> int:
    damaged = 0
    for key_id in store.keys.ids():
        why = _problem(partial(store.keys.check_one, key_id), partial(store.keys.holds, key_id))
        if why is not None:
            damaged += 1
            shown.say(f"damaged  {key_name(key_id)}: {why}")
    return damaged


def _problem(check: Callable[[], None], is_there: Callable[[], bool]) -> str | None:
    """Say what is wrong with one object; a disk that cannot read it keeps no other unlooked at.

    Raises `Unavailable` when the store as a whole is not there.
    """
    try:
        check()
    except NotFound:
        return None  # removed while we walked, or its key: what nobody deleted is told as lost
    except Corrupt as exc:
        return str(exc)
    except Unavailable as exc:
        return str(exc) if is_there() else None
    return None
