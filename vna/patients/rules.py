"""The matching rules: pure functions of what is said of two patients.

    R1   same issuer and id, nothing clashes                     the same identity
    R2   same issuer and id, birth date, name or sex clash       a shadow, to be looked at
    R3   a number that identifies, birth date and sex agree      linked; can be undone
    R4   the same number, and birth date or sex do not           to be looked at first
    R5   name, birth date and sex are equal                      somebody decides
    R6   name and birth date are equal                           the same, less likely
    R7   the name alone                                          nothing
    R8   same family name, birth date, address; other given name twins: apart
    R9   a study made after the patient died                     an alert
    R10  said by the patient alone                               nothing, until staff confirm

A birth date that is not known clashes with none and equals none.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass

from vna.patients.demographics import Demographics
from vna.patients.resemblance import is_alike, is_same, is_sibling


class Rule(enum.Enum):
    """Which rule said it."""

    R1 = "R1"
    R2 = "R2"
    R3 = "R3"
    R4 = "R4"
    R5 = "R5"
    R6 = "R6"
    R8 = "R8"
    STAFF = "staff"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of two identities: linked, apart, or open for somebody to decide."""

    rule: Rule
    state: str
    priority: int


_LINKED = Finding(Rule.R3, "linked", 5)
_COLLISION = Finding(Rule.R2, "open", 4)
_CONTRADICTED = Finding(Rule.R4, "open", 3)
_LIKELY = Finding(Rule.R5, "open", 2)
_POSSIBLE = Finding(Rule.R6, "open", 1)
_TWINS = Finding(Rule.R8, "apart", 0)


def of_one_id(held: Demographics, said: Demographics) -> Rule:
    """Judge what is said under an id an issuer has given before: R1 or R2."""
    clashes = (
        _differ(held.born, said.born),
        is_alike(held.folded, said.folded) is False,
        _contradict(held.sex, said.sex),
    )
    return Rule.R2 if any(clashes) else Rule.R1


def of_two_ids(one: Demographics, other: Demographics, *, by_patient: bool) -> Finding | None:
    """Judge two identities of different ids. `by_patient`: one is said by the patient alone."""
    if by_patient:
        return None
    if one.numbers & other.numbers:
        agree = one.born is not None and one.born == other.born
        return _LINKED if agree and one.sex == other.sex != "" else _CONTRADICTED
    if one.born is None or one.born != other.born:
        return None
    if is_same(one.folded, other.folded) and not _contradict(one.sex, other.sex):
        return _LIKELY if one.sex == other.sex != "" else _POSSIBLE
    is_one_address = one.address is not None and one.address == other.address
    return _TWINS if is_one_address and is_sibling(one.folded, other.folded) else None


def collision() -> Finding:
    """Say what a shadow and the identities it shares its id with are: open, most urgent."""
    return _COLLISION


def is_after_death(died: dt.date | None, study_date: dt.date | None) -> bool:
    """Tell whether a study was made after its patient died (R9)."""
    return died is not None and study_date is not None and study_date > died


def evidence(one: Demographics, other: Demographics) -> dict[str, str]:
    """Say what agrees and what does not, without any of the values."""
    alike = is_alike(one.folded, other.folded)
    return {
        "name": "equal"
        if is_same(one.folded, other.folded)
        else {True: "alike", False: "differs", None: "unknown"}[alike],
        "birth date": _told(one.born, other.born),
        "sex": _told(one.sex or None, other.sex or None),
        "number": "equal" if one.numbers & other.numbers else "none",
        "address": _told(one.address, other.address),
    }


def _differ(one: dt.date | None, other: dt.date | None) -> bool:
    return one is not None and other is not None and one != other


def _contradict(one: str, other: str) -> bool:
    return {one, other} == {"M", "F"}


def _told(one: object, other: object) -> str:
    if one is None or other is None:
        return "unknown"
    return "equal" if one == other else "differs"
