"""`vna verify`: reads every blob and says which are damaged."""

from __future__ import annotations

import argparse
from itertools import chain

from vna.app import at_work
from vna.blobs.store import BlobStore
from vna.cli.progress import bar
from vna.config import Settings
from vna.errors import Corrupt, Gone, NotFound, VNAError


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--keyed",
        action="store_true",
        help="also decrypt every blob and compare the digest of its data set "
        "(without: only checksums, which need no key)",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Verify; 0 when every blob and key is whole, 1 when one is not."""
    damaged = checked = 0
    with at_work(settings, "verify") as archive:
        store = archive.store
        with bar("blobs", None) as shown:
            for blob_id in store.blob_ids():
                why = _problem(store, blob_id, keyed=args.keyed)
                checked += 1
                shown.step()
                if why is not None:
                    damaged += 1
                    shown.say(f"damaged  {blob_id.hex()}: {why}")
        keys = _keys(store)
    print(f"{checked} blobs checked, {damaged} damaged; {keys}")
    return 1 if damaged or not keys.endswith("whole") else 0


def _problem(store: BlobStore, blob_id: bytes, *, keyed: bool) -> str | None:
    try:
        for key_too in dict.fromkeys(chain((False,), (keyed,))):
            store.check(blob_id, keyed=key_too)
    except Gone:
        return None  # its key was destroyed: nothing is to be read any more
    except NotFound:
        return None  # removed while we walked
    except Corrupt as exc:
        return str(exc)
    return None


def _keys(store: BlobStore) -> str:
    try:
        store.keys.check()
    except VNAError as exc:
        return f"keys: {exc}"
    return "keys whole"
