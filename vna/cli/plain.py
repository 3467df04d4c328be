"""What others wrote, as a terminal may show it: names on a disc, of patients, of other programs."""

from __future__ import annotations


def plain(text: str) -> str:
    """Leave nothing in it that a terminal would act upon, nor another line."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
