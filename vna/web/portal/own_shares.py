"""/my/shares: what a patient has shared, and what staff did; who opened it, stop, a new link."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Principal
from vna.errors import NotFound
from vna.sharing.own import OwnDetail, OwnShare
from vna.sharing.values import GrantState, GrantSummary, Offered, ShareState
from vna.sharing.wishes import Kind, Wish
from vna.texts import marked
from vna.web.exchange import Counter
from vna.web.portal.numbers import number_in, number_of
from vna.web.portal.own import Mine, MyPage, mine
from vna.web.portal.own_choices import Choice, choices
from vna.web.portal.own_share import handed, person_of
from vna.web.portal.pages import Pages
from vna.web.portal.share_paper import link_pdf, passcode_pdf

PAGE = 25

STATES = {
    ShareState.DRAFT: (marked("Not sent"), "is-warn"),
    ShareState.READY: (marked("Not sent"), "is-warn"),
    ShareState.SENT: (marked("Sent, not opened yet"), ""),
    ShareState.VERIFIED: (marked("Sent, not opened yet"), ""),
    ShareState.ACTIVE: (marked("Opened"), "is-good"),
    ShareState.SUSPENDED: (marked("Paused"), "is-warn"),
    ShareState.EXPIRED: (marked("Its time is over"), ""),
    ShareState.EXHAUSTED: (marked("Opened as often as allowed"), ""),
    ShareState.REVOKED: (marked("Stopped"), "is-bad"),
}
GRANTS = {
    GrantState.PENDING: marked("made, not handed over or opened yet"),
    GrantState.INVITED: marked("sent, not opened yet"),
    GrantState.LINK_OPENED: marked("the link was opened, the proof not shown yet"),
    GrantState.FACTOR_PENDING: marked("a code was sent, not typed yet"),
    GrantState.OPEN: marked("opened"),
    GrantState.EXPIRED: marked("its time is over"),
    GrantState.REVOKED: marked("stopped"),
    GrantState.LOCKED: marked("locked after too many wrong tries"),
    GrantState.REFUSED: marked("it reached somebody else, who stopped it"),
}
HAPPENINGS = {
    "share.offered": marked("shared"),
    "share.tested": marked("tried"),
    "share.extended": marked("made to last longer"),
    "share.revoked": marked("stopped"),
    "share.suspended": marked("paused"),
    "share.reinstated": marked("let go on"),
    "share.agreed": marked("agreed as a second person: the link was sent"),
    "share.not-agreed": marked("refused as a second person: nothing was sent"),
    "grant.opened": marked("opened the link"),
    "grant.code": marked("asked for a code"),
    "grant.forwarded": marked("gave it on"),
    "grant.left": marked("left"),
    "grant.sending": marked("had it sent to a hospital's archive"),
    "grant.renewed": marked("made a new link"),
    "grant.revoked": marked("stopped a link"),
    "grant.locked": marked("typed the wrong thing too often: the link is locked"),
    "grant.refused": marked("said: this is not for me"),
    "export.opened": marked("looked at the images"),
}
_ENDED = frozenset({ShareState.REVOKED, ShareState.EXPIRED, ShareState.EXHAUSTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A share in the list, with what it shows in words."""

    share: OwnShare
    titles: tuple[Choice, ...]

    @property
    def recipients(self) -> list[GrantSummary]:
        """List to whom it was given in the first place."""
        return [one for one in self.share.grants if one.parent_id is None]

    @property
    def holds(self) -> bool:
        """Whether there is still something to stop."""
        return self.share.summary.state not in _ENDED


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of a patient's shares."""

    def at(path: str, page: MyPage, method: str = "GET") -> Route:
        return mine(counter, pages, f"/my/shares{path}", page, method)

    return [
        at("", _all),
        at("/{share:int}", _one),
        at("/{share:int}/stop", _stop, "POST"),
        at("/{share:int}/renew", _renew, "POST"),
        at("/{share:int}/ask-stop", _ask_stop, "POST"),
        at("/{share:int}/sheet.pdf", _sheet, "POST"),
        at("/{share:int}/passcode.pdf", _passcode, "POST"),
    ]


