"""Text as it is stored, asked for and compared. One folding for stored and asked values alike.

Decoding and encoding by Specific Character Set live in `charsets`; this is the door to them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from vna.dicom.charsets import DELIMITERS, charset

FOLD_VERSION = 1
"""Changes whenever `fold` or `fold_name` would answer otherwise: stored folds are made anew."""

_LETTERS = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "\u0131": "i",
        "ŧ": "t",
        "æ": "ae",
        "œ": "oe",
    }
)
_SPACES = re.compile(r"\s+")
_AROUND = re.compile(r"\s*([\^=])\s*")
_EMPTY_END = re.compile(r"\^+(?==|$)")
_WORDS = re.compile(r"[\s^=,.\-']+")


def decode(raw: bytes, charset_name: str, vr: str) -> tuple[str, bool]:
    """Decode a value field, padding and all; the second result says characters were replaced.

    `charset_name` holds the values of Specific Character Set joined by backslashes (PS3.5 6.1.2).
    """
    chosen = charset(charset_name)
    text, bad = chosen.decode(raw, DELIMITERS.get(vr, b"\\"))
    return text, bad or not (chosen.known or raw.isascii())


def encode(text: str, charset_name: str) -> bytes | None:
    """Encode text by Specific Character Set; None when the set cannot carry it."""
    return charset(charset_name).encode(text)


def fold(text: str) -> str:
    """Bring text to the form in which it is compared: no case, no accents, single spaces.

    Compatibility forms are made one (full width, half width). Marks that make another letter of
    a letter, such as the voicing of kana, stay. Wild cards pass unchanged.
    """
    if text.isascii():
        return _SPACES.sub(" ", text.lower()).strip()
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(c for c in decomposed if not _is_accent(c)).translate(_LETTERS)
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", bare)).strip()


def _is_accent(character: str) -> bool:
    """Whether a character is a mark that folding drops: accents, Hebrew points, Arabic vowels."""
    order = unicodedata.combining(character)
    return order == 1 or 10 <= order <= 36 or order >= 200


def fold_name(value: Any) -> str:  # a value of DICOM JSON: senders write names in any VR
    """Fold a person name, DICOM JSON or raw text, to its groups joined by `=` (PS3.5 6.2.1).

    Empty components at the end of a group and empty groups at the end of the name are dropped.
    """
    if isinstance(value, Mapping):
        groups = (value.get(name, "") for name in ("Alphabetic", "Ideographic", "Phonetic"))
        value = "=".join(groups)
    return _fold_name(str(value))


@lru_cache(1024)  # the instances of a study say the same names again and again
def _fold_name(value: str) -> str:
    folded = _AROUND.sub(r"\1", fold(value))
    return _EMPTY_END.sub("", folded).rstrip("=")


_RULES = tuple(
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"^(?:kn|gn|pn)", "n"),
        (r"^wr", "r"),
        (r"^x", "s"),
        (r"^wh", "w"),
        (r"mb$", "m"),
        (r"sch|tch|sh|ch|tsch|cz|sz", "x"),
        (r"ph|pf", "f"),
        (r"th|dt", "t"),
        (r"ck|cq|kh|q", "k"),
        (r"c(?=[eiy])", "s"),
        (r"c", "k"),
        (r"dg(?=[eiy])|g(?=[eiy])", "j"),
        (r"gh", ""),
        (r"z", "s"),
        (r"v", "f"),
        (r"w", "f"),
        (r"x", "x"),
        (r"(?<=[aeiou])h|h(?![aeiouy])", ""),
        (r"y", "i"),
        (r"b", "p"),
        (r"d", "t"),
        (r"g", "k"),
        (r"(.)\1+", r"\1"),
    )
)
_VOWELS = re.compile(r"(?<!^)[aeiouy]+")
_MOST_CODE = 6


def phonetic(folded: str) -> list[str]:
    """Give a sound code for each word of a folded name, sorted, for fuzzy matching.

    Words of Latin letters are reduced by a few rules that hold across European spellings: like
    consonants become one, vowels count only at the beginning, and there as one. Words of other
    scripts, and those with wild cards, stand for themselves.
    """
    return sorted({_sound(word) for word in _WORDS.split(folded) if word})


@lru_cache(1024)
def _sound(word: str) -> str:
    if not (word.isascii() and word.isalpha()):
        return word
    for pattern, sound in _RULES:
        word = pattern.sub(sound, word)
    if word[:1] in "aeiou":
        word = "a" + word[1:]
    bare = _VOWELS.sub("", word)
    return re.sub(r"(.)\1+", r"\1", bare)[:_MOST_CODE]
