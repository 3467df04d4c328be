"""/rules: by which rules what comes in is sent on, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action, Principal
from vna.access.routes import KEYS_MOST
from vna.access.routes import Route as Rule
from vna.errors import Conflict, InvalidRequest, NotFound, VNAError
from vna.web import problems
from vna.web.exchange import Counter
from vna.web.portal.guard import Visit, guarded
from vna.web.portal.pages import Pages

_HERE = "/rules"
_AE, _PEER = "ae:", "peer:"
_REFUSED = (Conflict, InvalidRequest, NotFound)


def routes(counter: Counter, pages: Pages) -> list[Route]:
    """Return the route of rules."""
    return [Route(_HERE, guarded(counter, pages, _page), methods=["GET", "POST"])]


async def _page(visit: Visit) -> Response:
    who = await visit.who(Action.MANAGE)
    if visit.request.method != "POST":
        return await _shown(visit, who, visit.request.query_params.get("change", ""))
    form = await visit.form()
    engine = visit.counter.engines.routes
    try:
        if form.get("act") == "remove":
            if "sure" not in form:
                return await _shown(visit, who, removed=form.get("name", ""))
            await visit.hop(lambda: engine.remove(who, form.get("name", "")))
        else:
            rule = _rule(form)
            await visit.hop(lambda: engine.add(who, rule))
    except _REFUSED as exc:
        return await _shown(visit, who, "", exc, form)
    return visit.go(_HERE)


def _rule(form: Mapping[str, str]) -> Rule:
    """Read a rule from what was typed. Raises `InvalidRequest`."""
    to = form.get("to", "")
    keys = [line.strip() for line in form.get("keys", "").splitlines()]
    modality = "\\".join(form.get("modality", "").upper().replace(",", " ").split())
    if modality:
        keys.insert(0, f"Modality={modality}")
    return Rule(
        name=form.get("name", "").strip(),
        remote=to.removeprefix(_AE) if to.startswith(_AE) else None,
        peer=to.removeprefix(_PEER) if to.startswith(_PEER) else None,
        callers=tuple(form.get("callers", "").replace(",", " ").split()),
        keys=tuple(key for key in keys if key),
        commit="commit" in form,
    )


def _typed(rule: Rule) -> dict[str, str]:
    """Write a rule as the form has it."""
    to = f"{_AE}{rule.remote}" if rule.remote else f"{_PEER}{rule.peer}"
    said = {"name": rule.name, "to": to, "callers": " ".join(rule.callers)}
    said |= {"keys": "\n".join(rule.keys), "modality": ""}
    return said | ({"commit": "on"} if rule.commit else {})


async def _shown(
    visit: Visit,
    who: Principal,
    change: str = "",
    exc: VNAError | None = None,
    form: Mapping[str, str] | None = None,
    *,
    removed: str = "",
) -> Response:
    """Show the page; `change` and `removed` name the rule that is to be, which is asked first."""

    def look() -> dict[str, Any]:
        engines = visit.counter.engines
        return {
            "rules": engines.routes.all(who),
            "remotes": [(f"{_AE}{one.ae_title}", one.ae_title) for one in engines.remotes.all()],
            "peers": [(f"{_PEER}{one.name}", one.name) for one in engines.peers.all(who)],
        }

    found = await visit.hop(look)
    changed = next((rule for rule in found["rules"] if rule.name == change), None)
    return visit.show(
        "rules.html",
        status=200 if exc is None else problems.answer(exc, "page")[0],
        trouble=None if exc is None else visit.said(exc),
        typed=form if form is not None else _typed(changed) if changed else {},
        changed=changed,
        removed=next((rule for rule in found["rules"] if rule.name == removed), None),
        most=KEYS_MOST,
        here=_HERE,
        **found,
    )
