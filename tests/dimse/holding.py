"""An archive that holds something, served: what tests of C-GET and C-MOVE begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.archive import Archive
from tests.dimse.edge import Edge
from tests.factories import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG_2000,
    MPEG_4,
    RLE,
    Instance,
    compressed,
    ct,
    jpeg,
)
from vna.dimse.scps import services
from vna.ingest.outcome import Refused

PLAIN = (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED)
SYNTAXES = (
    *PLAIN,
    *(JPEG, JPEG_2000, RLE, MPEG_4),
    *("1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"),
    *("1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201"),
)
PDUS = (4096, 16384, 131072, 1 << 20)


def served(archive: Archive, serve: Callable[..., Edge], **options: Any) -> Edge:
    """Start an edge on the engines of an archive, which has them under their names."""
    engines: Any = archive
    return serve(services(engines, archive.settings), remotes=archive.remotes, **options)


def fill(archive: Archive, *instances: Instance) -> None:
    """Store them."""
    for one in instances:
        outcome = archive.take_dataset(
            one.dataset(),
            one.transfer_syntax,
            sop_class=one.sop_class,
            sop_instance=one.instance,
        )
        assert not isinstance(outcome, Refused), outcome


def pairs_of(instances: Sequence[Instance]) -> list[tuple[str, str]]:
    """The SOP Classes and Transfer Syntaxes they are stored in."""
    return sorted({(one.sop_class, one.transfer_syntax) for one in instances})


def of_every_syntax() -> list[Instance]:
    """Make an instance in each of twelve Transfer Syntaxes, all of one study."""
    made = []
    for number, syntax in enumerate(SYNTAXES, 1):
        if syntax in PLAIN:
            made.append(ct(1, number, 1, transfer_syntax=syntax, rows=100, columns=99))
        else:
            frames = [[jpeg(number), jpeg(2, 5000)], [jpeg(3)]]
            one = compressed(frames, study=1, series=number, transfer_syntax=syntax)
            made.append(one)
    return made


def datasets(instances: Sequence[Instance]) -> dict[str, bytes]:
    """SOP Instance UID -> the bytes of the data set as stored."""
    return {one.instance: one.dataset() for one in instances}
