"""/share/ID: one share, with its recipients, its messages and everything that happened to it.

Here staff do what can be done to a share: try it, a new link, stop, extend, a disc of the same, and
agree to where a colleague's is to go.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action, Principal
from vna.delivery.messages import Message
from vna.dicom.refs import uid
from vna.errors import Conflict, InvalidRequest, NotFound, VNAError
from vna.retrieve.disc import Disc
from vna.sharing.seconds import Second
from vna.sharing.sendings import Sending
from vna.sharing.values import Offered, ShareDetail
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal import study
from vna.web.portal.guard import Page, Visit, guarded
from vna.web.portal.guest_archive import STATES
from vna.web.portal.numbers import number_in, number_of
from vna.web.portal.pages import Pages
from vna.web.portal.share_form import (
    BASES,
    DOUBTS,
    PURPOSES,
    Typed,
    compared,
    ticked,
    until_of,
    way,
)
from vna.web.portal.share_new import made
from vna.web.portal.shares import CAUSES, FAILED
from vna.web.portal.study import Study

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
_MOST_MESSAGES = 200
NOTHING = Typed({})


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of one share."""

    def post(path: str, page: Page) -> Route:
        return Route(path, guarded(counter, pages, page), methods=["POST"])

    return [
        Route("/share/{share:int}", guarded(counter, pages, _one)),
        post("/share/{share:int}/revoke", _revoke),
        post("/share/{share:int}/renew", _renew),
        post("/share/{share:int}/extend", _extend),
        post("/share/{share:int}/test", _test),
        post("/share/{share:int}/second", _second),
        post("/share/{share:int}/disc", _disc),
        post("/share/{share:int}/retry", _retry),
    ]


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
        messages = engines.messages.listed(who, share_id=share_id, most=_MOST_MESSAGES)
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
            raise InvalidRequest(marked("Say where the code is to go, by the way it is to go."))
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
    until = until_of(form.get("until", ""), engines.settings.site.timezone)
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


def _study(visit: Visit, who: Principal, detail: ShareDetail) -> Study | None:
    """Say whose a share is by its first study, as long as that is held."""
    try:
        return study.find(visit.counter.engines, who, uid(detail.summary.studies[0]))
    except (NotFound, IndexError):
        return None


def _share(visit: Visit) -> int:
    return number_in(visit.request, "share")
