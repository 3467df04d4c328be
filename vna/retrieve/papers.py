"""What is printed for a disc: a label with whose and what it is, a letter that says how to use it.

IHE PDI wants on the label whose images these are, when they were made, where, and what sort.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vna.texts import ENGLISH, Texts, marked

if TYPE_CHECKING:
    from fpdf import FPDF

_LABEL_MM = 120
_HEADING = marked("Medical images · disc %(number)s")
_MADE = marked("DICOM · made %(date)s")
_CUT = marked("Label: cut out along the circle, or copy onto the disc with a soft pen.")
_LETTER_HEADING = marked("Your medical images")
_FACTS = marked("Disc %(number)s, %(objects)s, made %(date)s")
_BARE = {"Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "Œ": "OE", "œ": "oe"}
_LETTER = (
    marked(
        "This disc or stick holds medical images. Every computer can read it; no program has to be "
        "installed, and there is none on it."
    ),
    marked(
        "To look at the pictures, open the file INDEX.HTM in a web browser. They are for looking "
        "at, not for diagnosis."
    ),
    marked(
        "To give the images to a doctor, hand over the whole disc. In the folder DICOM they have "
        "the images as the machine made them, and DICOMDIR lists them for every program for "
        "medical images."
    ),
    marked(
        "What is on the disc is not sealed: whoever holds it can read it. Keep it safe, and send "
        "it by registered post only."
    ),
    marked(
        "If it does not open, tell us the number of the disc: we make another one, or send a link "
        "that opens on any telephone or computer."
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What stands on the papers of one disc."""

    number: int
    patient: str
    birth_date: str
    patient_id: str
    study: str
    study_date: str
    institution: str
    modalities: str
    objects: int
    made_on: str
    language: str = ENGLISH


def papers(of: Printed) -> bytes:
    """Write label and letter as a PDF of two pages."""
    from fpdf import FPDF  # a library of its own size, for the one process that prints

    pdf = FPDF(format="A4")
    texts = Texts(of.language)
    pdf.set_title(_latin(texts.gettext("Disc %(number)s") % {"number": of.number}))
    pdf.set_lang(texts.language)
    pdf.set_auto_page_break(auto=False)
    _label(pdf, of, texts)
    _letter(pdf, of, texts)
    return bytes(pdf.output())


def _label(pdf: FPDF, of: Printed, texts: Texts) -> None:
    say = texts.gettext
    pdf.add_page()
    left, top = 45.0, 40.0
    pdf.set_line_width(0.2)
    pdf.ellipse(left, top, _LABEL_MM, _LABEL_MM)
    pdf.ellipse(left + 42, top + 42, 36, 36)  # the hole with its rim, which nothing is printed on
    _centred(pdf, top + 10, 13, say(_HEADING) % {"number": of.number}, bold=True)
    _centred(pdf, top + 18, 14, of.patient, bold=True, width=78)
    _centred(pdf, top + 26, 11, _joined(_born(of, texts), of.patient_id))
    _centred(pdf, top + 84, 11, _joined(of.study, of.study_date), width=92)
    _centred(pdf, top + 91, 11, of.institution, width=84)
    _centred(pdf, top + 98, 10, _joined(of.modalities, _counted(of.objects, texts)))
    _centred(pdf, top + 105, 9, say(_MADE) % {"date": of.made_on})
    _centred(pdf, 175, 11, say(_CUT), width=180)


def _letter(pdf: FPDF, of: Printed, texts: Texts) -> None:
    say = texts.gettext
    pdf.add_page()
    pdf.set_margins(25, 25, 25)
    pdf.set_xy(25, 30)
    pdf.set_font("helvetica", "B", 18)
    pdf.multi_cell(160, 9, _latin(say(_LETTER_HEADING)), new_x="LMARGIN", new_y="NEXT")
    pdf.ln(3)
    pdf.set_font("helvetica", "B", 14)
    facts = (
        _joined(of.patient, _born(of, texts)),
        _joined(of.study, of.study_date, of.institution),
        say(_FACTS)
        % {"number": of.number, "objects": _counted(of.objects, texts), "date": of.made_on},
    )
    for fact in facts:
        pdf.multi_cell(160, 7, _latin(fact), new_x="LMARGIN", new_y="NEXT")
    pdf.ln(5)
    pdf.set_font("helvetica", "", 14)
    for paragraph in _LETTER:
        pdf.multi_cell(160, 7, _latin(say(paragraph)), new_x="LMARGIN", new_y="NEXT")
        pdf.ln(3)


def _centred(
    pdf: FPDF, at: float, size: float, text: str, *, bold: bool = False, width: float = 100
) -> None:
    """Write one line in the middle of the page, smaller when it would be too wide."""
    shown = _latin(text)
    pdf.set_font("helvetica", "B" if bold else "", size)
    while size > 6 and pdf.get_string_width(shown) > width:
        size -= 0.5
        pdf.set_font("helvetica", "B" if bold else "", size)
    pdf.set_xy(0, at)
    pdf.cell(210, 6, shown, align="C")


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _born(of: Printed, texts: Texts) -> str:
    return texts.gettext("born %(date)s") % {"date": of.birth_date} if of.birth_date else ""


def _counted(objects: int, texts: Texts) -> str:
    return texts.ngettext("%(num)s object", "%(num)s objects", objects) % {"num": objects}


def _latin(text: str) -> str:
    """Write a text in what the fonts every reader has can show; marks go before letters do."""
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char in _BARE:
        return _BARE[char]
    bare = unicodedata.normalize("NFKD", char)[0] if ord(char) > 255 else char
    return bare if ord(bare) <= 255 else "?"
