"""Whether what the desk compared is what was found (sharing: two facts, typed, never ticked)."""

from __future__ import annotations

from collections.abc import Sequence

from vna.dicom.text import fold
from vna.errors import Conflict, InvalidRequest
from vna.imports.values import Confirmation, Person

LEAST_REASON = 8


def check(found: Sequence[Person], said: Confirmation) -> list[str]:
    """Give the Study Instance UIDs to be filed.

    Raises `InvalidRequest` when something is missing, `Conflict` when what was said is not found.
    """
    chosen = [person for person in found if person.key in said.persons]
    if not chosen or len(chosen) != len(said.persons):
        raise InvalidRequest("Choose whose images these are.")
    studies = {study.uid for person in chosen for study in person.studies}
    if not said.studies:
        raise InvalidRequest("Choose at least one study.")
    if not said.studies <= studies:
        raise Conflict("A study that was chosen belongs to another person.")
    has_reason = len(said.reason.strip()) >= LEAST_REASON
    if len(chosen) > 1 and not has_reason:
        raise Conflict(
            "More than one person was found. Choose one of them; if they are one and the same, "
            "write how you know."
        )
    _compare(
        "family name", said.family_name, [_family(person.name) for person in chosen], has_reason
    )
    _compare("date of birth", _day(said.birth_date), [p.birth_date for p in chosen], has_reason)
    return sorted(said.studies)


def _compare(what: str, said: str, found: Sequence[str], has_reason: bool) -> None:
    """Make sure that one of those chosen is who was said."""
    known = [fold(one) for one in found if one]
    if known and fold(said) not in known:
        if not said:
            raise InvalidRequest(f"Write the {what} as the patient says it.")
        raise Conflict(
            f"The {what} is not the one in the images. Look again; if this is another person's "
            "disc, reject it."
        )
    if not known and not has_reason:
        raise InvalidRequest(
            f"The images hold no {what} to compare: write how you know whose they are."
        )


def _family(name: str) -> str:
    return name.partition("^")[0].strip()


def _day(text: str) -> str:
    return text.strip().replace("-", "").replace(".", "")
