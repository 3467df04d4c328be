"""/my/account: how a patient signs in, where they may be written to, and in which language."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from vna.errors import (
    Conflict,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotProven,
    TooMany,
    VNAError,
)
from vna.sharing.values import channel
from vna.texts import Texts, languages
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.own import Mine, mine
from vna.web.portal.own_desk import hold_hours
from vna.web.portal.pages import Pages

_HERE = "/my/account"


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of a patient's account."""
    return [
        mine(counter, pages, "/my/stay", _stay),
        mine(counter, pages, _HERE, _account),
        mine(counter, pages, f"{_HERE}/language", _language, "POST"),
        mine(counter, pages, f"{_HERE}/contact", _contact, "POST"),
        mine(counter, pages, f"{_HERE}/code", _code, "POST"),
    ]


async def _stay(_call: Mine) -> Response:
    """Answer that they are still signed in, which they are for a while from now on."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


async def _account(call: Mine) -> Response:
    return await _shown(call)


async def _shown(
    call: Mine, exc: VNAError | None = None, refused: tuple[str, str] = ("", "")
) -> Response:
    """Show the page; `refused` is the kind of an address that was not taken, and the address."""
    people, account_id = call.people, call.account_id
    account = await call.hop(lambda: people.accounts.of(account_id))
    sessions = await call.hop(lambda: people.sessions.all(account_id))
    passkeys = await call.hop(lambda: people.passkeys.all(account_id))
    ways = call.counter.engines.sharing.contacts
    contacts = await call.hop(lambda: ways.of(account_id))
    changes = await call.hop(lambda: ways.changes(account_id))
    accounts = call.counter.engines.patient_accounts
    return call.show(
        "own_account.html",
        status=200 if exc is None else problems.status_of(exc),
        trouble=None if exc is None else call.said(exc),
        contacts={one.kind: one for one in contacts},
        changes={one.kind: one for one in changes},
        typed=dict([refused]),
        hold_hours=hold_hours(call.counter.engines.settings),
        code_opens=await call.hop(lambda: accounts.own.held_code(account_id)),
        account=account,
        sessions=sessions,
        passkeys=passkeys,
        languages={one: Texts(one).name for one in languages()},
        preferred=call.preferred,
        here=_HERE,
    )


async def _contact(call: Mine) -> Response:
    """Change where they are written to: `act` says whether it begins, is proven, ends or stays."""
    form = await call.form()
    contacts, who = call.counter.engines.sharing.contacts, call.principal
    kind, typed = form.get("kind", ""), form.get("typed", "")
    if not call.known.is_fresh:
        raise NotProven
    try:
        match form.get("act"):
            case "begin":
                to, language = channel(kind, typed), call.language()
                await call.hop(lambda: contacts.begin(who, call.account_id, to, language=language))
            case "prove":
                await call.hop(lambda: contacts.prove(who, call.account_id, kind, typed))
            case "drop":
                await call.hop(lambda: contacts.drop(who, call.account_id, kind))
            case "stop":
                await call.hop(lambda: contacts.stop(who, call.account_id, kind))
            case _:
                raise InvalidRequest("Say what is to be done.")
    except NotProven:
        raise
    except (InvalidRequest, NotAuthenticated, NotFound, Conflict, TooMany) as exc:
        return await _shown(call, exc, (kind, typed) if form.get("act") == "begin" else ("", ""))
    return call.go(f"{_HERE}#contacts")


async def _code(call: Mine) -> Response:
    """Make a code void that a desk gave out: whoever is signed in did not ask for it."""
    await call.form()
    engine, who = call.counter.engines.patient_accounts, call.principal
    try:
        await call.hop(lambda: engine.own.stop_code(who, call.account_id))
    except NotFound as exc:
        return await _shown(call, exc)
    return call.go(_HERE)


async def _language(call: Mine) -> Response:
    form = await call.form()
    wanted = form.get("language", "")
    if wanted and wanted not in languages():
        raise InvalidRequest("That is no language of these pages.")
    engine = call.counter.engines.patient_accounts
    await call.hop(lambda: engine.own.choose_language(call.account_id, wanted or None))
    return call.go(_HERE)
