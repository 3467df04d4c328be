"""`vna delete`: a study, a series or an instance, which can be brought back for a time."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable, Sequence

from vna.access.principal import Principal, system
from vna.app import at_work
from vna.cli.quantities import in_bytes
from vna.config import Settings
from vna.dicom.refs import UID, InstanceRef, Ref, SeriesRef, StudyRef, uid
from vna.errors import InvalidRequest, NotFound


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Deletes at once, for everybody. `vna undelete` brings it back within deletion.grace_days; "
        "after that its keys and blobs are destroyed."
    )
    add_uids(parser, nargs="+")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Delete what the UIDs name; 0 when it is done."""
    with at_work(settings, "delete") as archive:
        engine, who = archive.engines.lifecycle, somebody()
        ref = named(args.uids, lambda one: engine.places_of(who, one))
        deletion = engine.delete(who, ref)
    size = in_bytes(sum(grave.size for grave in deletion.graves))
    print(f"deleted  {told(ref)}: {len(deletion.graves)} objects, {size}")
    uids = " ".join(args.uids)
    print(f"until {deletion.due:%Y-%m-%d %H:%M} UTC it can come back: vna undelete {uids}")
    return 0


def add_uids(parser: argparse.ArgumentParser, *, nargs: str) -> None:
    """Add the UIDs that name a study, a series or an instance."""
    parser.add_argument(
        "uids",
        nargs=nargs,
        metavar="UID",
        help="one UID, of a study, a series or an instance; or all of them from the study down",
    )


def named(texts: Sequence[str], find: Callable[[UID], list[Ref]]) -> Ref:
    """Say what UIDs name: one alone is looked up, two or three are a path from the study down.

    Raises `NotFound`, and `InvalidRequest` for one that stands for several things.
    """
    uids = [uid(text) for text in texts]
    match uids:
        case [study, series]:
            return SeriesRef(study, series)
        case [study, series, instance]:
            return InstanceRef(study, series, instance)
        case [one]:
            found = find(one)
            if not found:
                raise NotFound(f"There is no study, series or instance {one}.")
            if len(found) > 1:
                places = "; ".join(told(ref) for ref in found)
                raise InvalidRequest(f"This UID stands for several: {places}.")
            return found[0]
    raise InvalidRequest("Name one UID, or those of the study, the series and the instance.")


def told(ref: Ref) -> str:
    """Name a reference for a person, its UIDs from the study down."""
    if isinstance(ref, StudyRef):
        return f"study {ref.study}"
    if isinstance(ref, SeriesRef):
        return f"series {ref.study} {ref.series}"
    return f"instance {ref.study} {ref.series} {ref.instance}"


def somebody() -> Principal:
    """Who is at the shell, as the audit trail names them."""
    return system(f"shell:{getpass.getuser()}")
