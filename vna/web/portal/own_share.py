"""/my/share: a patient shares their own images in four steps: what, to whom, how protected, check.

Between the steps all that was typed rests in a sealed draft; an address holds its number alone.
Before anything is sent it can be tried: the page then shows what a stranger would meet.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from typing import TypeVar

from starlette.responses import Response
from starlette.routing import Route

from vna.access.policy import require
from vna.access.principal import Action, Principal
from vna.dicom.refs import StudyRef
from vna.errors import Conflict, InvalidRequest, NotFound, TooLarge, TooMany, VNAError
from vna.sharing.drafts import Draft
from vna.sharing.rules import check_ways
from vna.sharing.values import Offer, Offered, Person, Preview, Protection, Purpose
from vna.texts import Texts, languages, marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal import viewing
from vna.web.portal.attributes import person
from vna.web.portal.enrol import picture
from vna.web.portal.numbers import number_in
from vna.web.portal.own import Mine, mine
from vna.web.portal.own_choices import Choice, choices, picked
from vna.web.portal.own_share_form import (
    CHECK,
    HAND,
    HOW,
    STEPS,
    TITLES,
    WHAT,
    WHOM,
    Steps,
    begun,
    check,
    offer_of,
)
from vna.web.portal.pages import Pages

T = TypeVar("T")

_MOST_FIELDS = 1100  # a box for each series, and what else is asked
_MOST_BYTES = 128 << 10
_MOST_IN_PARTS = 10
_REFUSED = (InvalidRequest, Conflict, NotFound, TooLarge, TooMany)


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of sharing by oneself."""

    steps = {"": _begin, "/{draft:int}/what": _what}
    steps |= {"/{draft:int}/whom": _whom, "/{draft:int}/how": _how}
    return [
        *(
            mine(counter, pages, f"/my/share{path}", page, method)
            for path, page in steps.items()
            for method in ("GET", "POST")
        ),
        mine(counter, pages, "/my/share/{draft:int}/check", _check),
        mine(counter, pages, "/my/share/{draft:int}/test", _test, "POST"),
        mine(counter, pages, "/my/share/{draft:int}/send", _send, "POST"),
    ]


def said(call: Mine, exc: VNAError) -> str:
    """Say an error in the language of the page where we know how; else as it is."""
    return call.texts().gettext(call.told(exc))


async def mailbox(call: Mine) -> str | None:
    """Say where a patient is written to, masked; None while they have proven no mailbox."""
    contacts = call.counter.engines.sharing.contacts
    found = await call.hop(lambda: contacts.mailbox(call.account_id))
    return None if found is None else found.masked()


def person_of(call: Mine) -> Person:
    """Say who a patient is. Raises `NotFound` while their account is nobody's."""
    own = call.own
    if own is None or not own.name:
        raise NotFound("This account is nobody's yet.")
    return Person(name=person(own.name), birth_date=own.birth_date)


# ---- the steps ---------------------------------------------------------------------------------


async def _begin(call: Mine) -> Response:
    who = _patient(call)
    until = call.counter.engines.sharing.default_until(Purpose.PATIENT_REQUEST)
    steps = begun(
        [call.request.query_params["study"]] if "study" in call.request.query_params else [],
        until=until,
        language=call.language(),
    )
    if call.request.method != "POST":
        return await _ask_what(call, who, steps, "")
    return await _chosen(call, who, steps, None)


async def _what(call: Mine) -> Response:
    who, draft = await _draft(call)
    if draft.share_id is not None:
        return call.go(f"/my/shares/{draft.share_id}")
    steps = Steps(draft.fields)
    if call.request.method != "POST":
        return await _ask_what(call, who, steps, f"/{draft.draft_id}/what")
    return await _chosen(call, who, steps, draft.draft_id)


