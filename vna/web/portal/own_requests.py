"""/my/requests: what a patient asks of the archive, until when it is answered, and the answer."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Principal
from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, InvalidRequest, NotFound, TooMany, VNAError
from vna.sharing.wishes import MOST_WORDS, Kind, PatientRequest, Refusal, State, Wish
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.numbers import number_in
from vna.web.portal.own import Mine, mine
from vna.web.portal.own_choices import Choice, choices
from vna.web.portal.own_share import mailbox, person_of, said
from vna.web.portal.pages import Pages

_HERE = "/my/requests"
_REFUSED = (InvalidRequest, Conflict, NotFound, TooMany)

KINDS = {
    Kind.SEND: marked("Send my images to my doctor"),
    Kind.DISC: marked("Give me a disc or a print-out"),
    Kind.CORRECT: marked("Something is wrong: please correct it"),
    Kind.OTHER: marked("Something else"),
    Kind.STOP: marked("Stop a share that staff made"),
}
REFUSALS = {
    Refusal.IDENTITY: marked("We could not make sure that it is you who asks."),
    Refusal.NOT_HELD: marked("We do not have what you ask for."),
    Refusal.ACCURATE: marked("We looked at it, and what we keep is right."),
    Refusal.HARM: marked("It could harm you or somebody else."),
    Refusal.OTHERS: marked("It would show what belongs to somebody else."),
    Refusal.DONE_BEFORE: marked("It was done before."),
    Refusal.INFEASIBLE: marked("We are not able to do this."),
    Refusal.OTHER: marked("For another reason."),
}
STATES = {
    State.OPEN: (marked("Waiting"), "is-warn"),
    State.DONE: (marked("Done"), "is-good"),
    State.REFUSED: (marked("Refused"), "is-bad"),
    State.WITHDRAWN: (marked("Taken back"), ""),
}


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of a patient's requests."""

    return [
        mine(counter, pages, _HERE, _all),
        mine(counter, pages, _HERE, _ask, "POST"),
        mine(counter, pages, f"{_HERE}/{{number:int}}/withdraw", _withdraw, "POST"),
    ]


async def _all(call: Mine) -> Response:
    who = call.principal
    params = call.request.query_params
    typed = {"study": params.get("study", ""), "kind": params.get("kind", "")}
    return await _shown(call, who, typed)


async def _ask(call: Mine) -> Response:
    who = call.principal
    form = await call.form()
    engines = call.counter.engines

    def ask() -> str:
        person = person_of(call)
        study = form.get("study", "")
        wish = Wish(
            kind=_kind(form),
            person=person,
            words=form.get("words", "").replace("\r\n", "\n"),
            studies=frozenset({StudyRef(uid(study))} if study else ()),
            notify=engines.sharing.contacts.mailbox(call.account_id),
            language=call.language(),
        )
        return engines.sharing.requests.ask(who, wish)

    try:
        await call.hop(ask)
    except _REFUSED as exc:
        return await _shown(call, who, form, exc)
    return call.go(_HERE)


async def _withdraw(call: Mine) -> Response:
    who = call.principal
    await call.form()
    number = number_in(call.request, "number")
    await call.hop(lambda: call.counter.engines.sharing.requests.withdraw(who, number))
    return call.go(_HERE)


async def _shown(
    call: Mine, who: Principal, typed: Mapping[str, str], exc: VNAError | None = None
) -> Response:
    engines = call.counter.engines

    def look() -> tuple[list[PatientRequest], list[Choice]]:
        return engines.sharing.requests.own(who), choices(engines, who)

    found, listed = await call.hop(look)
    return call.show(
        "own_requests.html",
        status=200 if exc is None else problems.status_of(exc),
        trouble=None if exc is None else said(call, exc),
        requests=found,
        choices=listed,
        named={one.uid: one for one in listed},
        kinds={one: text for one, text in KINDS.items() if one is not Kind.STOP},
        all_kinds=KINDS,
        states=STATES,
        refusals=REFUSALS,
        typed=typed,
        most=MOST_WORDS,
        mailbox=await mailbox(call),
        days=int(engines.settings.sharing.answer_days),
        here="/my/requests",
    )


def _kind(form: Mapping[str, str]) -> Kind:
    try:
        found = Kind(form.get("kind", ""))
    except ValueError:
        found = Kind.STOP
    if found is Kind.STOP:  # asked on the page of a share
        raise InvalidRequest(marked("Choose what you ask for."))
    return found
