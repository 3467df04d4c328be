"""Numbers that identify a person across issuers: whether one can be one, by its check digit."""

from __future__ import annotations

from collections.abc import Mapping

from vna.errors import ConfigError


def is_number(check: str, number: str) -> bool:
    """Tell whether a number can be one of a kind. An unknown kind has none.

    One digit again and again is what forms are filled in with when nobody knows, and many such
    numbers pass their check: 0000000000 and 9999999999 do as NHS numbers.
    """
    found = _CHECKS.get(check)
    is_written = 4 <= len(number) <= 64 and number.isascii() and len(set(number)) > 1
    return found is not None and is_written and found(number)


def read_issuers(text: str) -> Mapping[str, str]:
    """Read ISSUER:CHECK, joined by commas, from a setting. Raises `ConfigError`."""
    found: dict[str, str] = {}
    for part in (one.strip() for one in text.split(",") if one.strip()):
        issuer, _, check = part.rpartition(":")
        if not issuer or check not in _CHECKS:
            kinds = ", ".join(sorted(_CHECKS))
            raise ConfigError(f"patients.identifying takes ISSUER:CHECK, CHECK one of {kinds}.")
        found[issuer] = check
    return found


def _luhn(number: str) -> bool:
    """ISO/IEC 7812-1 Annex B."""
    if not number.isdigit():
        return False
    digits = [int(digit) for digit in reversed(number)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[0::2]) + sum(doubled)) % 10 == 0


def _mod11(number: str) -> bool:
    """Weights fall to 2, the check digit makes up to 11, as that of the NHS number does."""
    if not number.isdigit():
        return False
    weights = range(len(number), 1, -1)
    rest = 11 - sum(int(n) * w for n, w in zip(number, weights, strict=False)) % 11
    return rest != 10 and rest % 11 == int(number[-1])


def _mod97(number: str) -> bool:
    """The last two digits make up to 97, as those of the Belgian number do before 2000."""
    return number.isdigit() and 97 - int(number[:-2]) % 97 == int(number[-2:])


_CHECKS = {"luhn": _luhn, "mod11": _mod11, "mod97": _mod97}