async def _chosen(call: Mine, who: Principal, before: Steps, draft_id: int | None) -> Response:
    """Take over what was chosen: go on with it, or show the parts of it to choose from."""
    fields = await call.form(most_fields=_MOST_FIELDS, most_bytes=_MOST_BYTES)
    steps = before.typed(WHAT, fields)
    path = "" if draft_id is None else f"/{draft_id}/what"
    try:
        check(WHAT, steps, call.counter.engines.settings.site.timezone)
    except InvalidRequest as exc:
        return await _ask_what(call, who, steps, path, exc)
    if fields.get("go") == "parts":
        return await _ask_what(call, who, steps, path, in_parts=True)
    for one in steps.studies:
        require(who, Action.SHARE_OWN, StudyRef(one))
    drafts = call.counter.engines.sharing.own.drafts
    if draft_id is None:
        number = await call.hop(lambda: drafts.begin(who, steps.fields))
        return call.go(f"/my/share/{number}/whom")
    number = draft_id
    await call.hop(lambda: drafts.keep(who, number, steps.fields))
    return call.go(f"/my/share/{number}/whom")


async def _ask_what(
    call: Mine,
    who: Principal,
    steps: Steps,
    path: str,
    exc: VNAError | None = None,
    *,
    in_parts: bool = False,
) -> Response:
    engines = call.counter.engines

    def look() -> tuple[list[Choice], dict[str, viewing.Study]]:
        parts = [one for one in steps.studies if in_parts or steps.is_in_parts(one)]
        found = {one: viewing.study(engines, who, one) for one in parts[:_MOST_IN_PARTS]}
        return choices(engines, who), {str(one): study for one, study in found.items()}

    listed, parts = await call.hop(look)
    return call.show(
        "own_share_what.html",
        status=_status(exc),
        trouble=None if exc is None else said(call, exc),
        is_forbidden=False,
        steps=steps,
        choices=listed,
        parts=parts,
        path=path,
        **_frame(WHAT),
    )


async def _whom(call: Mine) -> Response:
    return await _step(call, WHOM, HOW)


async def _how(call: Mine) -> Response:
    return await _step(call, HOW, CHECK)


async def _step(call: Mine, step: str, following: str) -> Response:
    """Ask one step, and go on to the next once it says enough."""
    who, draft = await _draft(call)
    if draft.share_id is not None:
        return call.go(f"/my/shares/{draft.share_id}")
    steps, trouble = Steps(draft.fields), None
    if call.request.method == "POST":
        steps = steps.typed(step, await call.form())
        try:
            await _keep(call, who, draft.draft_id, step, steps)
            return call.go(f"/my/share/{draft.draft_id}/{following}")
        except _REFUSED as exc:
            trouble = exc
    return call.show(
        f"own_share_{step}.html",
        status=_status(trouble),
        trouble=None if trouble is None else said(call, trouble),
        is_forbidden=False,
        steps=steps,
        draft=draft.draft_id,
        languages={one: Texts(one).name for one in languages()},
        is_hand=steps.text("way") == HAND,
        mailbox=await mailbox(call),
        **_frame(step),
    )


async def _keep(call: Mine, who: Principal, draft_id: int, step: str, steps: Steps) -> None:
    engines = call.counter.engines
    zone = engines.settings.site.timezone
    check(step, steps, zone)
    if step == HOW:
        offer = offer_of(steps, person=Person(name="-"), series={}, zone=zone)
        _check_end(offer.until, dt.timedelta(days=engines.settings.sharing.most_days))
        check_ways(offer, engines.settings.sharing, dt.datetime.now(dt.UTC))
        if offer.to is None and not offer.printed and Protection.PASSCODE not in offer.proof:
            raise InvalidRequest(
                marked("What you hand over yourself needs a passcode, or a print-out with a code.")
            )
    await call.hop(lambda: engines.sharing.own.drafts.keep(who, draft_id, steps.fields))


def _check_end(until: dt.datetime, most: dt.timedelta) -> None:
    now = dt.datetime.now(dt.UTC)
    if until <= now:
        raise InvalidRequest(marked("That day is over: choose a later one."))
    if until > now + most:
        raise InvalidRequest(marked("That day is too far away: choose an earlier one."))


# ---- check, try, send --------------------------------------------------------------------------


async def _check(call: Mine) -> Response:
    who, draft = await _draft(call)
    if draft.share_id is not None:
        return call.go(f"/my/shares/{draft.share_id}")
    return await _checked(call, who, draft)


async def _test(call: Mine) -> Response:
    who, draft = await _draft(call)
    await call.form()
    try:
        offer = await _offer(call, who, draft)
        own = call.counter.engines.sharing.own
        preview = await _work(call, offer, lambda: own.rehearse(who, offer))
    except _REFUSED as exc:
        return await _checked(call, who, draft, exc)
    return await _checked(call, who, draft, preview=preview)


