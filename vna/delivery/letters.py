"""A message in words: subject, text, HTML and short text, from its form, values and language.

Nothing in it is loaded from anywhere: no picture, no tracking. Values are escaped in HTML.
"""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from vna.config import Site
from vna.delivery.form import Form
from vna.delivery.forms import FORMS
from vna.texts import Texts, marked

_PLACE = re.compile(r"%\((\w+)\)s")
_LINK = "%(link)s"
_PHONE = marked("the telephone whose number ends in %(digits)s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What somebody reads; `text` and `html` say the same."""

    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)
    short: str = field(repr=False)


def compose(template: str, values: Mapping[str, str], *, language: str, site: Site) -> Letter:
    """Write a message. `values` were checked when it was asked for."""
    form, texts = FORMS[template], Texts(language)
    said = _said(values, texts, site)
    paragraphs = [one for one in form.paragraphs if all(said[n] for n in _PLACE.findall(one))]
    return Letter(
        subject=texts.gettext(form.subject) % said,
        text="\n\n".join(texts.gettext(one) % said for one in paragraphs) + "\n",
        html=_html(paragraphs, form, texts, said),
        short=" ".join((texts.gettext(form.short) % said).split(" ")).strip(),
    )


def told_way(masked: str, texts: Texts) -> str:
    """Say in words where a code goes: the masked address, or the end of a number."""
    if not masked.startswith("…"):
        return masked
    return texts.gettext(_PHONE) % {"digits": masked[1:]}


def _said(values: Mapping[str, str], texts: Texts, site: Site) -> dict[str, str]:
    """Write each value as the language does."""
    said = {"site": site.name, "help": site.help, **values}
    if "way" in values:
        said["way"] = told_way(values["way"], texts)
    for name in ("until", "day"):
        if day := values.get(name):
            said[name] = texts.date(dt.date.fromisoformat(day))
    if when := values.get("when"):
        said["when"] = texts.moment(dt.datetime.fromisoformat(when), site.timezone)
    return said


def _html(paragraphs: list[str], form: Form, texts: Texts, said: Mapping[str, str]) -> str:
    safe = {name: html.escape(value) for name, value in said.items()}
    body = []
    for one in paragraphs:
        if one == _LINK:
            name = html.escape(texts.gettext(form.link))
            body.append(f'<p><a href="{safe["link"]}">{name}</a></p>\n<p>{safe["link"]}</p>')
        else:
            body.append(f"<p>{html.escape(texts.gettext(one), quote=False) % safe}</p>")
    title = html.escape(texts.gettext(form.subject), quote=False) % safe
    return (
        f'<!doctype html>\n<html lang="{texts.language}" dir="{texts.direction}">\n'
        f'<head><meta charset="utf-8"><title>{title}</title></head>\n<body>\n'
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )
