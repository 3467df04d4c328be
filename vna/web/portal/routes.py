"""The portal's pages as one route table."""

from __future__ import annotations

from starlette.routing import Route

from vna.access.sessions import Level
from vna.web.exchange import Counter
from vna.web.portal import (
    account,
    asked,
    confirm,
    consents,
    correct,
    desk_carers,
    discs,
    emergency,
    enrol,
    exchange_receive,
    exchange_send,
    guest_pages,
    guest_site,
    guest_viewer,
    imports,
    inbox,
    kiosk,
    login,
    own_access,
    own_account,
    own_carers,
    own_consents,
    own_desk,
    own_requests,
    own_share,
    own_shares,
    own_start,
    own_study,
    own_timeline,
    patient_requests,
    patients,
    rules,
    sealed,
    share,
    share_new,
    share_paper,
    shares,
    sso,
    studies,
    study,
    uploads,
    viewing_pages,
)
from vna.web.portal.guard import Whose, guarded
from vna.web.portal.pages import Pages
from vna.web.portal.static_files import static_routes
from vna.web.portal.viewer import Viewer
from vna.web.portal.viewer import routes as viewer_routes

_START = (None, Level.SIGNED_IN)


def routes(counter: Counter) -> list[Route]:
    """Return the routes of the pages, the viewer's with them."""
    settings = counter.engines.settings
    pages = Pages({"dev": settings.dev, "ae_title": settings.dicom.ae_title})
    viewer = Viewer(settings.data / "viewer")
    is_elsewhere = bool(settings.sharing.listen)

    def has_viewer() -> bool:
        return bool(viewer.files())

    return [
        Route(
            "/",
            guarded(counter, pages, studies.page(counter, has_viewer), *_START, whose=Whose.ALL),
            methods=["GET", "POST"],
        ),
        *study.routes(counter, pages, has_viewer),
        *correct.routes(counter, pages),
        *rules.routes(counter, pages),
        *discs.routes(counter, pages),
        *sealed.routes(counter, pages),
        *imports.routes(counter, pages),
        *asked.routes(counter, pages),
        *uploads.routes(counter, pages),
        *exchange_send.routes(counter, pages),
        *exchange_receive.routes(counter, pages),
        *share_new.routes(counter, pages),
        *consents.routes(counter, pages),
        *shares.routes(counter, pages),
        *share.routes(counter, pages),
        *kiosk.routes(counter, pages),
        *patients.routes(counter, pages),
        *patient_requests.routes(counter, pages),
        *share_paper.routes(counter, pages),
        *static_routes(),
        *viewing_pages.routes(counter, pages, has_viewer),
        *(guest_site.elsewhere(counter) if is_elsewhere else _guests(viewer, counter, pages)),
        *viewer_routes(viewer, counter, pages, shared=guest_viewer.for_guests(viewer, counter)),
        *(inbox.routes(counter, pages) if settings.dev else []),
        *([] if settings.dev else login.routes(counter, pages)),
        *([] if settings.dev else sso.routes(counter, pages)),
        *([] if settings.dev else enrol.routes(counter, pages)),
        *([] if settings.dev else account.routes(counter, pages)),
        *([] if settings.dev else confirm.routes(counter, pages)),
        *([] if settings.dev else emergency.routes(counter, pages)),
        *([] if settings.dev else own_desk.routes(counter, pages)),
        *([] if settings.dev else desk_carers.routes(counter, pages)),
        *([] if settings.dev else own_start.routes(counter, pages)),
        *([] if settings.dev else own_timeline.routes(counter, pages)),
        *([] if settings.dev else own_study.routes(counter, pages)),
        *([] if settings.dev else sealed.own_routes(counter, pages)),
        *([] if settings.dev else own_access.routes(counter, pages)),
        *([] if settings.dev else own_account.routes(counter, pages)),
        *([] if settings.dev else own_carers.routes(counter, pages)),
        *([] if settings.dev else own_share.routes(counter, pages)),
        *([] if settings.dev else own_shares.routes(counter, pages)),
        *([] if settings.dev else own_consents.routes(counter, pages)),
        *([] if settings.dev else own_requests.routes(counter, pages)),
    ]


def _guests(viewer: Viewer, counter: Counter, pages: Pages) -> list[Route]:
    """Return the routes for guests, where they come to the same address as staff."""
    return [
        *guest_pages.routes(counter, pages, lambda: bool(viewer.files())),
        *guest_viewer.routes(viewer, counter, pages),
    ]
