"""What people are asked when they consent: our own words, or those of this place, in versions.

A text is never changed: a later one follows it, and every consent names the version it was given
to. Texts of this place stand in the journal, so that what was agreed to can be read for ever.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from vna.access.audit import Event
from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.db import statements
from vna.errors import InvalidRequest, NotFound
from vna.sharing import records
from vna.sharing.rooms import Act, Rooms, now
from vna.texts import ENGLISH, Texts, filled, languages, marked

SQL = statements.load("consents")

OWN = "own-1"  # counts up whenever the words below change
_MOST_TITLE, _MOST_BODY = 200, 8000

_TITLES = {
    "patient-request": marked("May we send you your images?"),
    "treatment": marked("May other doctors see your images?"),
    "third-party": marked("May we give your images to others?"),
    "research": marked("May research use your images?"),
}
_BODIES = {
    "patient-request": marked(
        "After your examination we can send you a link to your images and the report. "
        "A code goes to your phone, so that only you can open it. You decide whom you show them to."
    ),
    "treatment": marked(
        "We can send a link to your images and the report to doctors who treat you elsewhere. "
        "Only they can open it. You need not carry a disc."
    ),
    "third-party": marked(
        "You can allow us to send a link to your images and the report to somebody outside, "
        "an insurance for example. Only they can open it."
    ),
    "research": marked(
        "You can allow us to give your images and the report to a research project. "
        "Your treatment does not depend on it."
    ),
}
_RIGHTS = marked(
    "You are free to say no. Nothing is sent then, and your treatment is the same. You can change "
    "your mind at any time: tell us, and the link stops at once."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentText:
    """A text in one language. `version` is what a consent names."""

    version: str
    purpose: str
    language: str
    title: str
    body: str
    made_by: str = ""
    made_at: dt.datetime | None = None

    @property
    def paragraphs(self) -> list[str]:
        """Give the body in paragraphs."""
        return [one.strip() for one in self.body.split("\n\n") if one.strip()]


class ConsentTexts:
    """Finds and adds texts. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def latest(self, purpose: str, language: str) -> ConsentText:
        """Give what is asked now for a purpose: in this language, else in English, else in one."""
        _check_purpose(purpose)
        with self._rooms.database.reading() as conn:
            rows = conn.execute(SQL.latest_texts, {"purpose": purpose}).fetchall()
        found = {row[2]: _text(row) for row in rows}
        if not found:
            return own(purpose, language)
        return found.get(language) or found.get(ENGLISH) or next(iter(found.values()))

    def all(self, who: Principal, purpose: str) -> list[ConsentText]:
        """List the texts of a purpose, the latest first, our own words last."""
        require(who, Action.SHARE)
        _check_purpose(purpose)
        with self._rooms.database.reading() as conn:
            rows = conn.execute(SQL.texts_of, (purpose,)).fetchall()
        return [_text(row) for row in rows] + [own(purpose, one) for one in languages()]

    def of(self, version: str) -> list[ConsentText]:
        """Give the text of a version, in every language it was there in. Raises `NotFound`."""
        purpose, _, rest = version.partition(".")
        if purpose in _TITLES and rest == OWN:
            return [own(purpose, one) for one in languages()]
        if purpose in _TITLES and rest.isascii() and rest.isdigit() and len(rest) < 7:
            with self._rooms.database.reading() as conn:
                rows = conn.execute(SQL.one_text, (purpose, int(rest))).fetchall()
            if rows:
                return [_text(row) for row in rows]
        raise NotFound("There is no such text.")

    def add(self, who: Principal, purpose: str, texts: Mapping[str, tuple[str, str]]) -> str:
        """Let a text be asked from now on: title and body by language; return its version.

        Raises `InvalidRequest`.
        """
        require(who, Action.MANAGE)
        _check_purpose(purpose)
        kept = {language: _checked(language, *said) for language, said in texts.items()}
        if not kept:
            raise InvalidRequest(marked("Write the text in one language at least."))

        def work(tx: Act) -> str:
            tx.execute(SQL.hold_texts)
            row = tx.execute(SQL.next_text, (purpose,)).fetchone()
            revision = int(row[0]) if row else 1
            for language, (title, body) in kept.items():
                values = {
                    "purpose": purpose,
                    "revision": revision,
                    "language": language,
                    "title": title,
                    "body": body,
                    "made_by": who.name,
                    "made_at": now(),
                }
                tx.execute(SQL.add_text, values)
                tx.write_down(records.CONSENT_TEXT, {"revision": revision}, values, who.name)
            detail = {"text": f"{purpose}.{revision}", "languages": sorted(kept)}
            self._rooms.tell(tx, who, Event(kind="consent.text", outcome="done", detail=detail))
            return f"{purpose}.{revision}"

        return self._rooms.act(work)


def own(purpose: str, language: str) -> ConsentText:
    """Give our own words in a language."""
    texts = Texts(language)
    body = f"{texts.gettext(_BODIES[purpose])}\n\n{texts.gettext(_RIGHTS)}"
    return ConsentText(
        version=f"{purpose}.{OWN}",
        purpose=purpose,
        language=texts.language,
        title=texts.gettext(_TITLES[purpose]),
        body=body,
    )


def _check_purpose(purpose: str) -> None:
    if purpose not in _TITLES:
        raise InvalidRequest("A consent is for a purpose that is known.")


def _checked(language: str, title: str, body: str) -> tuple[str, str]:
    title, body = title.strip(), "\n\n".join(_paragraphs(body))
    if language not in languages():
        raise InvalidRequest("Texts are written in the languages of the pages.")
    if not 0 < len(title) <= _MOST_TITLE or "\n" in title:
        raise InvalidRequest(
            filled("A text has a title of one line, %(most)s letters at most.", most=_MOST_TITLE)
        )
    if not 0 < len(body) <= _MOST_BODY or "\x00" in title + body:
        raise InvalidRequest(filled("A text has %(most)s letters at most.", most=_MOST_BODY))
    return title, body


def _paragraphs(body: str) -> list[str]:
    lines = body.replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    return [one.strip() for one in lines if one.strip()]


def _text(row: tuple[object, ...]) -> ConsentText:
    made_at = row[6]
    return ConsentText(
        version=f"{row[0]}.{row[1]}",
        purpose=str(row[0]),
        language=str(row[2]),
        title=str(row[3]),
        body=str(row[4]),
        made_by=str(row[5]),
        made_at=made_at if isinstance(made_at, dt.datetime) else None,
    )
