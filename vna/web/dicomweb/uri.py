"""The URI service, WADO-URI (PS3.18 ch. 9): one instance, named by query parameters. GET and HEAD.

Two transactions in one: the instance as a DICOM file (9.4), and its rendering (9.5). Which of the
two is settled by contentType, else by Accept; a wildcard means the rendering (9.3). A parameter
that belongs to the other one is refused and named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vna.dicom.refs import UID, InstanceRef, uid
from vna.errors import InvalidRequest, InvalidUID, NotAcceptable, NotFound
from vna.web.dicomweb import answering
from vna.web.dicomweb.accept import ANY, DICOM
from vna.web.dicomweb.deletion import said_of
from vna.web.dicomweb.uri_rendered import picture
from vna.web.exchange import Ask, Reply
from vna.web.media import MediaType, media_list

_REQUIRED = ("requestType", "studyUID", "seriesUID", "objectUID")
_COMMON = (*_REQUIRED, "contentType", "charset")
_OF_DICOM = ("anonymize", "annotation", "transferSyntax")
_OF_RENDERED = (
    *("frameNumber", "imageAnnotation", "annotation", "imageQuality", "rows", "columns", "region"),
    *("windowCenter", "windowWidth", "presentationSeriesUID", "presentationUID"),
)
PARAMETERS = tuple(dict.fromkeys((*_COMMON, *_OF_DICOM, *_OF_RENDERED)))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for: the instance, the parameters, and the media types, best first."""

    ref: InstanceRef
    values: Mapping[str, str]
    types: tuple[MediaType, ...]

    @property
    def is_dicom(self) -> bool:
        """Whether a DICOM file is asked for rather than a rendering."""
        return self.types[0].name == DICOM


async def retrieve(ask: Ask) -> Reply:
    """GET an instance as a DICOM file, or rendered (9.4, 9.5)."""
    asked = read(ask.query(), ask.header(b"accept"))
    try:
        if asked.is_dicom:
            return await _file(ask, asked)
        return await picture(ask, asked.ref, asked.values, [found.name for found in asked.types])
    except NotFound as exc:
        found = await said_of(ask, asked.ref, exc)
        if found is exc:
            raise
        raise found from exc


def read(pairs: list[tuple[str, str]], accept: str | None) -> Asked:
    """Read the parameters. Raises `InvalidRequest` that names the one at fault."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in PARAMETERS and name in values:
            raise InvalidRequest(f"The parameter {name} may stand once.")
        values[name] = value
    for name in _REQUIRED:
        if not values.get(name):
            raise InvalidRequest(f"The parameter {name} is missing.")
    if values["requestType"] != "WADO":
        raise InvalidRequest("The parameter requestType must be WADO.")
    study, series, instance = (_uid(values, name) for name in _REQUIRED[1:])
    ref = InstanceRef(study, series, instance)
    asked = Asked(ref, values, _types(values, accept))
    _refuse_strangers(asked)
    return asked


def _uid(values: Mapping[str, str], name: str) -> UID:
    try:
        return uid(values[name])
    except InvalidUID as exc:
        raise InvalidUID(f"The parameter {name} is not a UID.") from exc


def _types(values: Mapping[str, str], accept: str | None) -> tuple[MediaType, ...]:
    """Read contentType, else Accept (9.1.2.1); best first. Both kinds are not mixed (8.7.5)."""
    text = values.get("contentType")
    types = media_list(text if text is not None else accept or "*/*")
    if text is not None:
        if not types:
            raise InvalidRequest("The parameter contentType must be a list of media types.")
        if any(t.parameter("transfer-syntax") or t.parameter("charset") for t in types):
            raise InvalidRequest("The parameter contentType takes no transfer-syntax or charset.")
    wanted = sorted((found for found in types if _q(found) > 0), key=lambda found: -_q(found))
    if not wanted:
        raise NotAcceptable(f"This is given as {DICOM}, or rendered: as image/jpeg for example.")
    named = {found.name for found in wanted if not found.name.endswith("/*")}
    if DICOM in named and len(named) > 1:
        where = "The parameter contentType" if text is not None else "The Accept header"
        raise InvalidRequest(f"{where} mixes {DICOM} with rendered media types.")
    return tuple(wanted)


def _q(found: MediaType) -> float:
    try:
        return float(found.parameter("q") or 1)
    except ValueError:
        return 0.0


def _refuse_strangers(asked: Asked) -> None:
    """Refuse parameters of the rendering where a DICOM file is asked for, and the other way."""
    allowed = _OF_DICOM if asked.is_dicom else _OF_RENDERED
    kind = "a DICOM file" if asked.is_dicom else "a rendering"
    for name in asked.values:
        if name in PARAMETERS and name not in (*_COMMON, *allowed):
            raise InvalidRequest(f"The parameter {name} does not go with {kind}.")


async def _file(ask: Ask, asked: Asked) -> Reply:
    if "anonymize" in asked.values:
        if asked.values["anonymize"] != "yes":
            raise InvalidRequest("The parameter anonymize must be yes, or be left out.")
        raise NotAcceptable("This archive gives instances as they are: it does not de-identify.")
    wanted = asked.values.get("transferSyntax")
    if wanted is not None and wanted != ANY:
        _uid(asked.values, "transferSyntax")
    root = ask.restful()

    def retrieve() -> Reply:
        engine = ask.counter.engines.retrieve
        (located,) = engine.instances(ask.principal, asked.ref)
        chosen = engine.forms.choose(located, None if wanted is None else (wanted,))
        return answering.single(ask, engine.forms.part10(located, chosen), root)

    return await ask.hop(retrieve)
