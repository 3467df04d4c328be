"""Attributes of a study that were corrected, laid over data sets and DICOM JSON on their way out.

What stood there goes into an item of the Original Attributes Sequence (PS3.3 C.12.1.1.9), but for
whom another Patient ID named: who is given the study is not given somebody else's identity. A value
that the data set's character set cannot carry makes a data set of the default repertoire one of
ISO_IR 100, and only where that cannot carry it either one of ISO_IR 192: bytes that such a data set
holds undeclared are read as Latin-1, and stay what they are. In any other its letters are replaced
by question marks.
"""

from __future__ import annotations

import datetime as dt
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from vna.config import Limits
from vna.dicom import elements as el
from vna.dicom.attributes import tag_of, vr_of
from vna.dicom.headers import Header
from vna.dicom.moments import read_date
from vna.dicom.passing import Source, gathered
from vna.dicom.rewrite import (
    DECLARED,
    Frame,
    Rewriter,
    element_head,
    inflate,
    to_implicit_little,
)
from vna.dicom.text import encode
from vna.dicom.uids import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_BIG_PRIVATE,
    IMPLICIT_LITTLE,
)
from vna.errors import InvalidRequest, MalformedInstance, NotAcceptable

CORRECTABLE = {
    "AccessionNumber": 16,
    "StudyDescription": 64,
    "PatientName": 64 * 3 + 2,
    "PatientID": 64,
    "IssuerOfPatientID": 64,
    "PatientBirthDate": 8,
    "PatientSex": 16,
}
"""Keyword -> the most characters its VR allows (PS3.5 Table 6.2-1)."""

BIG_ENDIAN = frozenset((EXPLICIT_BIG, IMPLICIT_BIG_PRIVATE))

_CHARSET, _ORIGINAL = 0x00080005, 0x04000561
_SAID = f"{_CHARSET:08X}"
_MODIFIED, _WHEN, _SYSTEM, _SOURCE, _REASON = (
    *("04000550", "04000562", "04000563"),
    *("04000564", "04000565"),
)
_PATIENT_ID = 0x00100020
_IDENTITY = frozenset((0x00100010, _PATIENT_ID, 0x00100021, 0x00100030, 0x00100040))
_SEXES = ("", "M", "F", "O")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_KEPT_MOST = 1 << 16  # bytes of a value that was replaced
_DEFAULT = frozenset(("", "ISO_IR 6", "ISO 2022 IR 6"))
_BEYOND_DEFAULT = ("ISO_IR 100", "ISO_IR 192")

T = TypeVar("T")
Members = dict[str, Any]  # elements of DICOM JSON: their values differ by VR


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """What a study shows instead of what was received: keyword -> text, empty for no value.

    `version` changes whenever it does.
    """

    version: bytes
    at: dt.datetime
    changes: Mapping[str, str]


