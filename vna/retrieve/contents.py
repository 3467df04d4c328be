"""What stands on a disc beside its DICOM files: pages for a browser, a README, a list of SHA-256.

As IHE PDI has it: INDEX.HTM and README.TXT at the top, pages and pictures below IHE_PDI, nothing
that starts by itself and no program. Everything of a patient is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from vna.dicom.attributes import tag_of

WEB = "IHE_PDI"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 1rem auto; max-width: 60rem; padding: 0 1rem; font: 1rem/1.5 sans-serif; }}
body {{ color: #16202a; background: #fff; }}
a {{ color: #0b57a4; }} .note {{ background: #fff3cd; color: #5c4300; padding: .5rem .75rem; }}
.who {{ background: #f2f5f8; padding: .5rem .75rem; }}
img {{ max-width: 100%; height: auto; background: #000; }}
figure {{ margin: 1rem 0; }} figcaption {{ color: #4a5866; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
_LOSSY = "These pictures are for looking at, not for diagnosis. The full images are in DICOM."

_README = """MEDICAL IMAGES ON THIS DISC

To look at the pictures: open INDEX.HTM in any web browser.
To give the images to a doctor: hand over the whole disc. Programs for
medical images find everything through the file DICOMDIR; the images
themselves are in the folder DICOM.

There is no program on this disc, and nothing starts by itself.

{count}

To check that nothing is damaged: SHA256.TXT holds the SHA-256 of every
other file, in the form that "sha256sum -c SHA256.TXT" takes.
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What can be looked at of one instance: a picture or a document on the disc, or nothing."""

    path: str | None
    caption: str


@dataclass(slots=True)
class SeriesPage:
    """One series on its way to a page."""

    path: str
    title: str
    instances: int = 0
    shown: list[Shown] = field(default_factory=list)


@dataclass(slots=True)
class StudyPart:
    """One study on its way to the first page."""

    patient: str
    title: str
    series: list[SeriesPage] = field(default_factory=list)


def value(members: Mapping[str, Any], keyword: str) -> str:
    """Read the first value of an attribute of DICOM JSON as text; names without their carets."""
    found = (members.get(tag_of(keyword) or "", {}).get("Value") or [""])[0]
    if isinstance(found, dict):
        found = found.get("Alphabetic") or found.get("Ideographic") or ""
        return ", ".join(part.replace("^", " ").strip() for part in str(found).split("^", 1))
    text = str(found)
    is_date = keyword.endswith("Date") and len(text) == 8 and text.isdigit()
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if is_date else text


def patient_of(members: Mapping[str, Any]) -> str:
    """Say whose an instance is, on one line."""
    born, number = value(members, "PatientBirthDate"), value(members, "PatientID")
    parts = [value(members, "PatientName") or "No name"]
    parts += [f"born {born}"] if born else []
    parts += [f"ID {number}"] if number else []
    return ", ".join(parts)


def study_of(members: Mapping[str, Any]) -> str:
    """Say what was examined and when."""
    named = value(members, "StudyDescription") or value(members, "Modality") or "Examination"
    parts = [named, value(members, "StudyDate"), value(members, "InstitutionName")]
    return ", ".join(part for part in parts if part)


def series_of(members: Mapping[str, Any]) -> str:
    """Say what a series is."""
    parts = [value(members, "Modality"), value(members, "SeriesDescription")]
    return " ".join(part for part in parts if part) or "Series"


def index(studies: Sequence[StudyPart]) -> bytes:
    """Write INDEX.HTM: the studies, each series with a way to its page."""
    body = ["<h1>Medical images</h1>", f'<p class="note">{_LOSSY}</p>']
    for study in studies:
        body += [f'<p class="who">{escape(study.patient)}</p>', f"<h2>{escape(study.title)}</h2>"]
        body.append("<ul>")
        for series in study.series:
            told = f"{escape(series.title)}</a>, {_counted(series.instances)}"
            body.append(f'<li><a href="{series.path}">{told}</li>')
        body.append("</ul>")
    body.append('<p>The images in DICOM are in the folder DICOM; see <a href="README.TXT">README')
    body.append("</a>.</p>")
    return _PAGE.format(title="Medical images", body="\n".join(body)).encode()


def series_page(study: StudyPart, series: SeriesPage) -> bytes:
    """Write the page of a series; it stands two folders below the top."""
    up = "../" * series.path.count("/")
    body = [f'<p><a href="{up}INDEX.HTM">All series</a></p>']
    body.append(f'<p class="who">{escape(study.patient)}</p>')
    body += [f"<h1>{escape(series.title)}</h1>", f"<p>{escape(study.title)}</p>"]
    shown = [one for one in series.shown if one.path is not None]
    body.append(f'<p class="note">{_LOSSY} {len(shown)} of {_counted(series.instances)} here.</p>')
    body += [_figure(one, up) for one in shown]
    return _PAGE.format(title=escape(series.title), body="\n".join(body)).encode()


def _figure(one: Shown, up: str) -> str:
    caption = escape(one.caption)
    if one.path is not None and one.path.endswith(".JPG"):
        picture = f'<img src="{up}{one.path}" alt="{caption}" loading="lazy">'
        return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"
    return f'<p><a href="{up}{one.path}">{caption}</a></p>'


def readme(studies: Sequence[StudyPart], instances: int) -> bytes:
    """Write README.TXT, in plain ASCII and with the line ends every system knows."""
    series = sum(len(study.series) for study in studies)
    count = f"On it: {len(studies)} examination(s), {series} series, {_counted(instances)}."
    return _README.format(count=count).replace("\n", "\r\n").encode("ascii")


def sums(digests: Iterable[tuple[str, bytes]]) -> bytes:
    """Write SHA256.TXT in the form `sha256sum -c` takes."""
    return "".join(f"{digest.hex()}  {path}\n" for path, digest in digests).encode("ascii")


def _counted(instances: int) -> str:
    return f"{instances} object{'' if instances == 1 else 's'}"
