"""What is handed over or sent by post: a sheet with the link, and another one with the passcode.

Never both on one sheet, and nothing of a patient on either: whoever finds one finds no name. Large
print (16 pt and more), the link as a QR code of 6 cm, the code to be typed in letters of 28 pt.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from vna.config import Site
from vna.delivery.letters import told_way
from vna.texts import ENGLISH, Texts, marked

if TYPE_CHECKING:
    from fpdf import FPDF

_MARGIN: Final = 22.0  # millimetres, as all lengths here
_WIDE: Final = 210.0 - 2 * _MARGIN
_QR: Final = 60.0
_QUIET: Final = 4  # modules around a QR code (ISO/IEC 18004 6.3.8)
_ENCODING: Final = "cp1252"  # what the fonts that every reader of PDF has can show
_BARE: Final = str.maketrans({"ł": "l", "Ł": "L", "đ": "d", "Đ": "D"})

_HEADING = marked("Medical images for you")
_CAMERA = marked("With a telephone: point its camera at this picture.")
_TYPED = marked("Or type this address into a browser:")
_CODE = marked("Then type this code:")
_WAY = marked("You will need one more code. It is sent to %(way)s.")
_PASSCODE = marked("You will need a passcode, too. It is on a sheet of its own.")
_UNTIL = marked("The images can be opened until %(until)s.")
_STEPS = marked("Step by step, with pictures: %(address)s")
_KEEP = marked("Keep this sheet to yourself, and destroy it when you need it no more.")
_QUESTIONS = marked("Questions? %(help)s")
_NUMBER = marked("Reference: %(number)s")
_PASSCODE_HEADING = marked("Your passcode")
_PASSCODE_FOR = marked("It opens the medical images under the reference %(number)s.")
_APART = marked("Keep it apart from the sheet with the link: together they open everything.")


_ACCOUNT_HEADING = marked("Your own account for your medical images")
_ACCOUNT_BORN = marked("You will be asked for your date of birth, too.")
_CARER_HEADING = marked("Your account, to act for somebody")
_CARER_BORN = marked("You will be asked for the date of birth of whom you act for, too.")
_ACCOUNT_NAME = marked("Your name for signing in from then on:")
_ACCOUNT_UNTIL = marked("The code is good once, until %(until)s.")
_ACCOUNT_CHOOSE = marked(
    "You choose how you sign in. Have your telephone at hand; it takes two minutes."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSheet:
    """What stands on the sheet with the code for an account of one's own."""

    code: str = field(repr=False)
    typed_at: str
    login: str
    until: dt.date
    language: str = ENGLISH
    is_of_carer: bool = False  # its holder acts for somebody, whose birth date is typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What stands on the sheet with the link.

    `typed_at` is the address where `code` is typed; `way` is where one more code is sent, masked,
    or empty.
    """

    link: str = field(repr=False)
    typed_at: str
    code: str | None = field(repr=False)
    number: str
    until: dt.date
    way: str = ""
    has_passcode: bool = False
    language: str = ENGLISH


def link_sheet(sheet: Sheet, site: Site) -> bytes:
    """Write the sheet with the link as a PDF of one page."""
    texts = Texts(sheet.language)
    say = texts.gettext
    pdf = _page(say(_HEADING), site, texts)
    _line(pdf, say(_CAMERA), 16)
    _qr(pdf, sheet.link)
    if sheet.code is not None:
        _line(pdf, say(_TYPED), 16)
        _line(pdf, sheet.typed_at.removeprefix("https://"), 18, bold=True)
        _line(pdf, say(_CODE), 16)
        _line(pdf, sheet.code, 28, bold=True, fixed=True)
    if sheet.way:
        _line(pdf, say(_WAY) % {"way": told_way(sheet.way, texts)}, 16)
    if sheet.has_passcode:
        _line(pdf, say(_PASSCODE), 16)
    _line(pdf, say(_UNTIL) % {"until": texts.date(sheet.until)}, 16)
    _line(pdf, say(_KEEP), 16)
    address = f"{sheet.typed_at.removeprefix('https://')}/help"
    _line(pdf, say(_STEPS) % {"address": address}, 14)
    _ending(pdf, texts, site, sheet.number)
    return bytes(pdf.output())


def passcode_sheet(passcode: str, *, number: str, language: str, site: Site) -> bytes:
    """Write the sheet with the passcode as a PDF of one page."""
    texts = Texts(language)
    pdf = _page(texts.gettext(_PASSCODE_HEADING), site, texts)
    _line(pdf, passcode, 28, bold=True, fixed=True)
    _line(pdf, texts.gettext(_PASSCODE_FOR) % {"number": number}, 16)
    _line(pdf, texts.gettext(_APART), 16)
    _ending(pdf, texts, site, number)
    return bytes(pdf.output())


def code_sheet(sheet: CodeSheet, site: Site) -> bytes:
    """Write the sheet with the code for an account as a PDF of one page; it names nobody."""
    texts = Texts(sheet.language)
    say = texts.gettext
    heading = _CARER_HEADING if sheet.is_of_carer else _ACCOUNT_HEADING
    pdf = _page(say(heading), site, texts)
    _line(pdf, say(_CAMERA), 16)
    _qr(pdf, f"{sheet.typed_at}#{sheet.code}")
    _line(pdf, say(_TYPED), 16)
    _line(pdf, sheet.typed_at.removeprefix("https://"), 18, bold=True)
    _line(pdf, say(_CODE), 16)
    _line(pdf, sheet.code, 28, bold=True, fixed=True)
    _line(pdf, say(_CARER_BORN if sheet.is_of_carer else _ACCOUNT_BORN), 16)
    _line(pdf, say(_ACCOUNT_CHOOSE), 16)
    _line(pdf, say(_ACCOUNT_NAME), 16)
    _line(pdf, sheet.login, 18, bold=True, fixed=True)
    _line(pdf, say(_ACCOUNT_UNTIL) % {"until": texts.date(sheet.until)}, 16)
    if site.help:
        _line(pdf, texts.gettext(_QUESTIONS) % {"help": site.help}, 16)
    return bytes(pdf.output())


def _page(heading: str, site: Site, texts: Texts) -> FPDF:
    from fpdf import FPDF  # a library of its own size, for the process that prints

    pdf = FPDF(format="A4")
    pdf.core_fonts_encoding = _ENCODING
    pdf.set_lang(texts.language)
    pdf.set_title(_shown(heading))
    pdf.set_auto_page_break(auto=False)
    pdf.set_margins(_MARGIN, _MARGIN, _MARGIN)
    pdf.add_page()
    _line(pdf, site.name, 16)
    _line(pdf, heading, 26, bold=True)
    return pdf


def _line(pdf: FPDF, text: str, size: float, *, bold: bool = False, fixed: bool = False) -> None:
    """Write a paragraph; what is to be typed stands on one line, smaller if it must be."""
    shown = _shown(text)
    pdf.set_font("courier" if fixed else "helvetica", "B" if bold else "", size)
    while fixed and pdf.get_string_width(shown) > _WIDE and size > 14:
        size -= 1
        pdf.set_font_size(size)
    pdf.multi_cell(_WIDE, size * 0.45, shown, new_x="LMARGIN", new_y="NEXT", align="L")
    pdf.ln(size * 0.16)


def _qr(pdf: FPDF, link: str) -> None:
    """Draw the link as squares: sharp at any size, and no picture to be embedded."""
    import segno

    rows = segno.make(link, error="m", micro=False).matrix
    module = _QR / (len(rows) + 2 * _QUIET)
    left, top = _MARGIN + module * _QUIET - 3, pdf.get_y() + module * _QUIET
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            end = x
            while end < len(row) and row[end]:
                end += 1
            if end > x:
                pdf.rect(left + x * module, top + y * module, (end - x) * module, module, "F")
            x = end + 1
    pdf.set_y(pdf.get_y() + _QR)


def _ending(pdf: FPDF, texts: Texts, site: Site, number: str) -> None:
    pdf.ln(2)
    pdf.line(_MARGIN, pdf.get_y(), _MARGIN + _WIDE, pdf.get_y())
    pdf.ln(4)
    if site.help:
        _line(pdf, texts.gettext(_QUESTIONS) % {"help": site.help}, 16)
    _line(pdf, texts.gettext(_NUMBER) % {"number": number}, 16)


def _shown(text: str) -> str:
    """Write a text in the letters there are: without its marks before it is a question mark."""
    return "".join(_letter(char) for char in text)


def _letter(char: str) -> str:
    for tried in (char, char.translate(_BARE), unicodedata.normalize("NFKD", char)[0]):
        try:
            tried.encode(_ENCODING)
        except UnicodeEncodeError:
            continue
        return tried
    return "?"
