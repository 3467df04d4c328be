"""Which keys a level takes and which attributes its answers must hold (PS3.4 C.6, PS3.18 10.6).

The two doors to a Query: QIDO-RS parameters and a C-FIND Identifier. What the archive cannot match
on is left out of the Query and named, so that an edge can say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from vna.dicom.attributes import INDEXED, KEYS
from vna.dicom.identifiers import LEVEL, Model, read_identifier
from vna.dicom.matching import MatchingKey, Path, Query, Single
from vna.dicom.matchkeys import Options, name_of, paths_of
from vna.dicom.modules import is_at_or_above, level_of
from vna.dicom.parameters import read_parameters
from vna.dicom.refs import UID, Level
from vna.dicom.searchable import Searchable
from vna.dicom.unknown import with_vrs
from vna.index.columns import BY_LEVEL
from vna.query.places import place, want

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
    added: Sequence[Searchable] = (),
    site_zone: str = "UTC",
) -> Asked:
    """Take a QIDO-RS search: parameters, and the study and series its resource names.

    `most` is the server's maximum of results; `added` can be matched on beyond what is always
    kept. Raises `InvalidQuery`.
    """
    asked = read_parameters(pairs)
    placed = place(level, asked.tree, added, held_at(level))
    required, if_known = answered(level, study=study is not None, series=series is not None)
    named = paths_of(asked.tree) | asked.includes
    wanted = want(level, named, asked.tree, added, attributes_of(level))
    returns = required | wanted.returns
    details = wanted.details
    if asked.everything:
        more = want(level, _optional(level), {}, added, attributes_of(level))
        if_known |= more.returns
        details = tuple(dict.fromkeys((*details, *more.details)))
    query = Query(
        level=level,
        keys=_of_resource(study, series) + placed.keys(asked.options),
        returns=returns,
        if_known=if_known - returns,
        everything=asked.everything,
        details=details,
        limit=most if asked.limit is None else min(asked.limit, most),
        offset=asked.offset,
        site_zone=site_zone,
    )
    told = (*asked.deviations, *placed.sentences, *wanted.sentences)
    return Asked(query=query, unsupported=placed.unsupported, deviations=told)


def from_identifier(
    model: Model,
    elements: Mapping[str, Any],
    options: Options,
    *,
    added: Sequence[Searchable] = (),
    site_zone: str = "UTC",
) -> Asked:
    """Take a C-FIND Identifier as DICOM JSON elements. Raises `InvalidQuery`."""
    if added:  # in implicit VR a private key comes without its VR
        elements = with_vrs(elements, [(one.path, one.vr) for one in added])
    asked = read_identifier(model, elements, options)
    named = {tag: key for tag, key in asked.tree.items() if tag not in _NOT_OURS}
    placed = place(asked.level, named, added, held_at(asked.level))
    wanted = want(asked.level, paths_of(named), named, added, attributes_of(asked.level))
    unread = (path[-1] for path in asked.unmatched)
    lacking = {*placed.unsupported, *map(name_of, wanted.unknown), *map(name_of, unread)}
    returns = wanted.returns | {(LEVEL,)}
    query = Query(
        level=asked.level,
        keys=placed.keys(replace(options, zone=asked.zone)),
        returns=returns,
        if_known=frozenset({(AVAILABILITY,), (ZONE,)}) - returns,
        details=wanted.details,
        site_zone=site_zone,
    )
    told = (*asked.deviations, *placed.sentences)
    return Asked(query=query, unsupported=tuple(sorted(lacking)), deviations=told)


@lru_cache(maxsize=16)
def held_at(level: Level) -> frozenset[str]:
    """List the attributes always kept that a search at this level matches on."""
    columns, terms = BY_LEVEL[level]
    return frozenset({*columns, *terms} - {ZONE})


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


@lru_cache(maxsize=16)
def _optional(level: Level) -> frozenset[Path]:
    """List the Optional Keys of the level (PS3.4 C.6), which `includefield=all` asks for."""
    keys = KEYS[level].optional
    return frozenset((tag,) for tag in keys if is_at_or_above(level_of(tag), level))


def _of_resource(study: UID | None, series: UID | None) -> tuple[MatchingKey, ...]:
    named = ((Level.STUDY, study), (Level.SERIES, series))
    return tuple(
        MatchingKey(KEYS[one].unique, Single(uid)) for one, uid in named if uid is not None
    )
