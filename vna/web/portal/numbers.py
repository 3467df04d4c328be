"""Numbers of ours, as an address or a form of a page carries them: only such as a row can have.

Digits are counted before they are read: Python refuses to read very many, and that would be an
error of ours.
"""

from __future__ import annotations

from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.requests import Request

from vna.errors import InvalidRequest, VNAError

_END = 1 << 63  # of what a column holds
_MOST_DIGITS = len(str(_END))
_OF_NO_ROW = -1


class _Number(IntegerConvertor):
    """The number of a row in the address of a page, as `/share/{share:int}` says."""

    def convert(self, value: str) -> int:
        return int(value) if is_number(value) else _OF_NO_ROW


register_url_convertor("int", _Number())  # in place of Starlette's, which knows no end


def number_in(request: Request, name: str) -> int:
    """Give the number the address of a page carries under a name; none that no row can have."""
    number: int = request.path_params[name]
    return number


def is_number(text: str) -> bool:
    """Whether a text can be the number of a row."""
    is_short = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return is_short and int(text) < _END


def number_of(text: str) -> int | None:
    """Read a number of ours; None for nothing. Raises `InvalidRequest`."""
    return one_of(text, InvalidRequest("That is not a number of ours.")) if text else None


def one_of(text: str, refusal: VNAError) -> int:
    """Read the number of what must be named. Raises `refusal`."""
    if not is_number(text):
        raise refusal
    return int(text)
