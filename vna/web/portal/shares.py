"""/shares and /share/ID: the board of transactions, and one with everything that happened to it.

What failed stands there with its cause until somebody did something about it: again, or a disc.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action, Principal
from vna.delivery.messages import Message, State
from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, InvalidRequest, NotFound, VNAError
from vna.retrieve.disc import Disc
from vna.sharing.seconds import Second
from vna.sharing.sendings import Sending
from vna.sharing.values import Offered, ShareDetail, ShareSummary, Tab
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal import study
from vna.web.portal.guard import Page, Visit, guarded
from vna.web.portal.guest_archive import STATES
from vna.web.portal.pages import Pages
from vna.web.portal.share_form import BASES, DOUBTS, PURPOSES, Typed, compared, ticked, way
from vna.web.portal.share_new import made
from vna.web.portal.study import Study

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
REASONS = (
    marked("Not wanted any more"),
    marked("Wrong person"),
    marked("Wrong images"),
    marked("Wrong address"),
    marked("The patient asked for it"),
)
HAPPENINGS = {
    "share.offered": marked("Shared"),
    "share.tested": marked("Tested"),
    "share.extended": marked("Ends later"),
    "share.revoked": marked("Stopped"),
    "share.suspended": marked("Suspended"),
    "share.agreed": marked("A second person agreed"),
    "share.not-agreed": marked("A second person refused"),
    "grant.opened": marked("The link was opened"),
    "grant.code": marked("A code was sent"),
    "grant.factor": marked("A code or passcode was tried"),
    "grant.forwarded": marked("Given on"),
    "grant.left": marked("They left"),
    "grant.sending": marked("To be sent on to an archive"),
    "grant.renewed": marked("A new link was made"),
    "grant.revoked": marked("A link was stopped"),
    "grant.locked": marked("Locked after too many wrong tries"),
    "grant.refused": marked("Somebody said: this is not me"),
    "export.opened": marked("Opened: images were shown"),
    "disc.asked": marked("A disc was asked for"),
}
MESSAGES = (  # what is sent for a share, as its template is called
    marked("Invitation"),
    marked("Renewed"),
    marked("Code"),
    marked("Opened"),
    marked("Locked"),
    marked("Not me"),
    marked("Expiring"),
    marked("Unopened"),
    marked("Report added"),
    marked("Replaced"),
    marked("Shared with organisation"),
    marked("Shared with person"),
)
_STUCK = (State.FAILED, State.DEAD, State.BOUNCED)
_MOST_BOARD = 200
NOTHING = Typed({})


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of the board and of one share."""

    def get(path: str, page: Page) -> Route:
        return Route(path, guarded(counter, pages, page))

    def post(path: str, page: Page) -> Route:
        return Route(path, guarded(counter, pages, page), methods=["POST"])

    return [
        get("/shares", _board),
        post("/shares/retry", _retry_all),
        post("/shares/automatic", _automatic),
        get("/share/{share:int}", _one),
        post("/share/{share:int}/revoke", _revoke),
        post("/share/{share:int}/renew", _renew),
        post("/share/{share:int}/extend", _extend),
        post("/share/{share:int}/test", _test),
        post("/share/{share:int}/second", _second),
        post("/share/{share:int}/disc", _disc),
        post("/share/{share:int}/retry", _retry),
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


async def _one(visit: Visit) -> Response:
    who, share_id = await visit.who(Action.SHARE), _share(visit)
    return await _shown(visit, who, share_id)


async def _shown(
    visit: Visit,
    who: Principal,
    share_id: int,
    trouble: VNAError | None = None,
    typed: Typed = NOTHING,
) -> Response:
    """Show a share; where something that was typed was not taken, why not."""

    def look() -> tuple[
        ShareDetail, Second | None, list[Message], list[Disc], list[Sending], Study | None
    ]:
        engines = visit.counter.engines
        second = engines.sharing.seconds.of_share(who, share_id)
        sendings = engines.sharing.sendings.of_share(who, share_id)
        detail = engines.sharing.detail(who, share_id)
        messages = engines.messages.listed(who, share_id=share_id, most=_MOST_BOARD)
        discs = engines.discs.all(who, share=share_id, most=10)
        return detail, second, messages, discs, sendings, _study(visit, who, detail)

    detail, second, messages, discs, sendings, found = await visit.hop(look)
    return visit.show(
        "share.html",
        status=200 if trouble is None else problems.answer(trouble, "page")[0],
        trouble=None if trouble is None else visit.said(trouble),
        typed=typed,
        compared=[] if found is None else compared(found),
        detail=detail,
        share=detail.summary,
        second=second,
        doubts=DOUBTS,
        me=who.name,
        study=found,
        messages=messages,
        discs=discs,
        sendings=sendings,
        states=STATES,
        why={one.sending_id: one.cause or "" for one in sendings},
        causes=CAUSES,
        reasons=REASONS,
        purposes=PURPOSES,
        bases=BASES,
        happenings=HAPPENINGS,
        here="/shares",
    )


async def _revoke(visit: Visit) -> Response:
    who, share_id = await visit.who(Action.SHARE), _share(visit)
    form = await visit.form()
    grant_id = number_of(form.get("grant", ""))
    reason = form.get("reason", "")
    sharing = visit.counter.engines.sharing
    await visit.hop(lambda: sharing.revoke(who, share_id, grant_id=grant_id, reason=reason))
    return visit.go(f"/share/{share_id}")


async def _renew(visit: Visit) -> Response:
    who, share_id = await visit.who(Action.SHARE), _share(visit)
    typed = Typed(await visit.form())
    grant_id = number_of(typed.text("grant"))
    sharing = visit.counter.engines.sharing

    def renew() -> tuple[Offered, str | None, str | None, Study | None]:
        another = way(typed.text("by"))
        if another is None and "by" in typed.fields:
            raise InvalidRequest("Say where the code is to go, by the way it is to go.")
        detail = sharing.detail(who, share_id)
        grant = next((one for one in detail.grants if one.grant_id == grant_id), None)
        if grant is None:
            raise NotFound("There is no such grant of this share.")
        offered = sharing.renew(who, grant.grant_id, by=another, compared=ticked(typed))
        by = grant.by if another is None else another.masked()
        return offered, grant.to, by, _study(visit, who, detail)

    try:
        offered, to, by, found = await visit.hash(renew)
    except InvalidRequest as exc:
        return await _shown(visit, who, share_id, exc, typed)
    return made(visit, offered, to=to, by=by, study=found)


async def _extend(visit: Visit) -> Response:
    who, share_id = await visit.who(Action.SHARE), _share(visit)
    form = await visit.form()
    engines = visit.counter.engines
    try:
        day = dt.date.fromisoformat(form.get("until", ""))
        zone = ZoneInfo(engines.settings.site.timezone)
        until = dt.datetime.combine(day, dt.time(23, 59, 59), zone)
    except (ValueError, OverflowError) as exc:
        raise InvalidRequest("Say until which day it can be opened: year-month-day.") from exc
    await visit.hop(lambda: engines.sharing.extend(who, share_id, until))
    return visit.go(f"/share/{share_id}")


async def _test(visit: Visit) -> Response:
    who, share_id = await visit.who(Action.SHARE), _share(visit)
    await visit.form()
    sharing = visit.counter.engines.sharing
    preview = await visit.hop(lambda: sharing.test(who, share_id))
    return visit.show("share_tested.html", preview=preview, share_id=share_id, here="/shares")


async def _second(visit: Visit) -> Response:
    """Agree to where a colleague's share is to go, or refuse with a reason."""
    who, share_id = await visit.who(Action.SHARE), _share(visit)
    typed = Typed(await visit.form())
    seconds = visit.counter.engines.sharing.seconds
    try:
        if typed.text("what") == "agree":
            await visit.hop(lambda: seconds.agree(who, share_id))
        elif typed.text("what") == "refuse":
            await visit.hop(lambda: seconds.refuse(who, share_id, typed.text("reason")))
        else:
            raise InvalidRequest("A second person agrees or refuses.")
    except (InvalidRequest, Conflict) as exc:
        return await _shown(visit, who, share_id, exc, typed)
    return visit.go(f"/share/{share_id}")


async def _disc(visit: Visit) -> Response:
    who, share_id = await visit.who(Action.SHARE), _share(visit)
    await visit.form()

    def ask() -> int:
        engines = visit.counter.engines
        return engines.discs.ask(who, engines.sharing.shown(who, share_id), share=share_id)

    number = await visit.hop(ask)
    return visit.go(f"/disc/{number}")


async def _retry(visit: Visit) -> Response:
    who, share_id = await visit.who(Action.SHARE), _share(visit)
    form = await visit.form()
    message_id = number_of(form.get("message", ""))

    def again() -> None:
        engines = visit.counter.engines
        engines.sharing.detail(who, share_id)  # may they see it
        message = engines.messages.one(who, message_id or 0)
        if message.share_id != share_id:
            raise NotFound("There is no such message of this share.")
        engines.messages.retry(who, message.message_id)

    await visit.hop(again)
    back = form.get("back", "")
    return visit.go("/shares?tab=failed" if back == FAILED else f"/share/{share_id}")


async def _retry_all(visit: Visit) -> Response:
    who = await visit.who(Action.SHARE)
    await visit.form()
    await visit.hop(lambda: visit.counter.engines.messages.retry_all(who))
    return visit.go("/shares?tab=failed")


def _study(visit: Visit, who: Principal, detail: ShareDetail) -> Study | None:
    """Say whose a share is by its first study, as long as that is held."""
    try:
        return study.find(visit.counter.engines, who, uid(detail.summary.studies[0]))
    except (NotFound, IndexError):
        return None


def _share(visit: Visit) -> int:
    number: int = visit.request.path_params["share"]
    if number >= 1 << 63:
        raise NotFound("There is no such share.")
    return number


def number_of(text: str) -> int | None:
    """Read a number of ours. Raises `InvalidRequest`."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) >= 1 << 63:
        raise InvalidRequest("That is not a number of ours.")
    return int(text)
