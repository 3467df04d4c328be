"""/send: a guest sends images to a guest. Two addresses, a code, files, a passcode shown once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response
from starlette.routing import Route

from vna.errors import Conflict, InvalidRequest, NotAuthenticated, TooLarge, TooMany, VNAError
from vna.imports.exchanges import Parcel, Party, Side, Standing
from vna.imports.guest_senders import AGAIN_S, CODE_MINUTES, GuestSenders
from vna.imports.taking import Taking
from vna.texts import marked
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal import files
from vna.web.portal.exchange import Handover, HandoverPage, door, resumed, told
from vna.web.portal.guest_studies import Size
from vna.web.portal.pages import Pages

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_MOST_LIST = 8 << 20
_MOST_ITEMS = 1000  # named in one list: more than may be sent anyway
_WAYS = {Standing.PROVING: "/send/code", Standing.FILLING: "/send/files"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Into(files.Import):
    """Which exchange is being filled."""

    senders: GuestSenders
    party: Party

    def begin(self, name: str, mark: str | None, digest: bytes | None) -> Taking:
        """Begin to take a file."""
        return self.senders.take(self.party, name=name, mark=mark, digest=digest)


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes of who sends."""

    def at(path: str, page: HandoverPage, method: str = "GET", *, inside: bool = True) -> Route:
        endpoint = door(counter, pages, page, Side.SENDER, inside=inside)
        return Route(f"/send{path}", endpoint, methods=[method])

    return [
        at("", _start, inside=False),
        at("", _begin, "POST", inside=False),
        at("/code", _asking),
        at("/code", _prove, "POST"),
        at("/again", _again, "POST"),
        at("/files", _files),
        at("/expect", _expect, "POST"),
        at("/file/{mark}", _file, "PUT"),
        at("/form", _form, "POST"),
        at("/done", _done, "POST"),
        at("/status", _status, inside=False),
        at("/status", _look, "POST", inside=False),
        at("/stop", _stop, "POST"),
        at("/leave", _leave, "POST"),
    ]


# -- two addresses and a code ----------------------------------------------------------------------


async def _start(call: Handover) -> Response:
    return _asked(call, {})


def _asked(call: Handover, said: dict[str, str], trouble: VNAError | None = None) -> Response:
    limits = call.counter.engines.settings.guests
    return call.show(
        "exchange_start.html",
        status=200 if trouble is None else problems.status_of(trouble),
        said=said,
        trouble=None if trouble is None else told(call, trouble),
        limits=limits,
        days=int(limits.keep_days),
        under_way=call.exchange if call.party else None,
        way=_way(call),
    )


async def _begin(call: Handover) -> Response:
    form = await call.form()
    parcel = Parcel(
        sender=form.get("sender", ""),
        recipient=form.get("recipient", ""),
        for_patient=form.get("for") == "patient",
        language=call.language(),
    )
    try:
        session = await call.hop(lambda: call.guests.senders.begin(parcel, call.address))
    except (InvalidRequest, TooMany) as exc:
        return _asked(call, form, exc)
    return call.enter("/send/code", session)


async def _asking(call: Handover) -> Response:
    if call.exchange.standing is not Standing.PROVING:
        return call.go(_way(call))
    return _code_page(call)


def _code_page(call: Handover, trouble: str | None = None, *, status: int = 200) -> Response:
    return call.show(
        "exchange_code.html",
        status=status,
        trouble=trouble,
        exchange=call.exchange,
        minutes=CODE_MINUTES,
        wait_s=AGAIN_S,
    )


async def _prove(call: Handover) -> Response:
    form = await call.form()
    typed, party = form.get("code", ""), call.whose
    proved = await call.hop(lambda: call.guests.senders.prove(party, typed))
    if proved.is_right:
        return call.go("/send/files")
    texts = call.texts()
    if not proved.left:
        trouble = texts.gettext("This code is void. Have another one sent.")
    else:
        trouble = texts.ngettext(
            "That is not right. %(num)s try is left.",
            "That is not right. %(num)s tries are left.",
            proved.left,
        ) % {"num": proved.left}
    return _code_page(call, trouble, status=401)


async def _again(call: Handover) -> Response:
    await call.form()
    party = call.whose
    try:
        await call.hop(lambda: call.guests.senders.again(party))
    except TooMany as exc:
        return _code_page(call, told(call, exc), status=429)
    return call.go("/send/code")


# -- the files -------------------------------------------------------------------------------------


