"""What every page of a patient has in common: whose account it is, its language, who may come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from vna.access.principal import Action, Principal
from vna.operate.own_accounts import Own
from vna.texts import Texts
from vna.web.exchange import Counter
from vna.web.portal.guard import Visit, Whose, guarded
from vna.web.portal.pages import Pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine(Visit):
    """One request of a patient for a page about them; `own` is None when theirs is nobody's."""

    own: Own | None
    preferred: str | None  # the language they chose

    @property
    def principal(self) -> Principal:
        """Who asks: what they reach is about them."""
        return self.known.principal

    @property
    def account_id(self) -> int:
        """Which account it is."""
        return self.known.account_id

    def language(self) -> str:
        """Give the language they chose, else that of their browser."""
        return self.preferred or Visit.language(self)

    def texts(self) -> Texts:
        """Give the texts of their language."""
        return Texts(self.language())

    def show(self, page: str, *, status: int = 200, **shown: Any) -> Response:  # by the page
        """Render a page of theirs."""
        actions = self.principal.actions
        always = {
            "site": self.counter.engines.settings.site,
            "own": self.own,
            "may_view": Action.RETRIEVE in actions,
            "may_share": Action.SHARE_OWN in actions,
            "here": "",
            "idle_s": int(self.counter.engines.settings.access.idle_s),
        }
        return Visit.show(self, page, status=status, **{**always, **shown})


MyPage = Callable[[Mine], Awaitable[Response]]


def mine(
    counter: Counter,
    pages: Pages,
    path: str,
    page: MyPage,
    method: str = "GET",
    *,
    always: bool = False,
) -> Route:
    """Make the route of a page for patients alone.

    Who acts for somebody, and may no longer, is led to where they change back; `always` is for the
    pages on the way there.
    """

    async def asked(visit: Visit) -> Response:
        engine, account_id = counter.engines.patient_accounts, visit.known.account_id
        acting, carers = visit.known.acting, counter.engines.carers

        def look() -> tuple[Own | None, str | None]:
            own = engine.own.of(account_id) if acting is None else carers.own(acting)
            return own, engine.own.language(account_id)

        own, language = await visit.hop(look)
        if acting is not None and own is None and not always:
            return visit.go("/my/carers")
        return await page(
            Mine(
                request=visit.request,
                counter=visit.counter,
                pages=visit.pages,
                secret=visit.secret,
                is_new=visit.is_new,
                visitor=visit.visitor,
                own=own,
                preferred=language,
            )
        )

    return Route(path, guarded(counter, pages, asked, whose=Whose.PATIENTS), methods=[method])
