"""Whether what the desk compared is what was found (sharing: two facts, typed, never ticked)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vna.dicom.text import fold
from vna.errors import Conflict, InvalidRequest
from vna.imports.values import Confirmation, Person
from vna.texts import marked

LEAST_REASON = 8


class _Told(NamedTuple):
    """What is said where something is not written, is not the one, or cannot be compared."""

    missing: str
    differs: str
    unknown: str


_FAMILY = _Told(
    marked("Write the family name as the patient says it."),
    marked(
        "The family name is not the one in the images. Look again; if this is another person's "
        "disc, reject it."
    ),
    marked("The images hold no family name to compare: write how you know whose they are."),
)
_BORN = _Told(
    marked("Write the date of birth as the patient says it."),
    marked(
        "The date of birth is not the one in the images. Look again; if this is another person's "
        "disc, reject it."
    ),
    marked("The images hold no date of birth to compare: write how you know whose they are."),
)


def check(found: Sequence[Person], said: Confirmation) -> list[str]:
    """Give the Study Instance UIDs to be filed.

    Raises `InvalidRequest` when something is missing, `Conflict` when what was said is not found.
    """
    chosen = [person for person in found if person.key in said.persons]
    if not chosen or len(chosen) != len(said.persons):
        raise InvalidRequest(marked("Choose whose images these are."))
    studies = {study.uid for person in chosen for study in person.studies}
    if not said.studies:
        raise InvalidRequest(marked("Choose at least one study."))
    if not said.studies <= studies:
        raise Conflict(marked("A study that was chosen belongs to another person."))
    has_reason = len(said.reason.strip()) >= LEAST_REASON
    if len(chosen) > 1 and not has_reason:
        raise Conflict(
            marked(
                "More than one person was found. Choose one of them; if they are one and the same, "
                "write how you know."
            )
        )
    family = [_family(person.name) for person in chosen]
    _compare(_FAMILY, said.family_name, family, has_reason)
    _compare(_BORN, _day(said.birth_date), [p.birth_date for p in chosen], has_reason)
    return sorted(said.studies)


def _compare(told: _Told, said: str, found: Sequence[str], has_reason: bool) -> None:
    """Make sure that one of those chosen is who was said."""
    known = [fold(one) for one in found if one]
    if known and fold(said) not in known:
        if not said:
            raise InvalidRequest(told.missing)
        raise Conflict(told.differs)
    if not known and not has_reason:
        raise InvalidRequest(told.unknown)


def _family(name: str) -> str:
    return name.partition("^")[0].strip()


def _day(text: str) -> str:
    return text.strip().replace("-", "").replace(".", "")
