"""Which keys a level takes and which attributes its answers must hold (PS3.4 C.6, PS3.18 10.6).

The two doors to a Query: QIDO-RS parameters and a C-FIND Identifier. What the archive cannot match
on is left out of the Query and named, so that an edge can say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vna.dicom.attributes import INDEXED, KEYS
from vna.dicom.identifiers import LEVEL, Model, read_identifier
from vna.dicom.matching import MatchingKey, Path, Query, Single
from vna.dicom.matchkeys import Options, Tree, keys_of, name_of, paths_of
from vna.dicom.parameters import read_parameters
from vna.dicom.refs import UID, Level
from vna.index.columns import BY_LEVEL

RETRIEVE_AE, RETRIEVE_URL, AVAILABILITY = "00080054", "00081190", "00080056"
ZONE = "00080201"

COMPUTED: Mapping[Level, frozenset[str]] = {
    Level.PATIENT: frozenset(("00201200", "00201202", "00201204")),
    Level.STUDY: frozenset((AVAILABILITY, "00080061", "00080062", "00201206", "00201208")),
    Level.SERIES: frozenset((AVAILABILITY, "00201209")),
    Level.IMAGE: frozenset((AVAILABILITY, "00083002")),
}
"""Attributes no instance carries: the archive answers them (PS3.4 Table C.3-1)."""

_NOT_OURS = frozenset((RETRIEVE_AE, RETRIEVE_URL, "00880130", "00880140"))  # an edge answers them
_FROM_THE_TOP = tuple(Level)

# PS3.18 Tables 10.6.3-3 to -5, those answered only where there is a value.
_IF_KNOWN = {
    Level.STUDY: frozenset((AVAILABILITY, ZONE)),
    Level.SERIES: frozenset((ZONE, "0008103E", "00400244", "00400245")),
    Level.IMAGE: frozenset(
        (AVAILABILITY, ZONE, "00280008", "00280010", "00280011", "00280100", "00083002")
    ),
}
_REQUEST = "00400275"
_REQUEST_PATHS = frozenset(((_REQUEST, "00400009"), (_REQUEST, "00401001")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question as it can be answered.

    `unsupported` names keys that are not matched on, not answered, or both: C-FIND says so with the
    status FF01. `deviations` are sentences for a warning.
    """

    query: Query
    unsupported: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()


def from_parameters(
    level: Level,
    pairs: Iterable[tuple[str, str]],
    *,
    most: int,
    study: UID | None = None,
    series: UID | None = None,
) -> Asked:
    """Take a QIDO-RS search: parameters, and the study and series its resource names.

    `most` is the server's maximum of results. Raises `InvalidQuery`.
    """
    asked = read_parameters(pairs)
    tree, unsupported = _supported(level, asked.tree)
    keys = _of_resource(study, series) + keys_of(tree, asked.options)
    required, if_known = answered(level, study=study is not None, series=series is not None)
    returns = required | _returned(level, paths_of(tree) | asked.includes)
    query = Query(
        level=level,
        keys=keys,
        returns=returns,
        if_known=if_known - returns,
        everything=asked.everything,
        limit=most if asked.limit is None else min(asked.limit, most),
        offset=asked.offset,
    )
    ignored = tuple(f"{name} is not matched on at this level." for name in unsupported)
    return Asked(query=query, unsupported=unsupported, deviations=asked.deviations + ignored)


def from_identifier(model: Model, elements: Mapping[str, Any], options: Options) -> Asked:
    """Take a C-FIND Identifier as DICOM JSON elements. Raises `InvalidQuery`."""
    asked = read_identifier(model, elements, options)
    named = {tag: key for tag, key in asked.tree.items() if tag not in _NOT_OURS}
    tree, unsupported = _supported(asked.level, named)
    paths = paths_of(named)
    unknown = [path[0] for path in paths if path[0] not in attributes_of(asked.level)]
    unread = (path[-1] for path in asked.unmatched)
    lacking = sorted({*unsupported, *map(name_of, unknown), *map(name_of, unread)})
    returns = _returned(asked.level, paths) | {(LEVEL,)}
    query = Query(
        level=asked.level,
        keys=keys_of(tree, options),
        returns=returns,
        if_known=frozenset({(AVAILABILITY,), (ZONE,)}) - returns,
    )
    return Asked(query=query, unsupported=tuple(lacking), deviations=asked.deviations)


@lru_cache(maxsize=16)
def attributes_of(level: Level) -> frozenset[str]:
    """List the attributes an answer of this level can hold: its own and those of levels above."""
    above = _FROM_THE_TOP[: _FROM_THE_TOP.index(level) + 1]
    found = {ZONE, *COMPUTED[level]}.union(*(INDEXED[one] for one in above))
    return frozenset(found.union(*(COMPUTED[one] for one in above if one is not Level.PATIENT)))


@lru_cache(maxsize=16)
def own_attributes(level: Level) -> frozenset[str]:
    """List the attributes of the level itself; a study's are the patient's, too (PS3.4 C.3.2)."""
    own = {*INDEXED[level], *COMPUTED[level], ZONE}
    return frozenset(own | set(INDEXED[Level.PATIENT]) if level is Level.STUDY else own)


@lru_cache(maxsize=32)
def answered(level: Level, *, study: bool, series: bool) -> tuple[frozenset[Path], frozenset[Path]]:
    """List what QIDO-RS always answers, and what only if known (PS3.18 10.6.3.3).

    A resource that does not name its study or series answers their attributes, too.
    """
    levels = {level}
    if level is Level.IMAGE and not series:
        levels.add(Level.SERIES)
    if not study:
        levels.add(Level.STUDY)
    required: set[Path] = set()
    if_known: set[Path] = set()
    for one in levels:
        for tag in KEYS[one].web_answered:
            if tag == _REQUEST:
                if_known |= _REQUEST_PATHS
            elif tag not in _NOT_OURS:
                (if_known if tag in _IF_KNOWN[one] else required).add((tag,))
    return frozenset(required), frozenset(if_known)


def _returned(level: Level, paths: Iterable[Path]) -> frozenset[Path]:
    """Keep what this level can answer; attributes of lower levels are dropped (PS3.18 10.6.3.3)."""
    known = attributes_of(level)
    return frozenset(path for path in paths if path[0] in known)


def _supported(level: Level, tree: Tree) -> tuple[Tree, tuple[str, ...]]:
    """Leave out what is not matched on at this level; name those keys that had a value."""
    columns, terms = BY_LEVEL[level]
    matched = {*columns, *terms} - {ZONE}  # times are in their data set's own zone
    lacking = (tag for tag, (_, asked) in tree.items() if asked and tag not in matched | _NOT_OURS)
    return {tag: key for tag, key in tree.items() if tag in matched}, tuple(map(name_of, lacking))


def _of_resource(study: UID | None, series: UID | None) -> tuple[MatchingKey, ...]:
    named = ((Level.STUDY, study), (Level.SERIES, series))
    return tuple(
        MatchingKey(KEYS[one].unique, Single(uid)) for one, uid in named if uid is not None
    )
