"""/study/UID/account: the account of whom a study is about, as the desk sees it.

Two things are compared with the person first. The code is shown once and printed from the page that
shows it: the archive keeps none it could show again.
"""

from __future__ import annotations

import datetime as dt
import re

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action, Principal
from vna.config import Settings
from vna.delivery.printout import CodeSheet, code_sheet
from vna.dicom.refs import UID, uid
from vna.errors import Conflict, InvalidRequest, NotFound, VNAError
from vna.operate.patient_accounts import Holder, Issued
from vna.texts import ENGLISH, Texts, languages, marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.attributes import person
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.numbers import is_number
from vna.web.portal.pages import Pages

_CODE = re.compile(r"[0-9A-Z]{4}(-[0-9A-Z]{4}){2}", re.ASCII)
_LOGIN = re.compile(r"p-[0-9a-z]{4}-[0-9a-z]{4}", re.ASCII)
_REFUSED = (Conflict, InvalidRequest, NotFound)
_DONE = {
    "confirm": marked("The account is confirmed: they see what is about them."),
    "keep": marked("It stays as it was: messages go where they went. Nothing waits any more."),
    "end": marked(
        "The account is ended. Who was signed in is out, and what it has shared is paused."
    ),
}
_STATES = {
    "open": (marked("In use"), "is-good"),
    "begun": (marked("Not signed in yet"), ""),
    "waiting": (marked("Waits for you to compare"), "is-warn"),
    "ended": (marked("Ended"), ""),
}


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of accounts at the desk."""
    page = guarded(counter, pages, _page)
    return [
        Route("/study/{study}/account", page, methods=["GET", "POST"]),
        Route("/study/{study}/account.pdf", guarded(counter, pages, _sheet), methods=["POST"]),
    ]


async def _page(visit: Visit) -> Response:
    who = await visit.who(Action.CORRECT)
    study = uid(visit.request.path_params["study"])
    if visit.request.method != "POST":
        return await _shown(visit, who, study)
    form = await visit.form()
    act = form.get("act", "")
    try:
        issued = await visit.hop(lambda: _do(visit, who, study, act, form))
    except _REFUSED as exc:
        return await _shown(visit, who, study, exc=exc)
    if issued is not None:
        return _made(visit, study, issued, _language(form))
    return await _shown(visit, who, study, done=_DONE.get(act))


def _do(visit: Visit, who: Principal, study: UID, act: str, form: dict[str, str]) -> Issued | None:
    engine = visit.counter.engines.patient_accounts
    compared = {name.removeprefix("compared.") for name in form if name.startswith("compared.")}
    number = form.get("binding", "")
    if number and not is_number(number):
        raise InvalidRequest("That is no account of theirs.")
    if act == "code":
        return engine.issue(
            who, study, compared=compared, binding_id=int(number) if number else None
        )
    if not number:
        raise InvalidRequest("Say which account.")
    if act == "confirm":
        engine.confirm(who, study, int(number), compared=compared)
    elif act == "keep":
        engine.keep_ways(who, study, int(number))
    elif act == "end":
        engine.end(who, study, int(number), reason=form.get("reason", ""))
    else:
        raise InvalidRequest(marked("Say what is to be done."))
    return None


async def _shown(
    visit: Visit,
    who: Principal,
    study: UID,
    *,
    exc: VNAError | None = None,
    done: str | None = None,
) -> Response:
    holder = await visit.hop(lambda: visit.counter.engines.patient_accounts.holder(who, study))
    return visit.show(
        "desk_account.html",
        status=200 if exc is None else problems.answer(exc, "page")[0],
        holder=holder,
        compared=_compared(holder),
        states=_STATES,
        languages={one: Texts(one).name for one in languages()},
        ways={"email": marked("E-mail"), "sms": marked("Mobile telephone")},
        timezone=visit.counter.engines.settings.site.timezone,
        hold_hours=hold_hours(visit.counter.engines.settings),
        trouble=None if exc is None else visit.said(exc),
        done=done,
        here="/patients",
    )


def _compared(holder: Holder) -> list[tuple[str, str, str]]:
    """Say what can be compared with the person: field, what it is called, what the archive has."""
    one = holder.one
    held = [
        ("name", marked("Name"), person(one.said.name)),
        ("birth-date", marked("Date of birth"), str(one.said.born or "")),
        ("patient-id", marked("Patient ID"), one.patient_id),
        ("address", marked("Address, as they say it and as your records have it"), ""),
        ("papers", marked("A paper with their picture, seen by you"), ""),
    ]
    return [(f"compared.{field}", name, text) for field, name, text in held]


def _made(visit: Visit, study: UID, issued: Issued, language: str) -> Response:
    return visit.show(
        "desk_account_made.html",
        is_carer=False,
        study=study,
        issued=issued,
        timezone=visit.counter.engines.settings.site.timezone,
        where=f"{visit.counter.engines.sharing.origin()}/my/start",
        language_chosen=language,
        here="/patients",
    )


async def _sheet(visit: Visit) -> Response:
    await visit.who(Action.CORRECT)
    uid(visit.request.path_params["study"])
    form = await visit.form()
    code, login = form.get("code", ""), form.get("login", "")
    if not _CODE.fullmatch(code) or not _LOGIN.fullmatch(login):
        raise InvalidRequest(marked("This code is none of ours: make a new one."))
    where = f"{visit.counter.engines.sharing.origin()}/my/start"
    sheet = CodeSheet(
        code=code,
        typed_at=where,
        login=login,
        until=_day(form),
        language=_language(form),
        is_of_carer=form.get("carer") == "yes",
    )
    site = visit.counter.engines.settings.site
    data = await visit.hop(lambda: code_sheet(sheet, site))
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="account.pdf"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(data, 200, headers, "application/pdf")


def hold_hours(settings: Settings) -> str:
    """Say for how many hours a change waits; nothing when none does."""
    return f"{settings.access.hold_hours:g}" if settings.access.hold_hours else ""


def _language(form: dict[str, str]) -> str:
    asked = form.get("language", ENGLISH)
    return asked if asked in languages() else ENGLISH


def _day(form: dict[str, str]) -> dt.date:
    try:
        return dt.date.fromisoformat(form.get("until", ""))
    except ValueError as exc:
        raise InvalidRequest(marked("This code is none of ours: make a new one.")) from exc
