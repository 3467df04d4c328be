"""What others wrote, as a terminal may show it: names on a disc, of patients, of other programs."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"  # Persian and Hindi are written with them


def plain(text: str) -> str:
    """Leave nothing in it that a terminal would act upon, nor another line."""
    return "".join(sign if _is_harmless(sign) else "\ufffd" for sign in text)


def _is_harmless(sign: str) -> bool:
    # Python prints no space but one: not the wide one of Japanese names, nor one that holds
    return sign.isprintable() or sign in _JOINERS or unicodedata.category(sign) == "Zs"
