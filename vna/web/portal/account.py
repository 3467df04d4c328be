"""/account: where one is signed in, one's passkeys, new recovery codes."""

from __future__ import annotations

import orjson
from starlette.responses import Response
from starlette.routing import Route

from vna.errors import InvalidRequest
from vna.web.exchange import Counter
from vna.web.portal.guard import Page, Visit, Whose, guarded
from vna.web.portal.login import as_json
from vna.web.portal.numbers import one_of
from vna.web.portal.pages import Pages

_ROOT = "/account"
_OWN = "/my/account"  # where a patient's is


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of one's own account."""

    def post(path: str, page: Page) -> Route:
        return Route(
            f"{_ROOT}/{path}", guarded(counter, pages, page, whose=Whose.ALL), methods=["POST"]
        )

    return [
        Route(_ROOT, guarded(counter, pages, _account, whose=Whose.ALL)),
        post("sessions/end", _end),
        post("recovery-codes", _codes),
        post("passkeys/begin", _begin),
        post("passkeys", _add),
        post("passkeys/remove", _remove),
    ]


async def _account(visit: Visit) -> Response:
    if visit.is_patient:
        return visit.go(_OWN)
    people, account_id = visit.people, visit.known.account_id
    account = await visit.hop(lambda: people.accounts.of(account_id))
    sessions = await visit.hop(lambda: people.sessions.all(account_id))
    passkeys = await visit.hop(lambda: people.passkeys.all(account_id))
    return visit.show("account.html", account=account, sessions=sessions, passkeys=passkeys)


async def _end(visit: Visit) -> Response:
    form = await visit.form()
    which = form.get("session", "")
    if which == "others":
        await visit.hop(lambda: visit.people.sessions.end_others(visit.known))
    else:
        await visit.hop(lambda: visit.people.sessions.end(visit.known, _one(which)))
    visit.counter.identity.forget(visit.request.scope)
    return visit.go(_ROOT)


async def _codes(visit: Visit) -> Response:
    await visit.form()
    codes = await visit.hop(lambda: visit.people.signing.renew_recovery_codes(visit.known))
    return visit.show("codes.html", codes=codes, is_first=False)


async def _begin(visit: Visit) -> Response:
    await visit.json()
    options = await visit.hop(
        lambda: visit.people.signing.offer_passkey(visit.known, visit.browser(), visit.site())
    )
    return as_json(options.encode())


async def _add(visit: Visit) -> Response:
    answer = await visit.json()
    await visit.hop(
        lambda: visit.people.signing.add_passkey(visit.known, visit.browser(), visit.site(), answer)
    )
    return as_json(orjson.dumps({"next": _ROOT}))


async def _remove(visit: Visit) -> Response:
    form = await visit.form()
    number = _one(form.get("passkey", ""))
    await visit.hop(lambda: visit.people.signing.drop_passkey(visit.known, number))
    return visit.go(_ROOT)


def _one(text: str) -> int:
    return one_of(text, InvalidRequest("That is not one of yours."))