async def _all(call: Mine) -> Response:
    who = call.principal
    before = number_of(call.request.query_params.get("before", ""))
    engines = call.counter.engines

    def look() -> list[Line]:
        named = {one.uid: one for one in choices(engines, who)}
        shares = engines.sharing.own.shares(who, before=before, most=PAGE)
        return [_line(one, named) for one in shares]

    lines = await call.hop(look)
    return call.show(
        "own_shares.html",
        lines=lines,
        states=STATES,
        site=engines.settings.site,
        next=lines[-1].share.summary.share_id if len(lines) == PAGE else None,
        here="/my/shares",
    )


async def _one(call: Mine) -> Response:
    who, share_id = _asked(call)
    engines = call.counter.engines

    def look() -> tuple[OwnDetail, Line, dict[str, str]]:
        detail = engines.sharing.own.detail(who, share_id)
        line = _line(detail.share, {one.uid: one for one in choices(engines, who)})
        return detail, line, engines.carers.called(call.known)

    detail, line, called = await call.hop(look)
    return call.show(
        "own_share_one.html",
        line=line,
        share=detail.share,
        happened=[one for one in detail.happened if one.kind in HAPPENINGS],
        words=HAPPENINGS,
        states=STATES,
        grants=GRANTS,
        named={one.grant_id: one.recipient for one in detail.share.grants},
        called=called,
        site=engines.settings.site,
        here="/my/shares",
    )


async def _stop(call: Mine) -> Response:
    who, share_id = _asked(call)
    form = await call.form()
    grant_id = number_of(form.get("grant", ""))
    own = call.counter.engines.sharing.own
    await call.hop(lambda: own.stop(who, share_id, grant_id=grant_id))
    return call.go(f"/my/shares/{share_id}")


async def _renew(call: Mine) -> Response:
    who, share_id = _asked(call)
    form = await call.form()
    own = call.counter.engines.sharing.own

    def renew() -> tuple[Offered, GrantSummary]:
        grant = _grant(own.detail(who, share_id), form)
        return own.renew(who, share_id, grant.grant_id), grant

    offered, grant = await call.hash(renew)
    return handed(call, offered, to=grant.to, by=grant.by)


async def _ask_stop(call: Mine) -> Response:
    """Ask staff to stop what they shared."""
    who, share_id = _asked(call)
    form = await call.form()
    engines = call.counter.engines

    def ask() -> None:
        wish = Wish(
            kind=Kind.STOP,
            person=person_of(call),
            words=form.get("words", ""),
            share_id=share_id,
            notify=engines.sharing.contacts.mailbox(call.account_id),
            language=call.language(),
        )
        engines.sharing.requests.ask(who, wish)

    await call.hop(ask)
    return call.go("/my/requests")


async def _sheet(call: Mine) -> Response:
    return await link_pdf(call, *await _printed(call))


async def _passcode(call: Mine) -> Response:
    return await passcode_pdf(call, *await _printed(call))


async def _printed(call: Mine) -> tuple[dict[str, str], str, GrantSummary]:
    who, share_id = _asked(call)
    form = await call.form()
    detail = await call.hop(lambda: call.counter.engines.sharing.own.detail(who, share_id))
    return form, detail.share.summary.number, _grant(detail, form)


def _grant(detail: OwnDetail, form: dict[str, str]) -> GrantSummary:
    for grant in detail.share.grants:
        if detail.share.is_own and str(grant.grant_id) == form.get("grant", ""):
            return grant
    raise NotFound("There is no such grant of a share of yours.")


def _line(share: OwnShare, named: dict[str, Choice]) -> Line:
    return Line(
        share=share, titles=tuple(named[one] for one in share.summary.studies if one in named)
    )


def _asked(call: Mine) -> tuple[Principal, int]:
    return call.principal, number_in(call.request, "share")
