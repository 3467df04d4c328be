"""What patients ask of the archive, and what they are answered. Pure values."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field

from vna.delivery.channels import Channel
from vna.dicom.refs import StudyRef
from vna.errors import InvalidRequest
from vna.sharing.rules import MOST_NAME
from vna.sharing.values import Person
from vna.texts import ENGLISH, filled, languages, marked

MOST_WORDS = 2000
_MOST_STUDIES = 200
_BREAKS = str.maketrans("", "", "\r\n\t")


class Kind(enum.Enum):
    """What is asked for."""

    SEND = "send"  # to somebody who treats the patient
    DISC = "disc"  # or a print-out
    CORRECT = "correct"  # an error in what is kept
    STOP = "stop"  # a share that staff made
    OTHER = "other"


class State(enum.Enum):
    """Where a request is."""

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class Refusal(enum.Enum):
    """Why a request is refused; counted, and told with words of its own."""

    IDENTITY = "identity"  # it is not certain who asks
    NOT_HELD = "not-held"  # it is not here
    ACCURATE = "accurate"  # what is kept is right
    HARM = "harm"  # it would harm the patient, or somebody else
    OTHERS = "others"  # it would show what is somebody else's
    DONE_BEFORE = "done-before"
    INFEASIBLE = "infeasible"  # it cannot be done, or at no cost one could ask for
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a patient asks. `notify` is told that there is an answer."""

    kind: Kind
    person: Person
    words: str = field(default="", repr=False)
    studies: frozenset[StudyRef] = frozenset()
    share_id: int | None = None
    notify: Channel | None = field(default=None, repr=False)
    language: str = ENGLISH


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What staff answer: done, or refused for a reason that has a code."""

    refusal: Refusal | None = None
    words: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientRequest:
    """A request as its patient and staff see it."""

    request_id: int
    number: str
    owner: str
    kind: Kind
    studies: tuple[str, ...]
    share_id: int | None
    person: Person
    words: str = field(repr=False)
    told: str | None  # masked: where the patient hears of the answer
    language: str
    made_at: dt.datetime
    due_at: dt.datetime
    state: State
    refusal: Refusal | None
    answer: str = field(repr=False)
    ended_at: dt.datetime | None
    ended_by: str | None

    @property
    def is_open(self) -> bool:
        """Whether it waits for an answer."""
        return self.state is State.OPEN

    @property
    def is_overdue(self) -> bool:
        """Whether it has waited too long."""
        return self.is_open and self.due_at <= dt.datetime.now(dt.UTC)


def check_wish(wish: Wish) -> None:
    """Refuse a request that says too little, or too much. Raises `InvalidRequest`."""
    check_words(wish.words)
    if wish.kind in (Kind.CORRECT, Kind.OTHER, Kind.SEND) and not wish.words.strip():
        raise InvalidRequest(marked("Say in a few words what you need."))
    if len(wish.studies) > _MOST_STUDIES:
        raise InvalidRequest(
            filled("A request is about %(most)s examinations at most.", most=_MOST_STUDIES)
        )
    if (wish.kind is Kind.STOP) != (wish.share_id is not None):
        raise InvalidRequest(marked("Say which share is to be stopped."))
    if not 0 < len(wish.person.name.strip()) <= MOST_NAME:
        raise InvalidRequest("A request is somebody's: their name is missing.")
    if wish.language not in languages():
        raise InvalidRequest("Messages are written in the languages of the pages.")


def check_answer(answer: Answer) -> None:
    """Refuse an answer nobody could understand. Raises `InvalidRequest`."""
    check_words(answer.words)
    if answer.refusal is not None and not answer.words.strip():
        raise InvalidRequest(marked("Say in a sentence why it is refused: the patient reads it."))


def check_words(words: str) -> None:
    """Refuse what is too long, or no text. Raises `InvalidRequest`."""
    if len(words) > MOST_WORDS or not words.translate(_BREAKS).isprintable():
        raise InvalidRequest(
            filled("Write a text of at most %(most)s characters.", most=MOST_WORDS)
        )
