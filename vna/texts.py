"""What people read, in their language: catalogues of gettext, and how dates are written.

`vna/locale/<language>/*.po`, read at first use; several files of a language are one catalogue, so
that each room keeps its own. English is written in the code and needs no file. A language is there
when it has a folder.
"""

from __future__ import annotations

import datetime as dt
import functools
import gettext
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from babel.numbers import format_decimal

from vna.errors import ConfigError

ENGLISH: Final = "en"

_HERE = Path(__file__).parent / "locale"
_MOST_HEADER = 512  # of Accept-Language that is looked at
_MOST_ASKED = 16
_UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"))


def marked(text: str) -> str:
    """Mark a text that is translated later, where its language is known."""
    return text


class Filled(str):
    """A text whose places are filled, and that can still be said in another language."""

    pattern: str
    values: Mapping[str, object]


def filled(text: str, **values: object) -> str:
    """Fill the places of a text, as in `%(most)s`, so that `Texts.said` finds its translation."""
    made = Filled(text % values)
    made.pattern, made.values = text, values
    return made


class Texts:
    """The texts of one language. Cheap to make; an unknown language is English."""

    __slots__ = ("_found", "_locale", "language")

    def __init__(self, language: str = ENGLISH) -> None:
        self.language = language if language in languages() else ENGLISH
        self._found = _catalogue(self.language)
        self._locale = Locale.parse(self.language, sep="-")

    @property
    def direction(self) -> str:
        """Which way it is written: "ltr" or "rtl", as the attribute `dir` of HTML says it."""
        return str(self._locale.text_direction)

    @property
    def name(self) -> str:
        """What its speakers call the language."""
        return str(self._locale.get_display_name() or self.language)

    def gettext(self, text: str) -> str:
        """Translate a text."""
        return self._found.gettext(text)

    def said(self, exc: Exception) -> str:
        """Translate what an error says, as far as it is among the texts."""
        text = exc.args[0] if exc.args else None
        if isinstance(text, Filled):
            return self.gettext(text.pattern) % text.values
        return self.gettext(str(exc))

    def ngettext(self, one: str, many: str, count: int) -> str:
        """Translate a text in the form that fits a count."""
        return self._found.ngettext(one, many, count)

    def date(self, when: dt.date) -> str:
        """Write a day in full: 20 December 2026."""
        return format_date(when, "long", locale=self._locale)

    def moment(self, when: dt.datetime, zone: str = "UTC") -> str:
        """Write a moment with its zone, as somebody elsewhere must read it."""
        return format_datetime(when, "long", ZoneInfo(zone), locale=self._locale)

    def clock(self, when: dt.datetime, zone: str = "UTC") -> str:
        """Write a time of this day with its zone: 14:30 CET."""
        return format_time(when, "HH:mm z", ZoneInfo(zone), locale=self._locale)

    def size(self, size_bytes: int) -> str:
        """Write how large something is with two digits that count: 1.0 MB, 1,0 MB."""
        unit, name = next(((u, n) for u, n in _UNITS if size_bytes >= u), (1, "B"))
        count = size_bytes / unit
        digits = "0.0" if count < 10 and unit > 1 else "0"
        return f"{format_decimal(count, digits, locale=self._locale)} {name}"

    def duration(self, seconds: float) -> str:
        """Write how long something takes or lasts, roughly."""
        return format_timedelta(dt.timedelta(seconds=seconds), threshold=1.2, locale=self._locale)


@functools.cache
def languages() -> tuple[str, ...]:
    """Say which languages there are, English first."""
    found = sorted(path.name for path in _HERE.iterdir() if any(path.glob("*.po")))
    return (ENGLISH, *(one for one in found if one != ENGLISH))


def chosen(asked: str | None, *, default: str = ENGLISH) -> str:
    """Choose a language by an Accept-Language field (RFC 9110 12.5.4); else the default."""
    wanted: list[tuple[float, int, str]] = []
    for at, part in enumerate((asked or "")[:_MOST_HEADER].split(",")[:_MOST_ASKED]):
        name, _, parameter = part.partition(";")
        quality = _quality(parameter)
        if quality > 0:
            wanted.append((-quality, at, name.strip().lower()))
    for _, _, name in sorted(wanted):
        for known in (name, name.partition("-")[0]):
            if known in languages():
                return known
    return default if default in languages() else ENGLISH


def _quality(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip().lower() != "q":
        return 1.0
    value = value.strip()
    is_number = value.replace(".", "", 1).isdigit() and value.isascii()
    return min(float(value), 1.0) if is_number else 0.0


@functools.cache
def _catalogue(language: str) -> gettext.NullTranslations:
    whole: gettext.NullTranslations | None = None
    for path in sorted((_HERE / language).glob("*.po")):
        try:
            with path.open("rb") as file:
                read = read_po(file, locale=Locale.parse(language, sep="-"), abort_invalid=True)
        except (OSError, PoFileError, UnknownLocaleError, ValueError) as exc:
            raise ConfigError(f"The texts {path.name} of {language} cannot be read.") from exc
        compiled = io.BytesIO()
        write_mo(compiled, read)
        compiled.seek(0)
        found = gettext.GNUTranslations(compiled)
        if whole is None:
            whole = found
        else:
            whole.add_fallback(found)
    return whole or gettext.NullTranslations()
