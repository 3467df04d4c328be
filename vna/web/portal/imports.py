"""/imports and /import/ID: the import desk. Discs are brought, looked at, confirmed or rejected."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action, Principal
from vna.errors import Conflict, InvalidRequest, VNAError
from vna.imports.values import Confirmation, Origin, Person, State
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal import files
from vna.web.portal.attributes import shown
from vna.web.portal.guard import Page, Visit, guarded
from vna.web.portal.numbers import is_number, number_in
from vna.web.portal.pages import Pages

_HERE = "/imports"
_PAGE = 50
_MOST_FIELDS = 4000
_MOST_BYTES = 1 << 19


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of the desk."""

    def get(path: str, page: Page) -> Route:
        return Route(path, guarded(counter, pages, page))

    def post(path: str, page: Page, method: str = "POST") -> Route:
        return Route(path, guarded(counter, pages, page), methods=[method])

    return [
        get(_HERE, _all),
        post(_HERE, _begin),
        get("/import/{number:int}", _one),
        post("/import/{number:int}/expect", _expect),
        post("/import/{number:int}/file/{mark}", _file, "PUT"),
        post("/import/{number:int}/form", _form),
        post("/import/{number:int}/finish", _finish),
        post("/import/{number:int}/confirm", _confirm),
        post("/import/{number:int}/reject", _reject),
    ]


async def _all(visit: Visit) -> Response:
    who = await visit.who(Action.IMPORT)
    imports = visit.counter.engines.imports
    before = visit.request.query_params.get("before", "")
    asked = int(before) if is_number(before) else None

    def look() -> tuple[list[Any], list[Any]]:
        return (
            imports.listed(who, waiting=True),
            imports.listed(who, waiting=False, before=asked, most=_PAGE),
        )

    waiting, over = await visit.hop(look)
    more = over[-1].number if len(over) == _PAGE else None
    return visit.show(
        "imports.html",
        waiting=waiting,
        over=over,
        more=more,
        states=STATES,
        origins=ORIGINS,
        here=_HERE,
    )


async def _begin(visit: Visit) -> Response:
    who = await visit.who(Action.IMPORT)
    form = await visit.form()
    note = form.get("note", "").strip()
    number = await visit.hop(lambda: visit.counter.engines.imports.begin(who, note=note))
    return visit.go(f"/import/{number}")


async def _one(visit: Visit) -> Response:
    return await _shown(visit, await visit.who(Action.IMPORT), _number(visit))


async def _shown(
    visit: Visit,
    who: Principal,
    number: int,
    *,
    trouble: VNAError | None = None,
    chosen: frozenset[str] | None = None,
    **said: str,
) -> Response:
    """Show an import; `chosen` are the persons and studies that were ticked, None: nobody has."""
    imports = visit.counter.engines.imports
    detail = await visit.hop(lambda: imports.detail(who, number))
    exchange = None
    if detail.about.origin is Origin.GUEST:
        exchange = await visit.hop(lambda: imports.guests.of_import(who, number))
    status = 200 if trouble is None else problems.status_of(trouble)
    return visit.show(
        "import.html",
        status=status,
        detail=detail,
        about=detail.about,
        exchange=exchange,
        trouble=None if trouble is None else visit.said(trouble),
        said=said,
        chosen=chosen,
        told=files.told,
        label=label,
        day=day,
        states=STATES,
        here=_HERE,
    )


async def _expect(visit: Visit) -> Response:
    who, number = await visit.who(Action.IMPORT), _number(visit)
    marks = await files.marks(visit)
    missing = await visit.hop(lambda: visit.counter.engines.imports.expect(who, number, marks))
    return files.json({"missing": missing})


async def _file(visit: Visit) -> Response:
    into = await _into(visit)
    visit.require_own(visit.request.headers.get("x-vna-form", ""))
    return await files.take_one(visit.request, into)


async def _form(visit: Visit) -> Response:
    into = await _into(visit)
    limits = visit.counter.engines.settings.limits
    await files.take_form(visit.request, into, limits, visit.require_own)
    return visit.go(f"/import/{into.number}")


async def _finish(visit: Visit) -> Response:
    who, number = await visit.who(Action.IMPORT), _number(visit)
    await visit.form()
    try:
        await visit.hop(lambda: visit.counter.engines.imports.finish(who, number))
    except Conflict as exc:
        return await _shown(visit, who, number, trouble=exc)
    return visit.go(f"/import/{number}")


async def _confirm(visit: Visit) -> Response:
    who, number = await visit.who(Action.IMPORT), _number(visit)
    form = await visit.form(most_fields=_MOST_FIELDS, most_bytes=_MOST_BYTES)
    said = Confirmation(
        persons=_ticked(form, "person:"),
        studies=_ticked(form, "study:"),
        family_name=form.get("family", "").strip()[:64],
        birth_date=form.get("born", "")[:10],
        reason=form.get("reason", "").strip()[:400],
    )
    try:
        await visit.hop(lambda: visit.counter.engines.imports.confirm(who, number, said))
    except (Conflict, InvalidRequest) as exc:
        known = {"family": said.family_name, "born": said.birth_date, "reason": said.reason}
        chosen = said.persons | said.studies
        return await _shown(visit, who, number, trouble=exc, chosen=chosen, **known)
    return visit.go(f"/import/{number}")


async def _reject(visit: Visit) -> Response:
    who, number = await visit.who(Action.IMPORT), _number(visit)
    form = await visit.form()
    reason = form.get("why", "")
    try:
        await visit.hop(lambda: visit.counter.engines.imports.reject(who, number, reason))
    except (Conflict, InvalidRequest) as exc:
        return await _shown(visit, who, number, trouble=exc)
    return visit.go(f"/import/{number}")


def _ticked(form: dict[str, str], prefix: str) -> frozenset[str]:
    return frozenset(name.removeprefix(prefix) for name in form if name.startswith(prefix))


async def _into(visit: Visit) -> files.Import:
    who = await visit.who(Action.IMPORT)
    stands = visit.counter.standing.of_request(visit.request.scope, who)
    return files.Import(counter=visit.counter, who=who, number=_number(visit), stands=stands)


def _number(visit: Visit) -> int:
    return number_in(visit.request, "number")


def label(person: Person) -> str:
    """Write a name as people do: family name, others; empty where there is none."""
    return shown({"Alphabetic": person.name})


def day(text: str) -> str:
    """Write a DICOM date as year-month-day; what is none stays as it is."""
    is_one = len(text) == 8 and text.isdigit()
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if is_one else text


STATES = {
    State.RECEIVING: (marked("Taking files"), ""),
    State.NEEDS_IDENTITY: (marked("Waits for you"), "is-warn"),
    State.CONFIRMED: (marked("Being filed"), ""),
    State.FILED: (marked("Filed"), "is-good"),
    State.REJECTED: (marked("Being destroyed"), "is-bad"),
    State.PURGED: (marked("Rejected, destroyed"), "is-bad"),
}
"""What a state is called, and how it is coloured."""

ORIGINS = {
    Origin.DESK: marked("at the desk"),
    Origin.REQUEST: marked("asked for"),
    Origin.GUEST: marked("from a guest"),
}
"""How an import came."""
