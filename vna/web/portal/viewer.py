"""/viewer: the installed OHIF viewer, over the DICOMweb of this very site.

Only names of the installed package's own list are served; every other path below /viewer is a page
of the application and gets its index. Nothing is fetched from anywhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from vna.web.exchange import ROOT as SERVICE
from vna.web.exchange import Counter
from vna.web.portal.guard import Endpoint, Visit, guarded
from vna.web.portal.pages import Pages

ROOT = "/viewer"
_MANIFEST = "files.json"

# What the application needs and no more: WebAssembly codecs, workers from blobs, its inline styles.
_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob: {scripts}; "
    "worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' blob: data:; media-src 'self' blob:; "
    "frame-src 'self' blob:; object-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_CONFIG: dict[str, Any] = {  # values as the application's own schema has them
    "extensions": [],
    "modes": [],
    "maxNumberOfWebWorkers": 3,
    "showWarningMessageForCrossOrigin": False,
    "showCPUFallbackMessage": False,
    "showLoadingIndicator": True,
    "strictZSpacingForVolumeViewport": True,
    "investigationalUseDialog": {"option": "never"},
    # the tour lies over the first instance somebody opens
    "customizationService": {"ohif.tours": {"$set": []}},
    "defaultDataSourceName": "archive",
}
_SOURCE: dict[str, Any] = {
    "friendlyName": "This archive",
    "name": "archive",
    "qidoSupportsIncludeField": True,
    "supportsReject": False,
    "imageRendering": "wadors",
    "thumbnailRendering": "wadors",
    "enableStudyLazyLoad": True,
    "supportsFuzzyMatching": True,
    "supportsWildcard": True,
    "omitQuotationForMultipartRequest": True,
    "singlepart": "bulkdata,video,pdf",
    "bulkDataURI": {"enabled": True},
}


@dataclass(frozen=True, slots=True)
class File:
    """One file of the package; `scripts` are what its policy lets run inline."""

    path: str
    media: str
    zipped: bool
    etag: str
    scripts: tuple[str, ...]


class Viewer:
    """The installed package, looked at again when it was installed anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp = 0
        self._files: dict[str, File] = {}

    def files(self) -> dict[str, File]:
        """Return what is installed by name; nothing when the viewer is not."""
        manifest = self._folder / _MANIFEST
        try:
            stamp = manifest.stat().st_mtime_ns
            if stamp != self._stamp:
                self._files = self._read(manifest)
                self._stamp = stamp
        except (OSError, ValueError, KeyError, TypeError):
            self._stamp, self._files = 0, {}
        return self._files

    def _read(self, manifest: Path) -> dict[str, File]:
        return {
            name: File(
                path=str(self._folder / str(int(entry["file"]))),
                media=str(entry["media"]),
                zipped=bool(entry["zipped"]),
                etag=str(entry["etag"]),
                scripts=tuple(entry.get("scripts", ())),
            )
            for name, entry in json.loads(manifest.read_bytes()).items()
        }


def configuration(base: str, root: str, *, lists_studies: bool) -> Response:
    """Tell the application where it stands, and under which base its data is."""
    roots = dict.fromkeys(("wadoUriRoot", "qidoRoot", "wadoRoot"), base)
    source = {
        "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
        "sourceName": "archive",
        "configuration": {**_SOURCE, **roots},
    }
    own = {"routerBasename": root, "showStudyList": lists_studies, "dataSources": [source]}
    body = f"window.config = {json.dumps({**_CONFIG, **own})};\n"
    return Response(body, 200, {**_ALWAYS, "Cache-Control": "no-store"}, "text/javascript")


def routes(
    viewer: Viewer,
    counter: Counter,
    pages: Pages,
    *,
    shared: Callable[[Endpoint], Endpoint],
) -> list[Route]:
    """Return the routes of the viewer for staff; `shared` lets others have its files."""

    async def config(_visit: Visit) -> Response:
        return configuration(SERVICE, ROOT, lists_studies=True)

    async def file(visit: Visit) -> Response:
        request = visit.request
        files = viewer.files()
        if not files:
            return visit.show("no_viewer.html", status=503)
        name = request.path_params.get("path", "")
        found = files.get(name)
        if found is None and "." in name.rsplit("/", 1)[-1]:
            return visit.show("unknown.html", status=404)
        return answer(request, files["index.html"] if found is None else found)

    return [
        Route(f"{ROOT}/app-config.js", guarded(counter, pages, config)),
        Route(ROOT, guarded(counter, pages, file)),
        Route(ROOT + "/{path:path}", shared(guarded(counter, pages, file))),
    ]


def answer(request: Request, found: File) -> Response:
    """Answer with a file of the package."""
    headers = {"ETag": f'"{found.etag}"', "Vary": "Accept-Encoding", **page_headers(found)}
    # index.html changes with the package; everything else may be asked about once a day
    headers["Cache-Control"] = "no-cache" if found.scripts else "private, max-age=86400"
    if f'"{found.etag}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    path = found.path
    if found.zipped and "gzip" in request.headers.get("accept-encoding", ""):
        path += ".gz"
        headers["Content-Encoding"] = "gzip"
    return FileResponse(path, headers=headers, media_type=found.media)


def page_headers(found: File) -> dict[str, str]:
    """Give the header fields of a file, with its policy when it is the page."""
    if not found.scripts:
        return dict(_ALWAYS)
    allowed = " ".join(f"'{script}'" for script in found.scripts)
    policy = _POLICY.format(scripts=allowed)
    return {**_ALWAYS, "Content-Security-Policy": policy, "Cache-Control": "no-store"}
