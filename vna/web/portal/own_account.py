"""/my/account: how a patient signs in, and in which language they are written to."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from vna.errors import InvalidRequest
from vna.texts import Texts, languages
from vna.web.exchange import Counter
from vna.web.portal.own import Mine, mine
from vna.web.portal.pages import Pages

_HERE = "/my/account"


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of a patient's account."""
    return [
        mine(counter, pages, _HERE, _account),
        mine(counter, pages, f"{_HERE}/language", _language, "POST"),
    ]


async def _account(call: Mine) -> Response:
    people, account_id = call.people, call.account_id
    account = await call.hop(lambda: people.accounts.of(account_id))
    sessions = await call.hop(lambda: people.sessions.all(account_id))
    passkeys = await call.hop(lambda: people.passkeys.all(account_id))
    return call.show(
        "own_account.html",
        account=account,
        sessions=sessions,
        passkeys=passkeys,
        languages={one: Texts(one).name for one in languages()},
        preferred=call.preferred,
        here=_HERE,
    )


async def _language(call: Mine) -> Response:
    form = await call.form()
    wanted = form.get("language", "")
    if wanted and wanted not in languages():
        raise InvalidRequest("That is no language of these pages.")
    engine = call.counter.engines.patient_accounts
    await call.hop(lambda: engine.choose_language(call.account_id, wanted or None))
    return call.go(_HERE)
