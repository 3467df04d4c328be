"""A study, series or instance as one ZIP file of DICOM files, with a DICOMDIR when asked.

PS3.18 Table 10.4.4-1 leaves `application/zip` to the origin server. `dicomdir=true` stands as a
parameter of the media type or of the query. `sealed=LABEL` of the query asks for the package a
page began, whose passphrase it showed: another browser, or another session, gets another one.
"""

from __future__ import annotations

from vna.dicom.refs import InstanceRef, Ref, SeriesRef
from vna.errors import InvalidRequest, NotAcceptable
from vna.retrieve.sealed import Seal
from vna.web.dicomweb import answering, caching
from vna.web.dicomweb.accept import ANY, ZIP, Wanted
from vna.web.exchange import Ask, Reply
from vna.web.identity import holder_of


def zipped(ask: Ask, ref: Ref, wanted: Wanted) -> Reply:
    """Answer with the ZIP file, whole or a range of it. Raises `NotAcceptable`, `NotFound`."""
    if wanted.syntaxes not in (None, (ANY,)):
        raise NotAcceptable("A ZIP file holds instances as they are stored: name no other syntax.")
    has_directory = _wants_directory(ask) or wanted.directory
    engine = ask.counter.engines.retrieve
    seal = _seal(ask)
    found = engine.package(ask.principal, ref, directory=has_directory, seal=seal)
    state = caching.State(
        ["zip", str(has_directory), "" if seal is None else seal.name, *found.revisions],
        is_strong=True,
        changed_at=caching.since(ask, (found.changed_at,)),
    )
    if caching.is_fresh(ask, state):
        return caching.not_modified(state)
    called = _name(ref) if seal is None else "images"  # the file says nothing of whom it is
    name = f'attachment; filename="{called}.zip"'.encode("ascii")
    fields = [*caching.headers(state), (b"content-disposition", name)]
    return answering.walked(ask, ZIP, found.content, state, fields)


def _wants_directory(ask: Ask) -> bool:
    values = [value for name, value in ask.query() if name == "dicomdir"]
    if any(value not in ("true", "false") for value in values):
        raise InvalidRequest("The parameter dicomdir must be true or false.")
    return "true" in values


def _seal(ask: Ask) -> Seal | None:
    """Find the seal of a package that was begun on a page; None for an open one."""
    values = [value for name, value in ask.query() if name == "sealed"]
    if not values:
        return None
    holder = holder_of(ask.scope)
    if len(values) > 1 or holder is None:
        raise InvalidRequest("A sealed package is begun on a page, which shows its passphrase.")
    return ask.counter.engines.retrieve.seals.begun(holder, values[0])


def _name(ref: Ref) -> str:
    if isinstance(ref, InstanceRef):
        return ref.instance
    return ref.series if isinstance(ref, SeriesRef) else ref.study
