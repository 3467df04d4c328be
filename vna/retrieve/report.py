"""Structured reports as text: simple, accessible HTML with every value escaped, or plain lines.

PS3.3 C.17.3 is a tree of content items: what it is called, its value, and what belongs to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from vna.dicom.uids import sop_class_name
from vna.pixels.elements import item, items, text, values

CONTENT, _NAME, _MEANING = "0040A730", "0040A043", "00080104"
_CODE, _MEASURED, _UNITS, _NUMBER = "0040A168", "0040A300", "004008EA", "0040A30A"
_QUALIFIER = "0040A301"
_TYPE, TEXT, _RELATION = "0040A040", "0040A160", "0040A010"
_PLAIN = {
    "TEXT": TEXT,
    "DATE": "0040A121",
    "TIME": "0040A122",
    "DATETIME": "0040A120",
    "PNAME": "0040A123",
    "UIDREF": "0040A124",
}
_DEEPEST = 32
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_WRITTEN = {  # how a value of a VR is read, and how people write it (PS3.5 6.2)
    "DA": (re.compile(r"(\d{4})(\d\d)(\d\d)"), r"\1-\2-\3"),
    "TM": (re.compile(r"(\d\d)(\d\d)[\d.]*"), r"\1:\2"),
    "DT": (
        re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)[\d.]*([+-]\d{4})?"),
        r"\1-\2-\3 \4:\5 \6",
    ),
}
_HEAD = (
    ("Patient", "00100010"),
    ("Patient ID", "00100020"),
    ("Birth date", "00100030"),
    ("Sex", "00100040"),
    ("Study date", "00080020"),
    ("Accession number", "00080050"),
    ("Referring physician", "00080090"),
    ("Completion", "0040A491"),
    ("Verification", "0040A493"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One content item: how deep it stands, its name and its value as text."""

    depth: int
    name: str
    value: str


def lines(members: Mapping[str, Any], depth: int = 0) -> Iterator[Line]:
    """Walk the content tree in order."""
    if depth > _DEEPEST:
        return
    for content in items(members, CONTENT):
        yield Line(depth, text(item(content, _NAME), _MEANING), _value(content))
        yield from lines(content, depth + 1)


def _value(content: Mapping[str, Any]) -> str:
    kind = text(content, _TYPE)
    if kind in _PLAIN:
        return told(content, _PLAIN[kind])
    if kind == "CODE":
        return text(item(content, _CODE), _MEANING)
    if kind == "NUM":
        return _measurement(content)
    if kind in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        referenced = item(content, "00081199")
        uid = text(referenced, "00081155")
        return f"{sop_class_name(text(referenced, '00081150'))} {uid}" if uid else ""
    if kind in ("SCOORD", "SCOORD3D"):
        numbers = " ".join(str(number) for number in values(content, "00700022")[:60])
        return f"{text(content, '00700023')} {numbers}"
    return ""


def _measurement(content: Mapping[str, Any]) -> str:
    """Write a measurement, and what qualifies it or says why it has no value (PS3.3 C.18.1)."""
    measured = item(content, _MEASURED)
    units = item(measured, _UNITS)
    unit = text(units, _MEANING) or text(units, "00080100")
    said = f"{text(measured, _NUMBER)} {unit}".strip()
    qualifier = text(item(content, _QUALIFIER), _MEANING)
    return f"{said} ({qualifier})" if said and qualifier else said or qualifier


def told(members: Mapping[str, Any], tag: str) -> str:
    """Write the first value as people do: names without carets, days and times with their marks."""
    found = values(members, tag)
    if found and isinstance(found[0], dict):
        return _person(found[0])
    said = text(members, tag)
    form, written = _WRITTEN.get(str(members.get(tag, {}).get("vr")), (None, ""))
    known = form.fullmatch(said) if form else None
    return known.expand(written).strip() if known else said


def _person(groups: Mapping[str, Any]) -> str:
    name = next((str(groups[one]) for one in _GROUPS if groups.get(one)), "")
    family, _, others = name.partition("^")
    return ", ".join(filter(None, (family.strip(), " ".join(others.replace("^", " ").split()))))


def title_of(members: Mapping[str, Any]) -> str:
    """Name the report."""
    return text(item(members, _NAME), _MEANING) or sop_class_name(text(members, "00080016"))


def as_text(members: Mapping[str, Any]) -> str:
    """Write a report as plain lines."""
    out = [title_of(members), ""]
    out += [f"{label}: {said}" for label, said in _facts(members)]
    out.append("")
    for line in lines(members):
        colon = ": " if line.name and line.value else ""
        out.append(f"{'  ' * line.depth}{line.name}{colon}{line.value}")
    return "\n".join(out) + "\n"


def as_html(members: Mapping[str, Any]) -> str:
    """Write a report as one HTML page without scripts, styles of others or links."""
    title = escape(title_of(members))
    facts = "".join(f"<dt>{label}</dt><dd>{escape(said)}</dd>\n" for label, said in _facts(members))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f"<dl>\n{facts}</dl>\n{''.join(_listed(members, 0))}</main>\n</body>\n</html>\n"
    )


def _facts(members: Mapping[str, Any]) -> list[tuple[str, str]]:
    said = [(label, told(members, tag)) for label, tag in _HEAD]
    return [(label, value) for label, value in said if value]


def _listed(members: Mapping[str, Any], depth: int) -> Iterator[str]:
    contents = items(members, CONTENT)
    if not contents or depth > _DEEPEST:
        return
    yield "<ul>\n"
    for content in contents:
        name, value = text(item(content, _NAME), _MEANING), _value(content)
        shown = escape(value).replace("\r\n", "<br>").replace("\n", "<br>")
        colon = ": " if name and value else ""
        yield f"<li><strong>{escape(name)}</strong>{colon}{shown}\n"
        yield from _listed(content, depth + 1)
        yield "</li>\n"
    yield "</ul>\n"
