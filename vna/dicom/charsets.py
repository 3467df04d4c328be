"""Specific Character Set: bytes to text and back, with our own ISO/IEC 2022 (PS3.5 6.1.2, PS3.3
C.12.1.1.2).

Liberal in what it reads: misspelt terms, escape sequences that were not announced, multi-byte sets
as the first value. An unknown term is read as Latin-1, and so are bytes above 7F where no set was
named; both are reported. A byte no set can explain becomes U+FFFD, and that is reported, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# Code elements by Python codec. Two-byte sets are written in GR by EUC, in G0 with the 8th bit off.
_SINGLE = {
    "100": "latin_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "144": "iso8859_5",
    "127": "iso8859_6",
    "126": "iso8859_7",
    "138": "iso8859_8",
    "148": "iso8859_9",
    "203": "iso8859_15",
    "166": "iso8859_11",
    "13": "jis_x_0201",
}
_FINALS = {
    "100": b"A",
    "101": b"B",
    "109": b"C",
    "110": b"D",
    "144": b"L",
    "127": b"G",
    "126": b"F",
    "138": b"H",
    "148": b"M",
    "203": b"b",
    "166": b"T",
}
_STANDALONE = {"ISOIR192": "utf-8", "GB18030": "gb18030", "GBK": "gbk"}
_ALIASES = {
    "UTF8": "ISOIR192",
    "ISO2022GBK": "GBK",
    "ISO202258": "ISO2022IR58",
    "ISOIR58": "ISO2022IR58",
    "ISOIR149": "ISO2022IR149",
    "ISOIR87": "ISO2022IR87",
    "ISOIR159": "ISO2022IR159",
    "GB2312": "ISO2022IR58",
    "EUCKR": "ISO2022IR149",
    "LATIN1": "ISOIR100",
    "ISO88591": "ISOIR100",
    "ASCII": "ISOIR6",
    "ISO646": "ISOIR6",
}


@dataclass(frozen=True, slots=True)
class _Element:
    """A code element: which half of the code table it fills, its codec and its escape sequence."""

    right: bool  # fills G1 (bytes A0-FF); otherwise G0 (21-7E)
    wide: bool  # two bytes a character
    codec: str
    escape: bytes


_ASCII = _Element(False, False, "ascii", b"\x1b(B")
_ROMAJI = _Element(False, False, "ascii", b"\x1b(J")
_KATAKANA = _Element(True, False, "jis_x_0201", b"\x1b)I")
_KANJI = _Element(False, True, "iso2022_jp", b"\x1b$B")
_KANJI_MORE = _Element(False, True, "iso2022_jp_2", b"\x1b$(D")
_HANGUL = _Element(True, True, "euc_kr", b"\x1b$)C")
_HANZI = _Element(True, True, "gb2312", b"\x1b$)A")
_BY_TERM: dict[str, tuple[_Element, ...]] = {
    "6": (_ASCII,),
    "13": (_ROMAJI, _KATAKANA),
    "87": (_KANJI,),
    "159": (_KANJI_MORE,),
    "149": (_HANGUL,),
    "58": (_HANZI,),
    **{n: (_Element(True, False, _SINGLE[n], b"\x1b-" + f),) for n, f in _FINALS.items()},
}
_BY_ESCAPE = {e.escape: e for elements in _BY_TERM.values() for e in elements}
_BY_ESCAPE[b"\x1b$@"] = _KANJI  # JIS C 6226-1978, which old senders still name
_ESCAPE = re.compile(rb"\x1b(?:\$[()]?[@-~]|[()\-.,][@-~])")
_RUNS = re.compile(rb"[\x00-\x20\x7f]|[\x21-\x7e]+|[\x80-\xff]+")
_BAD = "\ufffd"

DELIMITERS = {"PN": b"\\^=", "LT": b"", "ST": b"", "UT": b""}
"""Which graphic characters end a value or component and restore the initial sets (PS3.5 6.1.2.5.3).

