"""Search transaction (PS3.18 10.6): six resources, hierarchical and relational. GET and HEAD."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from vna.dicom.refs import InstanceRef, Level
from vna.query.answers import Answer
from vna.query.keys import RETRIEVE_URL, from_parameters
from vna.retrieve.payload import path_of
from vna.web.dicomweb import caching
from vna.web.dicomweb.accept import CSV, XML, Resource
from vna.web.dicomweb.tables import table
from vna.web.dicomweb.wado import accepted
from vna.web.dicomweb.xml import native_model
from vna.web.exchange import Ask, Reply, warning
from vna.web.multipart import closing, multipart_type, new_boundary, part_head

_WARNINGS_MOST = 8


async def studies(ask: Ask) -> Reply:
    """GET `studies`."""
    return await _search(ask, Level.STUDY)


async def series(ask: Ask) -> Reply:
    """GET `series`, of a study or of all."""
    return await _search(ask, Level.SERIES)


async def instances(ask: Ask) -> Reply:
    """GET `instances`, of a series, of a study or of all."""
    return await _search(ask, Level.IMAGE)


async def _search(ask: Ask, level: Level) -> Reply:
    form = accepted(ask, Resource.SEARCH).best
    root = ask.root()
    is_zipped = caching.takes_gzip(ask)
    pairs = ask.query()
    study = ask.uid("study") if "study" in ask.names else None
    one_series = ask.uid("series") if "series" in ask.names else None
    most = ask.counter.engines.settings.limits.search_rows

    def search() -> Reply:
        engines = ask.counter.engines
        asked = from_parameters(
            level,
            pairs,
            most=most,
            study=study,
            series=one_series,
            added=engines.query.searchable(),
            site_zone=engines.settings.site.timezone,
        )
        answers = engines.query.find(ask.principal, asked.query)
        found = [_with_url(answer, root) for answer in answers.rows]
        remaining = answers.remaining()
        fields = [
            caching.VARY,
            *(warning(root, text) for text in asked.deviations[:_WARNINGS_MOST]),
        ]
        if remaining.count:
            text = f"There are {remaining} additional results that can be requested"
            fields.append(warning(root, text))
        media, body = _written(form.media, found)
        if is_zipped:
            body = b"".join(caching.gzipped((body,)))
            fields.append((b"content-encoding", b"gzip"))
        return Reply(media=media, headers=fields, body=(body,))

    return await ask.hop(search)


def _with_url(answer: Answer, root: str) -> dict[str, object]:
    """Add where the thing found can be retrieved (PS3.18 10.6.3.3)."""
    return {**answer.attributes, RETRIEVE_URL: {"vr": "UR", "Value": [f"{root}{_path(answer)}"]}}


def _path(answer: Answer) -> str:
    if answer.instance is not None and answer.series is not None and answer.study is not None:
        return path_of(InstanceRef(answer.study, answer.series, answer.instance))
    if answer.series is not None:
        return f"/studies/{answer.study}/series/{answer.series}"
    return f"/studies/{answer.study}"


def _written(media: str, found: list[dict[str, object]]) -> tuple[str, bytes]:
    """Write the results in a form; the media type says more than its name where it must."""
    if media == XML:
        return _xml(found)
    if media == CSV:
        return f"{CSV}; charset=utf-8; header=present", table(found)
    return media, orjson.dumps(found, option=orjson.OPT_SORT_KEYS)


def _xml(found: list[dict[str, object]]) -> tuple[str, bytes]:
    """One part a result; none at all is a multipart without parts."""
    boundary = new_boundary()

    def parts() -> Iterator[bytes]:
        for number, elements in enumerate(found):
            document = native_model(elements)
            yield part_head(boundary, XML, first=number == 0, length=len(document))
            yield document
        yield closing(boundary, empty=not found)

    return multipart_type(XML, boundary), b"".join(parts())
