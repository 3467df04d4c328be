"""A study, series or instance as one ZIP file of DICOM files, with a DICOMDIR when asked.

PS3.18 Table 10.4.4-1 leaves `application/zip` to the origin server. `dicomdir=true` stands as a
parameter of the media type or of the query.
"""

from __future__ import annotations

from vna.dicom.refs import InstanceRef, Ref, SeriesRef
from vna.errors import InvalidRequest, NotAcceptable
from vna.web.dicomweb import answering, caching
from vna.web.dicomweb.accept import ANY, ZIP, Wanted
from vna.web.exchange import Ask, Reply


def zipped(ask: Ask, ref: Ref, wanted: Wanted) -> Reply:
    """Answer with the ZIP file, whole or a range of it. Raises `NotAcceptable`, `NotFound`."""
    if wanted.syntaxes not in (None, (ANY,)):
        raise NotAcceptable("A ZIP file holds instances as they are stored: name no other syntax.")
    has_directory = _wants_directory(ask) or wanted.directory
    found = ask.counter.engines.retrieve.package(ask.principal, ref, directory=has_directory)
    state = caching.State(
        ["zip", str(has_directory), *found.revisions],
        is_strong=True,
        changed_at=found.changed_at,
    )
    if caching.is_fresh(ask, state):
        return caching.not_modified(state)
    name = f'attachment; filename="{_name(ref)}.zip"'.encode("ascii")
    fields = [*caching.headers(state), (b"content-disposition", name)]
    return answering.walked(ask, ZIP, found.content, state, fields)


def _wants_directory(ask: Ask) -> bool:
    values = [value for name, value in ask.query() if name == "dicomdir"]
    if any(value not in ("true", "false") for value in values):
        raise InvalidRequest("The parameter dicomdir must be true or false.")
    return "true" in values


def _name(ref: Ref) -> str:
    if isinstance(ref, InstanceRef):
        return ref.instance
    return ref.series if isinstance(ref, SeriesRef) else ref.study