async def _send(call: Mine) -> Response:
    who, draft = await _draft(call)
    await call.form()
    if draft.share_id is not None:
        return call.go(f"/my/shares/{draft.share_id}")
    own = call.counter.engines.sharing.own
    try:
        offer = await _offer(call, who, draft)
        offered = await _work(call, offer, lambda: own.offer(who, offer, draft=draft.draft_id))
    except _REFUSED as exc:
        return await _checked(call, who, draft, exc)
    with contextlib.suppress(VNAError):  # what is shown once is shown, whatever a last try says
        await call.hop(lambda: own.test(who, offered.share_id))
    return handed(
        call,
        offered,
        to=None if offer.to is None else offer.to.masked(),
        by=None if offer.by is None else offer.by.masked(),
    )


async def _work(call: Mine, offer: Offer, work: Callable[[], T]) -> T:
    """Do what costs a hash after others that do, and the rest beside them."""
    costs = offer.printed or Protection.PASSCODE in offer.proof
    return await (call.hash(work) if costs else call.hop(work))


def handed(call: Mine, offered: Offered, *, to: str | None, by: str | None) -> Response:
    """Show what came of it; secrets are on this page and on no other."""
    secret = offered.secret
    link = call.counter.engines.sharing.link(secret) if secret is not None else ""
    title = call.texts().gettext("QR code of the link")
    return call.show(
        "own_share_made.html",
        offered=offered,
        link=link,
        picture=picture(link, title) if link else "",
        to=to,
        by=by,
        here="/my/shares",
    )


async def _checked(
    call: Mine,
    who: Principal,
    draft: Draft,
    exc: VNAError | None = None,
    preview: Preview | None = None,
) -> Response:
    """Show all that was chosen once more, and what a try of it found."""
    steps, engines = Steps(draft.fields), call.counter.engines
    chosen = await call.hop(lambda: picked(engines, who, steps))
    try:
        offer = await _offer(call, who, draft)
    except InvalidRequest as wrong:  # a step was left out
        step = _first_wrong(steps, engines.settings.site.timezone)
        if step is not None:
            return call.go(f"/my/share/{draft.draft_id}/{step}")
        raise wrong from None
    return call.show(
        "own_share_check.html",
        status=_status(exc),
        trouble=None if exc is None else said(call, exc),
        is_forbidden=isinstance(exc, Conflict),
        steps=steps,
        picked=chosen,
        offer=offer,
        ways=sorted(way.value for way in offer.proof),
        preview=preview,
        previewed={} if preview is None else {one.study: one for one in preview.studies},
        site=engines.settings.site,
        draft=draft.draft_id,
        **_frame(CHECK),
    )


async def _offer(call: Mine, who: Principal, draft: Draft) -> Offer:
    """Make the offer of a draft. Raises `InvalidRequest`, `NotFound`."""
    engines, steps = call.counter.engines, Steps(draft.fields)

    def make() -> Offer:
        found = [viewing.study(engines, who, one) for one in steps.studies]
        return offer_of(
            steps,
            person=person_of(call),
            series={one.uid: len(one.series) for one in found},
            zone=engines.settings.site.timezone,
            mailbox=engines.sharing.contacts.mailbox(call.account_id),
        )

    return await call.hop(make)


def _first_wrong(steps: Steps, zone: str) -> str | None:
    for step in (WHAT, WHOM, HOW):
        try:
            check(step, steps, zone)
        except InvalidRequest:
            return step
    return None


async def _draft(call: Mine) -> tuple[Principal, Draft]:
    who = _patient(call)
    number = number_in(call.request, "draft")
    return who, await call.hop(lambda: call.counter.engines.sharing.own.drafts.read(who, number))


def _patient(call: Mine) -> Principal:
    require(call.principal, Action.SHARE_OWN)
    return call.principal


def _frame(step: str) -> dict[str, object]:
    return {"step": step, "titles": {one: TITLES[one] for one in STEPS}, "here": "/my/shares"}


def _status(exc: VNAError | None) -> int:
    return 200 if exc is None else problems.status_of(exc)
