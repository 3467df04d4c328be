"""multipart/related, both ways (RFC 2046 5.1, RFC 2387): events from bytes, bytes from parts.

No socket, no clock, no part in memory: bytes go in as they arrive, and what they hold of a part's
content comes out at once as views of the same bytes. Limits are checked before memory is taken.

A body is a preamble, then parts, then an epilogue. Between them stands the delimiter: CRLF, two
hyphens, the boundary; after it either two hyphens (the end) or a line end. The first delimiter may
stand at the very start, which is the same as if a CRLF had gone before it.
"""

from __future__ import annotations

import enum
import secrets
from dataclasses import dataclass

from vna.config import Limits
from vna.errors import MalformedMultipart, TooLarge
from vna.web.media import media_type

Buffer = bytes | bytearray | memoryview

_BOUNDARY_MOST = 256  # RFC 2046 5.1.1 says 70; Orthanc writes two UUIDs and a hyphen, which are 73
_BOUNDARY_SET = frozenset("0123456789'()+_,-./:=? ").union(
    "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
_PADDING_MOST = 128  # white space after a boundary; nobody sends any


@dataclass(frozen=True, slots=True)
class PartBegins:
    """The header fields of a part, names in lower case; the last one of a name counts."""

    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """Some content of the part. The view is of the bytes fed in, or of bytes held back before."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The part is complete."""


Event = PartBegins | PartData | PartEnds

_PART_ENDS = PartEnds()
_LINE_END = b"\r\n"


class _State(enum.Enum):
    PREAMBLE = enum.auto()
    AFTER_BOUNDARY = enum.auto()
    HEADERS = enum.auto()
    DATA = enum.auto()
    EPILOGUE = enum.auto()


def boundary_of(content_type: str) -> tuple[str, bytes]:
    """Return the root type and the boundary of a multipart/related Content-Type (PS3.18 8.6.1.2).

    Raises `MalformedMultipart` when there is no boundary or it is not one, or no type.
    """
    parsed = media_type(content_type)
    boundary = parsed.parameter("boundary") or ""
    if not 1 <= len(boundary) <= _BOUNDARY_MOST or not _BOUNDARY_SET.issuperset(boundary):
        raise MalformedMultipart(
            f"The boundary must be 1 to {_BOUNDARY_MOST} of the characters RFC 2046 allows for one."
        )
    if boundary.endswith(" "):
        raise MalformedMultipart("The boundary must not end with a space.")
    root = parsed.parameter("type")
    if not root:
        raise MalformedMultipart("multipart/related needs the parameter type.")
    return root.lower(), boundary.encode("ascii")


class MultipartParser:
    """Takes the bytes of one body as they arrive and tells what they are."""

    def __init__(self, boundary: bytes, limits: Limits) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._limits = limits
        self._state = _State.PREAMBLE
        self._opening = b"--" + boundary
        self._held = _LINE_END  # see the first delimiter, above
        self._headers: dict[str, str] = {}
        self._header_count = 0
        self._header_name = ""
        self._parts = 0

    def feed(self, data: Buffer) -> list[Event]:
        """Take the next bytes; return what became known.

        Raises `MalformedMultipart`, and `TooLarge` when a limit is passed. The views in the events
        are valid for as long as `data` is not changed.
        """
        at = 0
        if isinstance(data, memoryview):
            data = bytes(data)
        begins = self._state is _State.PREAMBLE and self._held == _LINE_END
        if begins and data.startswith(self._opening):
            at = len(self._opening)  # nearly every body: no need to copy it behind the line end
            self._state = _State.AFTER_BOUNDARY
        elif self._held:
            data = b"".join((self._held, data))
        view = memoryview(data)
        events: list[Event] = []
        while at < len(data) and self._state is not _State.EPILOGUE:
            if self._state is _State.HEADERS:
                end = self._header_line(data, at, events)
            elif self._state is _State.AFTER_BOUNDARY:
                end = self._after_boundary(data, at)
            else:
                end = self._content(data, view, at, events)
            if end == at:
                break
            at = end
        self._held = b"" if self._state is _State.EPILOGUE else bytes(view[at:])
        return events

    def finish(self) -> None:
        """The body is over. Raises `MalformedMultipart` when its last boundary never came."""
        if self._state is not _State.EPILOGUE:
            raise MalformedMultipart("The body ends before its closing boundary.")

    def _content(
        self, data: bytes | bytearray, view: memoryview, at: int, events: list[Event]
    ) -> int:
        """Go past the next delimiter, or to where one may begin. A preamble is nobody's content."""
        found = data.find(self._delimiter, at)
        end = self._delimiter_start(data, at) if found < 0 else found
        in_part = self._state is _State.DATA
        if in_part and end > at:
            events.append(PartData(view[at:end]))
        if found < 0:
            return end
        if in_part:
            events.append(_PART_ENDS)
        self._state = _State.AFTER_BOUNDARY
        return found + len(self._delimiter)

    def _delimiter_start(self, data: bytes | bytearray, at: int) -> int:
        """Where the last bytes begin that could be the first of a delimiter; the end if none."""
        begin = data.find(b"\r", max(at, len(data) - len(self._delimiter) + 1))
        while begin >= 0 and not self._delimiter.startswith(bytes(data[begin:])):
            begin = data.find(b"\r", begin + 1)
        return len(data) if begin < 0 else begin

    def _after_boundary(self, data: bytes | bytearray, at: int) -> int:
        if data.startswith(b"--", at):
            self._state = _State.EPILOGUE
            return len(data)
        end = data.find(b"\r\n", at)
        rest = bytes(data[at : end if end >= 0 else len(data)])
        if rest.strip(b" \t") not in ((b"",) if end >= 0 else (b"", b"\r", b"-")):
            raise MalformedMultipart("After a boundary comes the end of the line or '--'.")
        if len(rest) > _PADDING_MOST:
            raise TooLarge("There is too much white space after a boundary.")
        if end < 0:
            return at
        self._parts += 1
        if self._parts > self._limits.parts:
            raise TooLarge(f"A body may have {self._limits.parts} parts.")
        self._headers, self._header_count, self._header_name = {}, 0, ""
        self._state = _State.HEADERS
        return end + 2

    def _header_line(self, data: bytes | bytearray, at: int, events: list[Event]) -> int:
        end = data.find(b"\r\n", at)
        length = (len(data) if end < 0 else end) - at
        if length > self._limits.part_header_bytes + (end < 0):  # the last byte may be the CR
            raise TooLarge(
                f"A header field of a part may have {self._limits.part_header_bytes} bytes."
            )
        if end < 0:
            return at
        if end > at:
            self._header(bytes(data[at:end]).decode("latin-1"))
            return end + 2
        # The empty line may itself be the CRLF of the next delimiter: a part without content.
        ahead = bytes(data[end : end + len(self._delimiter)])
        if self._delimiter.startswith(ahead) and ahead != self._delimiter:
            return at
        events.append(PartBegins(self._headers))
        if ahead == self._delimiter:
            events.append(_PART_ENDS)
            self._state = _State.AFTER_BOUNDARY
            return end + len(ahead)
        self._state = _State.DATA
        return end + 2

    def _header(self, line: str) -> None:
        if line[0] in " \t" and self._header_name:  # folded (RFC 5322 2.2.3)
            value = f"{self._headers[self._header_name]} {line.strip()}"
            if len(value) > self._limits.part_header_bytes:
                raise TooLarge(
                    f"A header field of a part may have {self._limits.part_header_bytes} bytes."
                )
            self._headers[self._header_name] = value
            return
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not name:
            raise MalformedMultipart("A header field of a part is written name: value.")
        self._header_count += 1
        if self._header_count > self._limits.part_headers:
            raise TooLarge(f"A part may have {self._limits.part_headers} header fields.")
        self._header_name = name
        self._headers[name] = value.strip()


def new_boundary() -> str:
    """Make a boundary nobody can foresee, so that no stored bytes can hold it."""
    return secrets.token_hex(16)


def multipart_type(root: str, boundary: str, transfer_syntax: str | None = None) -> str:
    """Write the Content-Type of a body whose parts are of `root` (PS3.18 8.7.3)."""
    syntax = f"; transfer-syntax={transfer_syntax}" if transfer_syntax else ""
    return f'multipart/related; type="{root}"{syntax}; boundary={boundary}'


def part_head(
    boundary: str,
    content_type: str,
    *,
    first: bool,
    length: int | None = None,
    location: str | None = None,
) -> bytes:
    """Write what stands before the content of a part (PS3.18 8.6.1.2)."""
    lines = [f"{'' if first else chr(13) + chr(10)}--{boundary}", f"Content-Type: {content_type}"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if location is not None:
        lines.append(f"Content-Location: {location}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def closing(boundary: str, *, empty: bool = False) -> bytes:
    """Write what stands after the last part; `empty` where there was none."""
    return f"{'' if empty else chr(13) + chr(10)}--{boundary}--\r\n".encode("ascii")