def check(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the changes as they will stand. Raises `InvalidRequest`, without any of the values."""
    if not changes:
        raise InvalidRequest("A correction changes at least one attribute.")
    found: dict[str, str] = {}
    for keyword, text in changes.items():
        most = CORRECTABLE.get(keyword)
        if most is None:
            raise InvalidRequest(f"What can be corrected is {', '.join(CORRECTABLE)}.")
        value = text.strip(" ")
        if len(value) > most or _CONTROL.search(value):
            raise InvalidRequest(f"{keyword} is a text of at most {most} characters on one line.")
        _check_form(keyword, value)
        found[keyword] = value
    if found.get("IssuerOfPatientID") == "":
        raise InvalidRequest("The issuer of a Patient ID is never empty.")
    return found


def elements(changes: Mapping[str, str]) -> Members:
    """Write changes as DICOM JSON elements, by tag in ascending order."""
    found = {tag: _element(vr, text) for tag, vr, text in _listed(changes)}
    return {tag: found[tag] for tag in sorted(found)}


def corrected_members(members: Members, overlay: Overlay, *, system: str) -> Members:
    """Lay an overlay over the DICOM JSON of an instance; `system` is who modifies it."""
    new = elements(overlay.changes)
    changed = (tag for tag in new if tag in members and members[tag] != new[tag])
    old = _told({int(tag, 16): members[tag] for tag in changed})
    found = members | new
    if old:
        held = members.get("04000561") or {}
        before = held.get("Value", []) if held.get("vr") == "SQ" else []  # as `_drop` leaves it
        item = _item({f"{tag:08X}": value for tag, value in old.items()}, overlay, system)
        found["04000561"] = {"vr": "SQ", "Value": [*before, item]}
    received = "\\".join(str(term or "") for term in (members.get(_SAID) or {}).get("Value") or [])
    settled = _settled(received, overlay.changes.values())
    if settled != received:
        found[_SAID] = {"vr": "CS", "Value": [settled]}
    return {tag: found[tag] for tag in sorted(found)}


def corrected(
    chunks: Iterable[bytes], transfer_syntax: str, limits: Limits, overlay: Overlay, *, system: str
) -> Iterator[bytes]:
    """Yield a data set with an overlay laid over it, in the Transfer Syntax it has.

    Memory is constant. Raises `NotAcceptable` for big endian ones, else as
    `rewrite.to_explicit_little` does.
    """
    if transfer_syntax in BIG_ENDIAN:
        raise NotAcceptable("What was corrected is not given in big endian.")
    if transfer_syntax == DEFLATED:
        chunks = inflate(chunks, limits)
    declared = DECLARED.get(transfer_syntax, el.EXPLICIT_LITTLE)
    out = gathered(_Corrector(Source(chunks), declared, limits, overlay, system).pieces())
    if transfer_syntax == IMPLICIT_LITTLE:
        return to_implicit_little(out, EXPLICIT_LITTLE, limits)
    return _deflated(out) if transfer_syntax == DEFLATED else out


class _Corrector(Rewriter):
    """Rewrites a data set as Explicit VR Little Endian, and lays an overlay over it."""

    def __init__(
        self, source: Source, declared: el.Encoding, limits: Limits, overlay: Overlay, system: str
    ) -> None:
        super().__init__(source, declared, limits)
        self._overlay = overlay
        self._system = system
        self._texts = {int(tag, 16): (vr, text) for tag, vr, text in _listed(overlay.changes)}
        self._left = {_CHARSET, _ORIGINAL, *self._texts}
        self._charset = ""
        self._old: dict[int, tuple[str, bytes]] = {}
        self._appended: Frame | None = None

    def _is_at_pixels(self) -> bool:
        return False  # it goes on to the end

    def _missing(self, before: int) -> Iterator[bytes]:
        if len(self._open) == 1:
            for tag in sorted(tag for tag in self._left if tag < before):
                self._left.discard(tag)
                yield self._written(tag)

    def _is_changed(self, tag: int, length: int) -> bool:
        ours = tag in self._left or tag in self._texts
        return len(self._open) == 1 and length != el.UNDEFINED and ours

    def _drop(self, tag: int, vr: str, length: int) -> None:
        if length > _KEPT_MOST:
            self._source.skip(length)
            return
        raw = self._source.take(length)
        if tag == _CHARSET:
            self._charset = raw.decode("ascii", "replace").strip(" \0")
        elif tag in self._texts and raw.rstrip(b" \0") != self._encoded(tag).rstrip(b" "):
            self._old[tag] = vr, raw

    def _nested(self, frame: Frame, header: Header, vr: str) -> Iterator[bytes]:
        ours = len(self._open) == 1 and header.tag in self._left
        if ours and header.tag != _ORIGINAL:
            raise MalformedInstance("An attribute that was corrected is a sequence here.")
        yield from super()._nested(frame, header, vr)
        if ours:
            self._left.discard(_ORIGINAL)
            self._appended = self._open[-1]

    def _close(self) -> bytes:
        more = self._items() if self._open[-1] is self._appended else b""
        return more + super()._close()

    def _written(self, tag: int) -> bytes:
        if tag == _CHARSET:
            return self._settle_charset()
        if tag == _ORIGINAL:
            items = self._items()
            return _sequence(tag, items) if items else b""
        raw = self._encoded(tag)
        return element_head(tag, self._texts[tag][0], len(raw)) + raw

    def _settle_charset(self) -> bytes:
        self._charset = _settled(self._charset, (text for _, text in self._texts.values()))
        raw = _even(self._charset.encode("ascii", "replace"))
        return element_head(_CHARSET, "CS", len(raw)) + raw if raw else b""

    def _encoded(self, tag: int) -> bytes:
        text = self._texts[tag][1]
        raw = encode(text, self._charset)
        if raw is None:
            kept = (c if encode(c, self._charset) is not None else "?" for c in text)
            raw = encode("".join(kept), self._charset)
        return _even(raw if raw is not None else text.encode("ascii", "replace"))

    def _items(self) -> bytes:
        """The item that says what stood there; nothing where nothing else did."""
        told = _told(self._old)
        if not told:
            return b""
        old = b"".join(
            element_head(tag, vr, len(_even(raw))) + _even(raw)
            for tag, (vr, raw) in sorted(told.items())
        )
        about = _about(self._overlay, self._system)
        body = _sequence(int(_MODIFIED, 16), _whole_item(old))
        for tag in (_WHEN, _SYSTEM, _SOURCE, _REASON):
            raw = _even(about[tag].encode("ascii", "replace"))
            body += element_head(int(tag, 16), vr_of(tag) or "LO", len(raw)) + raw
        return _whole_item(body)


def _told(old: Mapping[int, T]) -> dict[int, T]:
    """Say what is told of what stood there: nothing of whom another Patient ID named."""
    left_out = _IDENTITY if _PATIENT_ID in old else frozenset[int]()
    return {tag: value for tag, value in old.items() if tag not in left_out}


def _settled(charset: str, texts: Iterable[str]) -> str:
    """Choose the Specific Character Set: the received one, unless it is the default repertoire."""
    text = "".join(texts)
    if charset not in _DEFAULT or encode(text, charset) is not None:
        return charset
    found = (one for one in _BEYOND_DEFAULT if encode(text, one) is not None)
    return next(found, _BEYOND_DEFAULT[-1])


def _listed(changes: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for keyword, text in changes.items():
        tag = tag_of(keyword) or ""
        yield tag, vr_of(tag) or "LO", text


def _check_form(keyword: str, value: str) -> None:
    if keyword == "PatientBirthDate" and value and read_date(value) is None:
        raise InvalidRequest("PatientBirthDate is a date YYYYMMDD.")
    if keyword == "PatientSex" and value not in _SEXES:
        raise InvalidRequest("PatientSex is M, F, O or empty (PS3.3 C.7.1.1).")
    if keyword == "PatientName":
        groups = value.split("=")
        too_long = any(len(group) > 64 or group.count("^") > 4 for group in groups)
        if len(groups) > 3 or too_long:
            raise InvalidRequest(
                "PatientName has up to three groups of 64 characters and five components."
            )


def _element(vr: str, text: str) -> Members:
    if not text:
        return {"vr": vr}
    if vr != "PN":
        return {"vr": vr, "Value": [text]}
    named = {name: group for name, group in zip(_GROUPS, text.split("="), strict=False) if group}
    return {"vr": vr, "Value": [named]} if named else {"vr": vr}


def _about(overlay: Overlay, system: str) -> dict[str, str]:
    return {
        _WHEN: overlay.at.astimezone(dt.UTC).strftime("%Y%m%d%H%M%S+0000"),
        _SYSTEM: system,
        _SOURCE: "",  # who sent them is not known of each value
        _REASON: "CORRECT",
    }


def _item(old: Members, overlay: Overlay, system: str) -> Members:
    about = {tag: _element(vr_of(tag) or "LO", t) for tag, t in _about(overlay, system).items()}
    return {_MODIFIED: {"vr": "SQ", "Value": [old]}, **about}


def _sequence(tag: int, items: bytes) -> bytes:
    return element_head(tag, "SQ", el.UNDEFINED) + items + b"\xfe\xff\xdd\xe0\0\0\0\0"


def _whole_item(body: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + body + b"\xfe\xff\x0d\xe0\0\0\0\0"


def _even(raw: bytes) -> bytes:
    return raw + b" " if len(raw) % 2 else raw


def _deflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Deflate a data set as PS3.5 A.5 has it: of even length."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    size = 0
    for chunk in chunks:
        if packed := packer.compress(chunk):
            size += len(packed)
            yield packed
    rest = packer.flush()
    yield rest + b"\0" if (size + len(rest)) % 2 else rest
