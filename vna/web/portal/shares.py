"""/shares: the board of transactions, by what is to be done about them.

What failed stands there with its cause until somebody did something about it: again, or a disc.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action, Principal
from vna.delivery.messages import Message, State
from vna.dicom.refs import StudyRef, uid
from vna.errors import InvalidRequest
from vna.sharing.values import ShareSummary, Tab
from vna.texts import marked
from vna.web.exchange import Counter
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.numbers import number_of
from vna.web.portal.pages import Pages
from vna.web.portal.share_form import DOUBTS

PAGE = 50

FAILED, AUTOMATIC, FIGURES, SECOND = "failed", "automatic", "figures", "second"
TABS = {
    Tab.TODAY.value: marked("Today"),
    Tab.WAITING.value: marked("Waiting"),
    SECOND: marked("Second person"),
    FAILED: marked("Failed"),
    AUTOMATIC: marked("By consent"),
    Tab.UNOPENED.value: marked("Unopened"),
    Tab.EXPIRING.value: marked("Expiring"),
    Tab.LOCKED.value: marked("Locked"),
    Tab.ENDED.value: marked("Ended"),
    Tab.ALL.value: marked("All"),
    FIGURES: marked("Figures"),
}
CAUSES = {
    "network": marked("The mail or SMS service could not be reached."),
    "not-now": marked("The other side asks to come again later."),
    "refused": marked("The other side refuses this message."),
    "address": marked("There is nobody at this address."),
    "quota": marked("The mailbox is full, or too much was sent."),
    "expired": marked("It would be of no use any more."),
    "not-set-up": marked("Mail or SMS is not set up, or its sign-in is wrong."),
    "bounced": marked("It came back."),
}
_STUCK = (State.FAILED, State.DEAD, State.BOUNCED)
_MOST_BOARD = 200


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of the board."""
    return [
        Route("/shares", guarded(counter, pages, _board)),
        Route("/shares/retry", guarded(counter, pages, _retry_all), methods=["POST"]),
        Route("/shares/automatic", guarded(counter, pages, _automatic), methods=["POST"]),
    ]


async def _board(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    tab = visit.request.query_params.get("tab", Tab.TODAY.value)
    if tab not in TABS:
        raise InvalidRequest("There is no such list.")
    before = number_of(visit.request.query_params.get("before", ""))

    if tab == AUTOMATIC:
        return await _by_consent(visit, who)
    if tab == FIGURES:
        return await _figures(visit, who)
    if tab == SECOND:
        return await _seconds(visit, who)

    def look() -> tuple[list[ShareSummary], list[Message], dict[int, str], int, int, int]:
        engines = visit.counter.engines
        blocked = engines.sharing.automatic.count_blocked(who)
        waits = engines.sharing.seconds.count(who)
        # who sees a part of the archive is told of messages on the page of their share alone
        is_whole = who.scope.everything
        counts = engines.messages.counts(who) if is_whole else {}
        stuck = sum(counts.get(state, 0) for state in _STUCK)
        if tab == FAILED and not is_whole:
            return [], [], {}, stuck, blocked, waits
        if tab == FAILED:
            messages = engines.messages.listed(who, states=_STUCK, most=_MOST_BOARD)
            named = {one.share_id for one in messages if one.share_id is not None}
            return [], messages, engines.sharing.numbers(who, named), stuck, blocked, waits
        shares = engines.sharing.shares(who, tab=Tab(tab), before=before, most=PAGE)
        return shares, [], {}, stuck, blocked, waits

    shares, messages, numbers, stuck, blocked, waits = await visit.hop(look)
    return visit.show(
        "shares.html",
        tab=tab,
        tabs=TABS,
        shares=shares,
        messages=messages,
        numbers=numbers,
        causes=CAUSES,
        stuck=stuck,
        blocked=blocked,
        waits=waits,
        next=shares[-1].share_id if len(shares) == PAGE else None,
        here="/shares",
    )


async def _by_consent(visit: Visit, who: Principal) -> Response:
    """Show what goes out without hands, and what is in its way."""
    listed = await visit.hop(lambda: visit.counter.engines.sharing.automatic.listed(who))
    return visit.show(
        "shares_automatic.html",
        tab=AUTOMATIC,
        tabs=TABS,
        listed=listed,
        stuck=0,
        blocked=sum(one.state == "blocked" for one in listed),
        waits=0,
        here="/shares",
    )


async def _figures(visit: Visit, who: Principal) -> Response:
    """Show how it goes: the last night, and month by month."""
    figures = visit.counter.engines.sharing.figures
    night, months = await visit.hop(lambda: (figures.night(who), figures.months(who)))
    return visit.show(
        "shares_figures.html",
        tab=FIGURES,
        tabs=TABS,
        night=night,
        months=months,
        stuck=0,
        blocked=night.blocked,
        waits=0,
        here="/shares",
    )


async def _seconds(visit: Visit, who: Principal) -> Response:
    """Show what waits for a second person: who asked, and why."""
    waiting = await visit.hop(lambda: visit.counter.engines.sharing.seconds.waiting(who))
    return visit.show(
        "shares_second.html",
        tab=SECOND,
        tabs=TABS,
        waiting=waiting,
        doubts=DOUBTS,
        me=who.name,
        stuck=0,
        blocked=0,
        waits=len(waiting),
        here="/shares",
    )


async def _automatic(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    form = await visit.form()
    consent_id, ref = number_of(form.get("consent", "")) or 0, StudyRef(uid(form.get("study", "")))
    engine, what = visit.counter.engines.sharing.automatic, form.get("what", "")
    if what == "leave":
        await visit.hop(lambda: engine.leave(who, consent_id, ref))
    else:
        is_urgent = what == "urgent"
        await visit.hop(lambda: engine.retry(who, consent_id, ref, urgent=is_urgent))
    return visit.go(f"/shares?tab={AUTOMATIC}")


async def _retry_all(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    await visit.form()
    await visit.hop(lambda: visit.counter.engines.messages.retry_all(who))
    return visit.go("/shares?tab=failed")
