"""Whether two names can be one person's: folded, without marks, swapped, married."""

from __future__ import annotations

import re

from vna.patients.demographics import letters

ALIKE = 0.85
_PARTS = re.compile(r"[\s\-']+")
_PART_LEAST = 3


def jaro_winkler(one: str, other: str) -> float:
    """Measure how alike two words are, from 0 to 1 (Winkler 1990, prefix of 4, scale 0.1)."""
    jaro = _jaro(one, other)
    prefix = 0
    for a, b in zip(one[:4], other[:4], strict=False):
        if a != b:
            break
        prefix += 1
    return jaro + prefix * 0.1 * (1 - jaro)


def is_alike(one: str, other: str) -> bool | None:
    """Tell whether two folded names can be one person's; None where nothing can be compared.

    The family names are alike, or family and given name are swapped, or one part of a family name
    of several is the other's: married, or not. One group is enough: a name may be written in
    several scripts.
    """
    pairs = [(a, b) for a, b in zip(one.split("="), other.split("="), strict=False) if a and b]
    if not pairs:
        return None
    return any(_groups_alike(a, b) for a, b in pairs)


def is_same(one: str, other: str) -> bool:
    """Tell whether two folded names are equal in family and given name."""
    first, second = _parts(one.split("=", maxsplit=1)[0]), _parts(other.split("=", maxsplit=1)[0])
    return first == second and all(first)


def is_sibling(one: str, other: str) -> bool:
    """Tell whether two folded names have the same family name and other given names."""
    (family, given), (other_family, other_given) = (
        _parts(name.split("=")[0]) for name in (one, other)
    )
    return (
        bool(family and given and other_given) and family == other_family and given != other_given
    )


def _groups_alike(one: str, other: str) -> bool:
    (family, given), (other_family, other_given) = _parts(one), _parts(other)
    if jaro_winkler(family, other_family) >= ALIKE:
        return True
    if given and other_given and (family, given) == (other_given, other_family):
        return True
    return bool(_words(one) & _words(other))


def _words(group: str) -> set[str]:
    found = (letters(part) for part in _PARTS.split(group.split("^", maxsplit=1)[0]))
    return {part for part in found if len(part) >= _PART_LEAST}


def _parts(group: str) -> tuple[str, str]:
    family, _, rest = group.partition("^")
    return letters(family), letters(rest.partition("^")[0])


def _jaro(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if not one or not other:
        return 0.0
    reach = max(len(one), len(other)) // 2 - 1
    taken = [False] * len(other)
    matched: list[str] = []
    for n, character in enumerate(one):
        for m in range(max(0, n - reach), min(len(other), n + reach + 1)):
            if not taken[m] and other[m] == character:
                taken[m] = True
                matched.append(character)
                break
    if not matched:
        return 0.0
    theirs = [character for m, character in enumerate(other) if taken[m]]
    moved = sum(a != b for a, b in zip(matched, theirs, strict=True)) / 2
    count = len(matched)
    return (count / len(one) + count / len(other) + (count - moved) / count) / 3
