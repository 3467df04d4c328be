"""Media types, and lists of them, as header fields and parameters write them (RFC 9110 8.3.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vna.errors import InvalidRequest

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TYPE = re.compile(rf"[ \t]*({_WORD})/({_WORD})[ \t]*", re.ASCII)
# An unquoted value may hold a slash: type=application/dicom is what many clients write.
_PARAMETER = re.compile(
    rf";[ \t]*(?:({_WORD})=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;,\"]*)))?[ \t]*", re.ASCII
)


@dataclass(frozen=True, slots=True)
class MediaType:
    """One media type or range; names in lower case, parameter values as written."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str | None:
        """Return the value of a parameter, or None."""
        return next((value for key, value in self.parameters if key == name), None)


def media_type(text: str) -> MediaType:
    """Read a media type, quoted and unquoted parameter values alike. Raises `InvalidRequest`."""
    found, end = _read(text, 0)
    if found is None or end != len(text):
        raise InvalidRequest("A media type is written type/subtype; parameter=value.")
    return found


def media_list(text: str) -> tuple[MediaType, ...]:
    """Read a comma-separated list; entries that are no media types are left out (PS3.18 8.7.5)."""
    listed = []
    at = 0
    while at < len(text):
        found, end = _read(text, at)
        if found is not None and (end == len(text) or text[end] == ","):
            listed.append(found)
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
        at = end + 1
    return tuple(listed)


def _read(text: str, at: int) -> tuple[MediaType | None, int]:
    match = _TYPE.match(text, at)
    if match is None:
        return None, at
    name = f"{match[1]}/{match[2]}".lower()
    parameters = []
    end = match.end()
    while found := _PARAMETER.match(text, end):
        if found[1] is not None:
            value = found[3] if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
            parameters.append((found[1].lower(), value))
        end = found.end()
    return MediaType(name, tuple(parameters)), end