async def _files(call: Handover) -> Response:
    if call.exchange.standing is not Standing.FILLING:
        return call.go(_way(call))
    return await _filling(call)


async def _filling(call: Handover, trouble: VNAError | None = None) -> Response:
    party, limits = call.whose, call.counter.engines.settings.guests
    summary = await call.hop(lambda: call.guests.senders.summary(party))
    return call.show(
        "exchange_files.html",
        status=200 if trouble is None else problems.status_of(trouble),
        trouble=None if trouble is None else told(call, trouble),
        exchange=call.exchange,
        summary=summary,
        size=Size(bytes=summary.bytes),
        limits=limits,
        most=Size(bytes=limits.bytes),
        days=int(limits.keep_days),
    )


async def _expect(call: Handover) -> Response:
    marks, items = _list(await call.json(most_bytes=_MOST_LIST))
    party = call.whose
    missing = await call.hop(lambda: call.guests.senders.expect(party, marks, items))
    if missing is None:
        raise TooLarge
    return files.json({"missing": missing})


def _list(body: bytes) -> tuple[list[str], list[str]]:
    """Read the list of what is to come. Raises `InvalidRequest`."""
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest("The list of files is not JSON.") from exc
    if not isinstance(found, dict):
        raise InvalidRequest("The list of files names marks and items.")
    marks, items = _texts(found.get("marks")), _texts(found.get("items"))
    if len(items) > _MOST_ITEMS:
        raise TooLarge
    return marks, items


def _texts(found: Any) -> list[str]:  # JSON of a browser
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise InvalidRequest("Marks and items are lists of texts.")
    return found


async def _file(call: Handover) -> Response:
    call.require_own(call.request.headers.get("x-vna-form", ""))
    return await files.take_one(call.request, _into(call))


async def _form(call: Handover) -> Response:
    limits = call.counter.engines.settings.limits
    try:
        await files.take_form(call.request, _into(call), limits, call.require_own)
    except TooLarge as exc:
        return await _filling(call, exc)
    return call.go("/send/files")


def _into(call: Handover) -> Into:
    number = call.exchange.import_number
    if number is None:
        raise Conflict(marked("The code that was mailed to you comes first."))

    async def stands() -> bool:
        party = await resumed(call)
        return party is not None and party.exchange.standing is Standing.FILLING

    return Into(
        counter=call.counter,
        who=call.whose.principal,
        number=number,
        stands=stands,
        senders=call.guests.senders,
        party=call.whose,
    )


# -- sending, and after ----------------------------------------------------------------------------


async def _done(call: Handover) -> Response:
    await call.form()
    party = call.whose
    if party.exchange.standing is not Standing.FILLING:
        return call.go(_way(call))
    summary = await call.hop(lambda: call.guests.senders.summary(party))
    if not summary.objects:
        _ = call.texts().gettext
        return await _filling(call, Conflict(_("There are no images in it: choose them first.")))
    try:
        sent = await call.hash(lambda: call.guests.senders.send(party))
    except TooLarge as exc:
        return await _filling(call, exc)
    return call.show("exchange_sent.html", sent=sent, exchange=sent.exchange, summary=summary)


async def _status(call: Handover) -> Response:
    if call.party is None or _way(call) != "/send/status":
        return call.show("exchange_look.html", trouble=None)
    return call.show("exchange_status.html", exchange=call.exchange)


async def _look(call: Handover) -> Response:
    form = await call.form()
    secret = form.get("link", "").strip().rpartition("#")[2]
    _ = call.texts().gettext
    text = _("That does not open. Copy the whole link from your message, and paste it here.")
    try:
        if not _SECRET.fullmatch(secret):
            raise NotAuthenticated
        session = await call.hop(lambda: call.guests.senders.look(secret, call.address))
    except NotAuthenticated:
        return call.show("exchange_look.html", status=401, trouble=text)
    except TooMany as exc:
        return call.show("exchange_look.html", status=429, trouble=told(call, exc))
    return call.enter("/send/status", session)


async def _stop(call: Handover) -> Response:
    await call.form()
    party = call.whose
    await call.hop(lambda: call.guests.senders.stop(party))
    return call.go("/send/status")


async def _leave(call: Handover) -> Response:
    await call.form()
    session = call.session
    await call.hop(lambda: call.guests.leave(session))
    answer = call.go("/send")
    call.drop_cookie(answer)
    return answer


def _way(call: Handover) -> str:
    """Say where who sends goes on."""
    return _WAYS.get(call.exchange.standing, "/send/status") if call.party else "/send"
