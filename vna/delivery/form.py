"""One message: its texts, and the values it takes."""

from __future__ import annotations

from dataclasses import dataclass

from vna.texts import marked


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One message. A paragraph of which a value is empty is left out.

    `link` is what is written on the button of the link, `short` the text of a short message.
    """

    subject: str
    paragraphs: tuple[str, ...]
    short: str
    link: str = ""
    takes: frozenset[str]


QUESTIONS = (
    marked("Questions? %(help)s"),
    marked("Reference: %(number)s"),
)
"""What most messages end with."""
