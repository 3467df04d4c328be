"""Where each key and each attribute wanted of a question has its place: kept, added, or sealed.

A key is matched on where the archive always keeps its attribute, or where an administrator made it
searchable; else it is left out and named. An attribute is answered from what is kept, or from the
sealed DICOM JSON of the instance that stands for its level (PS3.18 10.6.3.3: that level or above).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from vna.dicom import privates
from vna.dicom.attributes import CHARACTER_SET, vr_of
from vna.dicom.identifiers import LEVEL
from vna.dicom.matching import Detail, MatchingKey, Path
from vna.dicom.matchkeys import Options, Tree, keys_of, name_of
from vna.dicom.modules import is_at_or_above, level_of
from vna.dicom.refs import Level
from vna.dicom.searchable import Searchable, at_level

_Branch = dict[str, "tuple[str, str | Tree]"]

# what an edge answers, or what no instance carries
NOT_OF_INSTANCES = frozenset(
    (
        *(LEVEL, CHARACTER_SET, "00080054", "00081190", "00880130", "00880140", "00080056"),
        *("00080061", "00080062", "00080063", "00083001", "00083002", "0008001A", "00201200"),
        *("00201202", "00201204", "00201206", "00201208", "00201209", "0008041C", "00080429"),
    )
)


@dataclass(slots=True)
class Placed:
    """The keys of a question by where they are matched."""

    kept: _Branch = field(default_factory=dict)
    added: dict[Level, _Branch] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    @property
    def unsupported(self) -> tuple[str, ...]:
        """The attributes that are not matched on."""
        return (*self.lacking, *self.waiting)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What there is to say about them."""
        return (
            *(f"{name} is not matched on at this level." for name in self.lacking),
            *(f"{name} is not matched on yet: it is being indexed." for name in self.waiting),
        )

    def keys(self, options: Options) -> tuple[MatchingKey, ...]:
        """Read the keys. Raises `InvalidQuery`."""
        keys = keys_of(self.kept, options)
        for level, tree in self.added.items():
            keys += tuple(replace(key, added=level) for key in keys_of(tree, options))
        return keys


@dataclass(frozen=True, slots=True)
class Wanted:
    """The attributes wanted of answers that can be answered, and those that cannot."""

    returns: frozenset[Path]
    details: tuple[Detail, ...]
    unknown: tuple[str, ...]
    sentences: tuple[str, ...]


def place(level: Level, tree: Tree, added: Sequence[Searchable], held: frozenset[str]) -> Placed:
    """Find each key of a question its place; `held` is matched on at the level anyhow."""
    placed = Placed()
    known = at_level(added, [one for one in Level if is_at_or_above(one, level)]) if added else {}
    for tag, (vr, asked) in tree.items():
        if tag in held:
            placed.kept[tag] = (vr, asked)
        elif asked and tag not in NOT_OF_INSTANCES and not privates.is_creator(tag):
            name = _name(tag, tree)
            _place_added(placed, tag, name, (vr, asked), known.get(name or "", ()))
        elif asked and tag in NOT_OF_INSTANCES - _EDGE:
            placed.lacking.append(name_of(tag))
    return placed


_EDGE = frozenset((LEVEL, "00080054", "00081190", "00880130", "00880140"))


def _place_added(
    placed: Placed,
    tag: str,
    name: str | None,
    key: tuple[str, str | Tree],
    found: Sequence[Searchable],
) -> None:
    ready = [one for one in found if one.ready]
    if name is None or not found:
        placed.lacking.append(name_of(tag))
    elif not ready:
        placed.waiting.append(name_of(tag))
    else:
        lacking: list[str] = []
        cut = _matched(*key, [(one.path[1:], one.vr) for one in ready], lacking)
        if cut is not None:
            placed.added.setdefault(ready[0].level, {})[name] = cut
        placed.lacking += lacking or ([name_of(tag)] if cut is None else [])


def _matched(
    vr: str, asked: str | Tree, rest: Sequence[tuple[Path, str]], lacking: list[str]
) -> tuple[str, str | Tree] | None:
    """Cut a key to what can be matched on; `rest` are the paths below it, with their VRs."""
    whole = next((of for path, of in rest if not path), None)
    if whole is not None and whole != "SQ":
        return (whole, asked) if isinstance(asked, str) else None
    if isinstance(asked, str):
        return None
    inner: _Branch = {}
    for tag, (inner_vr, inner_asked) in asked.items():
        name = _name(tag, asked)
        if privates.is_creator(tag) or not inner_asked or name is None:
            continue
        below = [(path[1:], of) for path, of in rest if path and path[0] == name]
        if whole == "SQ":
            below.append(((), inner_vr))
        key = _matched(inner_vr, inner_asked, below, lacking) if below else None
        if key is None:
            lacking.append(name_of(tag))
        else:
            inner[name] = key
    return (vr, inner) if inner else None


def _name(tag: str, tree: Tree) -> str | None:
    """Name the attribute of a tag; None for a private one whose creator is not said beside it."""
    if not privates.is_private(tag):
        return tag
    creator = tree.get(privates.creator_tag(tag), ("LO", ""))[1]
    text = creator.strip(" \0") if isinstance(creator, str) else ""
    return privates.name(tag, text) if text and not privates.is_creator(tag) else None


def want(
    level: Level,
    paths: Iterable[Path],
    tree: Tree,
    added: Sequence[Searchable],
    kept: frozenset[str],
) -> Wanted:
    """Find each attribute wanted its place; those of lower levels are dropped (PS3.18 10.6.3.3).

    `tree` says the creators of private ones, `kept` what the index answers at this level.
    """
    returns: set[Path] = set()
    details: list[Detail] = []
    unknown: list[str] = []
    sentences: list[str] = []
    for path in sorted(paths):
        if path[0] in kept:
            returns.add(path)
            continue
        names = _names(path, tree)
        if names is None:
            unknown.append(path[-1])
            sentences.append(
                f"{name_of(path[-1])} is private: its creator must be a key beside it."
            )
            continue
        at = _level(names, level, added)
        if at is None or path[0] in NOT_OF_INSTANCES:
            unknown.append(path[0])
            continue
        returns.add(path)
        returns |= {
            (*path[:n], privates.creator_tag(tag))
            for n, tag in enumerate(path)
            if privates.is_private(tag) and not privates.is_creator(tag)
        }
        if not privates.is_creator(path[-1]):
            vr = next((one.vr for one in added if one.path == names), "")
            details.append(Detail(path, names, at, vr))
    return Wanted(frozenset(returns), tuple(details), tuple(unknown), tuple(sentences))


def _names(path: Path, tree: Tree) -> Path | None:
    names: list[str] = []
    branch: str | Tree = tree
    for tag in path:
        inner: Tree = {} if isinstance(branch, str) else branch
        name = tag if privates.is_creator(tag) else _name(tag, inner)
        if name is None:
            return None
        names.append(name)
        branch = inner.get(tag, ("SQ", {}))[1]
    return tuple(names)


def _level(names: Path, asked: Level, added: Sequence[Searchable]) -> Level | None:
    """Say at which level an attribute is read; None when that is below the one asked for."""
    said = next((one.level for one in added if one.path[0] == names[0]), None)
    if said is None:
        said = asked if ":" in names[0] or privates.is_private(names[0]) else level_of(names[0])
    if ":" not in names[0] and not privates.is_private(names[0]) and vr_of(names[0]) is None:
        return None
    return said if is_at_or_above(said, asked) else None
