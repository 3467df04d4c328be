"""Retrieve Capabilities: what this service can do, told from its table of routes (PS3.18 8.9, H).

OPTIONS of any resource tells of it and of what is below it, as WADL or as the same in JSON (Annex
G): an attribute is "@name", what can stand more than once an array.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import orjson

from vna.dicom.attributes import KEYS, keyword_of
from vna.dicom.refs import Level
from vna.web.dicomweb import accept
from vna.web.dicomweb.accept import Resource

_NAMESPACE = "http://wadl.dev.java.net/2009/02"
_SEARCH = (
    *("limit", "offset", "includefield", "fuzzymatching", "emptyvaluematching"),
    "multiplevaluematching",
)
_LEVELS = {"studies": Level.STUDY, "series": Level.SERIES, "instances": Level.IMAGE}
_UNIQUE = frozenset(("application", "resources", "request"))
_COMMON = ("accept", "charset")
_NOT_FOUND = "404 410"


@dataclass(slots=True)
class Element:
    """One element of a capabilities description, in whichever form it will be written."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """One resource as it is to be told: its path below the service and its methods."""

    path: str
    methods: tuple[str, ...]
    parameters: tuple[str, ...] = ()


def describe(base: str, routes: Iterable[Told], target: str) -> Element:
    """Describe the resource at `target`, a path of steps and `{variables}`, and all below it."""
    top = Element("resource", {"path": target or "/"})
    for route in sorted(routes, key=lambda told: told.path.split("/")):
        if route.path == target:
            _fill(top, route)
        elif not target or route.path.startswith(f"{target}/"):
            _fill(_below(top, route.path.removeprefix(target).strip("/").split("/")), route)
    top.children.insert(
        0, _method("RetrieveCapabilities", "OPTIONS", (), (accept.WADL, accept.PLAIN_JSON))
    )
    resources = Element("resources", {"base": base}, [top])
    return Element("application", {"xmlns": _NAMESPACE}, [resources])


def wadl(described: Element) -> bytes:
    """Write a description as WADL."""
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(_xml(described)).encode()


def json(described: Element) -> bytes:
    """Write a description in JSON (PS3.18 Annex G)."""
    return orjson.dumps({described.name: _value(described)})


def _xml(element: Element) -> Iterator[str]:
    attributes = "".join(f" {k}={quoteattr(v)}" for k, v in element.attributes.items())
    if not element.children:
        yield f"<{escape(element.name)}{attributes}/>"
        return
    yield f"<{element.name}{attributes}>"
    for child in element.children:
        yield from _xml(child)
    yield f"</{element.name}>"


def _value(element: Element) -> dict[str, Any]:  # JSON
    value: dict[str, Any] = {f"@{k}": v for k, v in element.attributes.items()}
    for child in element.children:
        if child.name in _UNIQUE:
            value[child.name] = _value(child)
        else:
            value.setdefault(child.name, []).append(_value(child))
    return value


def _below(element: Element, steps: Sequence[str]) -> Element:
    for step in steps:
        found = next(
            (c for c in element.children if c.name == "resource" and c.attributes["path"] == step),
            None,
        )
        if found is None:
            found = Element("resource", {"path": step})
            if step.startswith("{"):
                found.children.append(
                    Element("param", {"name": step[1:-1], "style": "template", "type": "string"})
                )
            element.children.append(found)
        element = found
    return element


def _fill(element: Element, route: Told) -> None:
    """Tell the methods of a resource, before the resources below it."""
    at = sum(child.name == "param" for child in element.children)
    for method in route.methods:
        element.children.insert(at, _told(route, method))
        at += 1


def _told(route: Told, method: str) -> Element:
    last = route.path.rsplit("/", 1)[-1]
    identifier = _identifier(route.path, method)
    if method != "GET":
        takes = _STORED if last in {"studies", "{study}"} else ()
        return _method(identifier, method, (), _media(Resource.STORED), takes=takes)
    if last in _LEVELS:
        return _method(identifier, method, _search(_LEVELS[last]), _media(Resource.SEARCH))
    media = _TYPES.get(last) or _media(_RESOURCES.get(last, Resource.INSTANCES))
    return _method(identifier, method, route.parameters or _PARAMETERS.get(last, _COMMON), media)


_STORED = (
    *('multipart/related; type="application/dicom"', "application/dicom"),
    'multipart/related; type="application/dicom+json"',
    'multipart/related; type="application/dicom+xml"',
)
_RESOURCES = {
    "metadata": Resource.METADATA,
    "{frames}": Resource.FRAME,
    "{path}": Resource.BULK,
    "bulkdata": Resource.BULKS,
    "pixeldata": Resource.BULKS,
    "{instance}": Resource.INSTANCE,
}
_RENDERED = ("image/jpeg", "image/png", "image/gif")
_TYPES = {
    "": (accept.DICOM, *_RENDERED),
    "rendered": _RENDERED,
    "thumbnail": ("image/jpeg",),
    "changefeed": (accept.JSON,),
    "{transaction}": (accept.JSON, accept.XML),
}
_PARAMETERS = {
    "metadata": (*_COMMON, "includefield"),
    "rendered": (*_COMMON, "annotation", "quality", "viewport", "window", "iccprofile"),
    "thumbnail": (*_COMMON, "viewport"),
    "{study}": (*_COMMON, "dicomdir"),
    "{series}": (*_COMMON, "dicomdir"),
    "{instance}": (*_COMMON, "dicomdir"),
}


def _identifier(path: str, method: str) -> str:
    """Name a method as the standard's examples do: RetrieveStudyMetadata, SearchForStudySeries."""
    if not path:
        return "RetrieveInstanceByURI"
    steps = path.split("/")
    named = [step[1:-1].title() for step in steps if step.startswith("{")]
    last = steps[-1]
    if method == "GET" and last in _LEVELS:
        return f"SearchFor{''.join(named[-1:])}{last.title()}"
    verb = {"GET": "Retrieve", "POST": "Store", "DELETE": "Delete"}.get(method, method.title())
    tail = "" if last.startswith("{") else last.title().replace("-", "")
    return f"{verb}{''.join(named[-1:])}{tail}"


def _media(resource: Resource) -> tuple[str, ...]:
    return tuple(
        f'multipart/related; type="{media}"' if multipart else media
        for media, multipart in accept.offers(resource)
    )


def _search(level: Level) -> tuple[str, ...]:
    """Name each attribute that can be matched, as keyword and as tag (PS3.18 B.26)."""
    names: list[str] = []
    for path in KEYS[level].web_required:
        names += [".".join(keyword_of(tag) or tag for tag in path), ".".join(path)]
    return (*_COMMON, *_SEARCH, *names)


def _method(
    identifier: str,
    method: str,
    parameters: Sequence[str],
    media: Sequence[str],
    *,
    takes: Sequence[str] = (),
) -> Element:
    request = Element("request")
    if media:
        options = [Element("option", {"value": one}) for one in media]
        told = {"name": "Accept", "style": "header", "default": media[0], "repeating": "true"}
        request.children.append(Element("param", told, options))
    request.children += [
        Element("param", {"name": one, "style": "query"}) for one in dict.fromkeys(parameters)
    ]
    request.children += [Element("representation", {"mediaType": one}) for one in takes]
    given = [Element("representation", {"mediaType": one}) for one in media]
    answers = [
        Element("response", {"status": "200"}, given),
        Element("response", {"status": f"400 401 403 {_NOT_FOUND} 406 503"}),
    ]
    return Element("method", {"name": method, "id": identifier}, [request, *answers])