Any other VR has the backslash alone; control characters do so everywhere.
"""


class Charset:
    """One value of Specific Character Set, ready to decode."""

    __slots__ = ("_codec", "_extensions", "_g0", "_g1", "known", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        terms = [_term(part) for part in name.split("\\")]
        self.known = all(term is not None for term in terms)
        first = terms[0] or ""
        self._codec = _STANDALONE.get(first)
        if self._codec is not None:
            terms = terms[:1]
        elements = [_BY_TERM.get(_number(term or ""), ()) for term in terms]
        self._extensions = tuple(e for found in elements for e in found)
        self._g0 = next((e for e in elements[0] if not e.right and not e.wide), _ASCII)
        self._g1 = next((e for e in elements[0] if e.right), None)

    def decode(self, raw: bytes, delimiters: bytes = b"\\") -> tuple[str, bool]:
        """Decode a value field; the second result says that bytes had to be guessed or replaced."""
        if b"\x1b" not in raw or self._codec is not None:
            codec = self._codec
            if raw.isascii():
                return raw.decode("ascii"), False
            if codec is None and self._g1 is None:
                return raw.decode("latin_1"), True
            if codec is not None:
                try:
                    return raw.decode(codec), False
                except UnicodeDecodeError:
                    return raw.decode(codec, "replace"), True
        return self._extended(raw, delimiters)

    def _extended(self, raw: bytes, delimiters: bytes) -> tuple[str, bool]:
        """Walk the value run by run, with the code elements that are designated."""
        g0, g1 = self._g0, self._g1
        text: list[str] = []
        position = 0
        for run in _pieces(raw, delimiters):
            if run[0] == 0x1B:
                element = _BY_ESCAPE.get(run)
                if element is None:
                    text.append(_BAD)
                elif element.right:
                    g1 = element
                else:
                    g0 = element
            elif run[0] >= 0x80:
                text.append(_right(run, g1))
            elif run[0] <= 0x20 or run[0] == 0x7F:
                text.append(chr(run[0]))
                if run[0] != 0x20:
                    g0, g1 = self._g0, self._g1
            else:
                text.append(_left(run, g0))
                if not g0.wide and run[-1] in delimiters:
                    g0, g1 = self._g0, self._g1
            position += len(run)
        whole = "".join(text)
        return whole, _BAD in whole

    def encode(self, text: str) -> bytes | None:
        """Encode text, or return None when this character set cannot carry it."""
        if text.isascii() and "\x1b" not in text:
            return text.encode("ascii")
        if not self.known:
            return None
        if self._codec is not None:
            try:
                return text.encode(self._codec)
            except UnicodeEncodeError:
                return None
        return self._encode_extended(text)

    def _encode_extended(self, text: str) -> bytes | None:
        g0, g1 = self._g0, self._g1
        out = bytearray()
        for character in text:
            if character < "\x80":
                if g0.wide:
                    out += self._g0.escape
                    g0 = self._g0
                out += character.encode("ascii")
                if character < " ":
                    g1 = self._g1
                elif character in "\\^=" and g1 is not self._g1:
                    g1 = None  # whether the reader starts anew here hangs on the VR: say it again
                continue
            for element in (g0, g1, *self._extensions):
                code = None if element is None else _encode_one(character, element)
                if element is None or code is None:
                    continue
                if element not in (g0, g1):
                    out += element.escape
                if element.right:
                    g1 = element
                else:
                    g0 = element
                out += code
                break
            else:
                return None
        if g0.wide:
            out += self._g0.escape
        return bytes(out)


@lru_cache(256)
def charset(name: str) -> Charset:
    """Look up a Specific Character Set by its values joined by backslashes."""
    return Charset(name)


def _term(part: str) -> str | None:
    """Bring a defined term to one spelling: `ISO-IR 100` and `iso_ir 100` are `ISOIR100`."""
    bare = re.sub(r"[^0-9A-Z]", "", part.upper())
    bare = _ALIASES.get(bare, bare)
    if bare == "" or bare in _STANDALONE:
        return bare
    return bare if _number(bare) in _BY_TERM else None


def _number(term: str) -> str:
    return term.removeprefix("ISO").removeprefix("2022").removeprefix("IR")


def _pieces(raw: bytes, delimiters: bytes) -> list[bytes]:
    """Cut a value into escape sequences, control characters, and runs of one half of the table.

    A run of the left half ends behind each delimiter; whether it is one depends on what G0 is.
    """
    pieces: list[bytes] = []
    position = 0
    ends = re.compile(b"[^" + re.escape(delimiters) + b"]*[" + re.escape(delimiters) + b"]?")
    wide = False
    while position < len(raw):
        if raw[position] == 0x1B:
            found = _ESCAPE.match(raw, position)
            piece = found.group() if found else raw[position : position + 1]
            element = _BY_ESCAPE.get(piece)
            if element is not None and not element.right:
                wide = element.wide
        else:
            run = _RUNS.match(raw, position)
            piece = run.group() if run else raw[position : position + 1]
            if piece[0] < 0x20:
                wide = False
            elif 0x20 < piece[0] < 0x7F and not wide and delimiters:
                cut = ends.match(piece)
                piece = cut.group() if cut else piece
        pieces.append(piece)
        position += len(piece)
    return pieces


def _left(run: bytes, element: _Element) -> str:
    if not element.wide:
        return run.decode("ascii")
    even = run if len(run) % 2 == 0 else run[:-1]
    text = (element.escape + even + _ASCII.escape).decode(element.codec, "replace")
    return text + _BAD * (len(run) - len(even))


def _right(run: bytes, element: _Element | None) -> str:
    if element is None:
        return _BAD * len(run)
    if element.codec == "jis_x_0201":
        return "".join(chr(0xFEC0 + b) if 0xA1 <= b <= 0xDF else _BAD for b in run)
    return run.decode(element.codec, "replace")


def _encode_one(character: str, element: _Element) -> bytes | None:
    if element.codec == "jis_x_0201":
        return bytes([ord(character) - 0xFEC0]) if "\uff61" <= character <= "\uff9f" else None
    try:
        code = character.encode(element.codec)
    except UnicodeEncodeError:
        return None
    if not element.wide or element.right:
        return code if len(code) == 1 + element.wide and code[0] >= 0x80 else None
    bare = code.removeprefix(element.escape).removesuffix(_ASCII.escape)
    return bare if code.startswith(element.escape) and len(bare) == 2 else None
