"""The viewer's package made ready: what is not needed left out, its place written in, compressed.

The application is built to stand at the root of a site. It stands at /viewer here, so the places
where it names its own files are rewritten once; each rewrite that finds nothing is an error, since
then the package is not the one we know.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import mimetypes
import re
import tarfile
from pathlib import Path, PurePosixPath

from vna.errors import Corrupt

BASE = "/viewer/"
MANIFEST = "files.json"

_TOP = PurePosixPath("package/dist")
_MOST_BYTES = 512 << 20  # unpacked; the package has 204 MB
_MOST_FILES = 5_000
_UNUSED = re.compile(  # neural networks, maps for developers, files of other hosts' making
    r"^(ort/.*|.*\.map|sw\.js|init-service-worker\.js|silent-refresh\.html|google\.js|_headers"
    r"|_redirects|serve\.json|oidc-client\.min\.js|app-config\.js|assets/apple-touch-startup.*)$"
)
_ZIPPED = {".js", ".css", ".html", ".json", ".svg", ".wasm", ".xml", ".webmanifest"}
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def make_ready(tarball: Path, target: Path) -> None:
    """Unpack the files we serve into `target`, with their list. Raises `Corrupt`."""
    target.mkdir()
    listed: dict[str, dict[str, object]] = {}
    size = 0
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            for member in archive:
                name = _name(member)
                if name is None:
                    continue
                size += member.size
                if size > _MOST_BYTES or len(listed) >= _MOST_FILES:
                    raise Corrupt("The viewer's package is larger than the one we know.")
                file = archive.extractfile(member)
                data = _rewritten(name, file.read() if file else b"")
                listed[name] = _put(target, len(listed), name, data)
    except (tarfile.TarError, EOFError, OSError) as exc:
        raise Corrupt("The viewer's package cannot be unpacked.") from exc
    if "index.html" not in listed:
        raise Corrupt("The viewer's package has no index.html.")
    (target / MANIFEST).write_text(json.dumps(listed, indent=0, sort_keys=True))


def _name(member: tarfile.TarInfo) -> str | None:
    path = PurePosixPath(member.name)
    if not member.isfile() or not path.is_relative_to(_TOP) or ".." in path.parts:
        return None
    name = str(path.relative_to(_TOP))
    return None if _UNUSED.match(name) else name


def _put(target: Path, number: int, name: str, data: bytes) -> dict[str, object]:
    """Write one file under a number: names from a package never become paths."""
    suffix = PurePosixPath(name).suffix.lower()
    media = mimetypes.types_map.get(suffix, "application/octet-stream")
    if suffix in (".js", ".mjs"):
        media = "text/javascript"
    (target / str(number)).write_bytes(data)
    is_zipped = suffix in _ZIPPED and len(data) > 1024
    if is_zipped:
        (target / f"{number}.gz").write_bytes(gzip.compress(data, 6, mtime=0))
    entry: dict[str, object] = {
        "file": number,
        "media": f"{media}; charset=utf-8" if media.startswith("text/") else media,
        "zipped": is_zipped,
        "etag": hashlib.sha256(data).hexdigest()[:32],
    }
    if name == "index.html":
        entry["scripts"] = [_digest(script) for script in _INLINE.findall(data.decode())]
    return entry


def _digest(script: str) -> str:
    """Give the source expression that lets one inline script run (CSP level 2, 4.2.4)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _rewritten(name: str, data: bytes) -> bytes:
    if name == "index.html":
        return _index(data.decode()).encode()
    if name == "app.bundle.css":
        return _replaced(rb"url\(/(?!/)", b"url(" + BASE.encode(), data)
    if not name.endswith(".js"):
        return data
    if re.search(rb'\.p ?= ?"/"', data):
        data = _replaced(rb'(\.p ?= ?)"/"', rb'\1"' + BASE.encode() + b'"', data)
    # what shows whole slides is fetched when one is opened, by a name of its own
    return re.sub(rb"""(["'])/(?=dicom-microscopy-viewer/)""", rb"\1" + BASE.encode(), data)


def _index(text: str) -> str:
    text = re.sub(r'<script [^>]*src="/init-service-worker.js"[^>]*></script>', "", text)
    text = re.sub(r'<link rel="apple-touch-startup-image"[^>]*>', "", text)
    text, links = re.subn(r'(href|src|content)="/(?!/)', rf'\1="{BASE}', text)
    text, bases = re.subn(r'PUBLIC_URL="/"', f'PUBLIC_URL="{BASE}"', text)
    if not links or not bases:
        raise Corrupt("The viewer's index.html is not the one we know.")
    return text


def _replaced(pattern: bytes, by: bytes, data: bytes) -> bytes:
    found, count = re.subn(pattern, by, data)
    if not count:
        raise Corrupt("A file of the viewer is not the one we know.")
    return found
