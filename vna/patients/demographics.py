"""What is said of a patient, in the form in which it is compared."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vna.dicom.moments import read_date
from vna.dicom.text import fold_name
from vna.patients.numbers import is_number

PLACEHOLDERS = frozenset(
    (dt.date(1900, 1, 1), dt.date(1901, 1, 1), dt.date(1800, 1, 1), dt.date(1111, 11, 11))
)
"""Birth dates forms are filled in with when nobody knows: they match nothing."""

_NAME, _ID, _BIRTH, _SEX = "00100010", "00100020", "00100030", "00100040"
_OTHER_IDS, _ISSUER = "00101002", "00100021"
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_NOT_LETTERS = re.compile(r"[\W_]+")
_NUMBERS_MOST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Demographics:
    """What one source says of a patient. None and "" are not known.

    `numbers` are ISSUER:NUMBER of ids that identify across issuers, each found to be one.
    `address` is a hash. Never in a log.
    """

    name: str = field(default="", repr=False)  # as a PN is written
    birth_date: dt.date | None = field(default=None, repr=False)
    sex: str = field(default="", repr=False)
    numbers: frozenset[str] = field(default=frozenset(), repr=False)
    address: bytes | None = field(default=None, repr=False)

    @property
    def folded(self) -> str:
        """The name as it is compared."""
        return fold_name(self.name)

    @property
    def family(self) -> str:
        """The family name of its first group, letters alone; "" when there is none."""
        return letters(self.folded.split("=")[0].split("^")[0])

    @property
    def born(self) -> dt.date | None:
        """Give the birth date, if it is one and no placeholder."""
        return None if self.birth_date in PLACEHOLDERS else self.birth_date


def letters(text: str) -> str:
    """Keep the letters and digits of folded text: hyphens, spaces and points say nothing."""
    return _NOT_LETTERS.sub("", text)


def of_elements(elements: Mapping[str, Any], numbers: Mapping[str, str]) -> Demographics:
    """Read what a study says of its patient from DICOM JSON.

    `numbers` are the issuers whose ids identify across issuers, each with the check its ids have.
    """
    return Demographics(
        name=_name(elements.get(_NAME)),
        birth_date=read_date(_text(elements.get(_BIRTH))),
        sex=_sex(_text(elements.get(_SEX))),
        numbers=frozenset(_numbers(elements, numbers)),
    )


def identity_id(issuer: str, patient_id: str, said: Demographics) -> bytes:
    """Name an identity by what it was made of, so that a rebuild names it the same."""
    born = said.born.isoformat() if said.born else ""
    text = "\0".join(("identity", issuer, patient_id, said.folded, born, said.sex))
    return hashlib.sha256(text.encode()).digest()[:16]


def _numbers(elements: Mapping[str, Any], checks: Mapping[str, str]) -> list[str]:
    found = []
    items = [elements, *((elements.get(_OTHER_IDS) or {}).get("Value") or ())]
    for item in items[:_NUMBERS_MOST]:
        if not isinstance(item, Mapping):
            continue  # what a sender wrote there is no sequence
        issuer, number = _text(item.get(_ISSUER)), _text(item.get(_ID))
        plain = re.sub(r"[ -]", "", number)
        if issuer in checks and is_number(checks[issuer], plain):
            found.append(f"{issuer}:{plain}")
    return found


def _name(element: Any) -> str:  # an element of DICOM JSON, or None
    values = (element or {}).get("Value") or [None]
    if not isinstance(values[0], dict):
        return ""
    return "=".join(str(values[0].get(group, "")) for group in _GROUPS).rstrip("=")


def _text(element: Any) -> str:  # an element of DICOM JSON, or None
    values = (element or {}).get("Value") or [""]
    return str(values[0] or "").strip()


def _sex(text: str) -> str:
    return text if text in ("M", "F", "O") else ""
