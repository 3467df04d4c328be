"""Every text that people read is there in every language, with the same places for values."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from vna import errors
from vna.texts import Texts, filled, languages

ROOT = Path(__file__).resolve().parents[2]
OTHERS = [language for language in languages() if language != "en"]
_METHODS = [("**.py", "python"), ("**.html", "jinja2")]
_KEYWORDS: dict[str, tuple[int, ...] | None] = {
    "marked": None,
    "filled": None,
    "gettext": None,
    "ngettext": (1, 2),
    "_": None,
}
_PLACE = re.compile(r"%\((\w+)\)s|%%")

# a template, taken apart: what Jinja does, what HTML says, and between them what people read
_DONE = re.compile(
    r"\{%\s*trans.*?endtrans\s*%\}|\{%\s*block body.*?endblock\s*%\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL
)
_SILENT = re.compile(r"<(code|pre|script|style)\b.*?</\1>", re.DOTALL)
_SHOWN = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_GIVEN = re.compile(r"\b(?:_|ngettext|gettext)\((?:\s*,?\s*(?:'[^']*'|\"[^\"]*\"))+")
_LITERAL = re.compile(r"'([A-Z]?[a-z]+ [^'%]*|[A-Z][a-z]+)'")
_READ = re.compile(r"\b(?:aria-label|alt|title|placeholder|label|data-of)=\"([^\"]*)\"")
_WORD = re.compile(r"[A-Za-z]{2,}")
_CODE = re.compile(r"[^a-z]*|p(-[a-z]{4}){2}")
_NAMES = {"AE", "CT", "DICOM", "DICOMweb", "Deutsch", "English", "ID", "MB", "OHIF", "UTC"}

# a script, taken apart: remarks, what is looked for on the page, and what only its console is told
_NOT_SAID = re.compile(
    r'(?m)^\s*//.*$|\s// .*$|"use strict"|querySelector(?:All)?\("[^"]*"|new Error\("[^"]*"'
)
_QUOTED = re.compile(r'"[^"\n]*"|`[^`]*`')
_NAMED, _NAMED_IN_GERMAN = re.compile("“([^”]*)”"), re.compile("„([^“]*)“")
_FILLED = re.compile(r"\$?\{[^}]*\}")
_SENTENCE = re.compile(r"[\w ,;:.!?…]*[A-Za-z]{2,}[,;:]? +[A-Za-z]{2,}[\w ,;:.!?…]*")


def written() -> dict[str | tuple[str, str], str]:
    """What the code and the templates say, and where."""
    found: dict[str | tuple[str, str], str] = {}
    for file, line, text, _comments, _context in extract_from_dir(
        ROOT / "vna",
        _METHODS,
        {"**.html": {"trimmed": "true", "newstyle_gettext": "true"}},
        keywords=_KEYWORDS,
    ):
        found[text if isinstance(text, str) else (text[0], text[1])] = f"{file}:{line}"
    return found


def translated(language: str) -> list[Message]:
    found: list[Message] = []
    for path in sorted((ROOT / "vna" / "locale" / language).glob("*.po")):
        with path.open("rb") as file:
            found += [one for one in read_po(file, locale=language, abort_invalid=True) if one.id]
    return found


def test_a_share_is_called_by_one_word_in_german() -> None:
    """A button named otherwise than the page it leads to is not found again."""
    sharing, another = (
        re.compile(r"\b[Ss]har(e|ed|es|ing)\b"),
        re.compile(r"\b(ge)?teil(en|t|e)\b", re.I),
    )
    wrong = [
        strings(one)
        for one in translated("de")
        if any(sharing.search(text) for text in ids(one))
        and any(another.search(text) for text in strings(one))
    ]
    assert wrong == []
    assert Texts("de").gettext("Share") == "Freigeben"


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language: str) -> None:
    known = {one.id: one for one in translated(language)}
    missing = {
        text: where
        for text, where in written().items()
        if text not in known or known[text].fuzzy or not all(strings(known[text]))
    }
    assert missing == {}


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_is_left_over_or_there_twice(language: str) -> None:
    texts = [one.id for one in translated(language)]
    assert sorted(map(str, set(texts) - set(written()))) == []
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_the_places_of_its_text(language: str) -> None:
    for one in translated(language):
        wanted = {place for text in ids(one) for place in _PLACE.findall(text)}
        for string in strings(one):
            found = set(_PLACE.findall(string))
            assert found == wanted or (one.pluralizable and found < wanted), one.id


@pytest.mark.parametrize("language", OTHERS)
def test_what_pages_are_refused_with_is_translated_where_nothing_more_is_said(
    language: str,
) -> None:
    families = (
        errors.InvalidRequest,
        errors.NotPermitted,
        errors.NotAuthenticated,
        errors.NotFound,
    )
    more = (errors.TooMany, errors.Conflict, errors.TooLarge, errors.Unavailable, errors.Gone)
    more += (errors.VNAError, errors.Contended, errors.CommitUnknown, errors.Corrupt)
    texts = Texts(language)
    assert [one for one in (*families, *more) if texts.gettext(str(one())) == str(one())] == []


def test_a_text_names_what_is_to_be_pressed_as_the_page_does() -> None:
    called = {text: string for one in translated("de") for text, string in pairs(one)}
    for text, string in called.items():
        for name, named in zip(
            _NAMED.findall(text), _NAMED_IN_GERMAN.findall(string), strict=False
        ):
            if "%(" not in name:
                assert called.get(name) == named, text


def test_what_is_typed_is_called_on_paper_as_on_the_page_that_asks_for_it() -> None:
    """A page says that nobody ever asks for a Passwort, so what is typed there is none."""
    called = {text: string for one in translated("de") for text, string in pairs(one)}
    typed = [string for text, string in called.items() if "passcode" in text.lower()]
    assert called["Passcode"] == "Kennwort"
    warned = re.compile("Wir fragen nie nach einem Passwort")
    assert [one for one in typed if "passwort" in warned.sub("", one).lower()] == []


def test_a_recovery_code_is_called_in_mails_as_on_the_page_that_gives_it() -> None:
    called = {text: string for one in translated("de") for text, string in pairs(one)}
    told = [called[text] for text in called if "recovery code" in text.lower()]
    assert told
    assert [one for one in told if "ersatzcode" not in one.lower()] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "vna").rglob("templates/*.html")), ids=lambda path: path.name
)
def test_whatever_a_template_says_can_be_translated(path: Path) -> None:
    text = _SILENT.sub("", _DONE.sub("", path.read_text(encoding="utf-8")))
    said = [
        one for shown in _SHOWN.findall(text) for one in _LITERAL.findall(_GIVEN.sub("", shown))
    ]
    text = _SHOWN.sub("", text)
    said += _READ.findall(text)
    said += _WORD.findall(html.unescape(re.sub(r"<[^>]*>", " ", text)))
    assert [one for one in said if not _CODE.fullmatch(one) and one not in _NAMES] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "vna" / "web").rglob("static/*.js")), ids=lambda path: path.name
)
def test_whatever_a_script_says_is_told_it_by_its_page(path: Path) -> None:
    """A script has no languages: a sentence in it is English on every page."""
    code = _NOT_SAID.sub("", path.read_text(encoding="utf-8"))
    said = [_FILLED.sub("", one[1:-1]) for one in _QUOTED.findall(code)]
    assert [one for one in said if _SENTENCE.fullmatch(one)] == []


def ids(one: Message) -> tuple[str, ...]:
    return one.id if isinstance(one.id, tuple) else (one.id,)


def pairs(one: Message) -> list[tuple[str, str]]:
    return list(zip(ids(one), strings(one), strict=True))


def strings(one: Message) -> tuple[str, ...]:
    return one.string if isinstance(one.string, tuple) else (one.string,)


def test_a_refusal_with_a_number_is_said_in_another_language() -> None:
    refused = errors.TooLarge(
        filled("One share holds %(most)s images: choose less at a time.", most=7)
    )
    assert str(refused) == "One share holds 7 images: choose less at a time."
    assert Texts("en").said(refused) == str(refused)
    assert Texts("de").said(refused).startswith("Eine Freigabe umfasst höchstens 7 Bilder")
    assert Texts("de").said(errors.NotFound()) != str(errors.NotFound())
    assert Texts("de").said(KeyError()) == Texts("de").gettext(str(KeyError()))
