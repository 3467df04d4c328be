"""Storage Commitment transactions (PS3.18 13): Request by POST, Result Check by GET."""

from __future__ import annotations

import orjson

from vna.dicom.refs import UID
from vna.errors import TooLarge
from vna.operate.transactions import Result, Working
from vna.web.dicomweb import caching
from vna.web.dicomweb.accept import XML, Resource, Wanted, negotiate
from vna.web.dicomweb.commitment_module import Elements, answered, asked
from vna.web.dicomweb.xml import native_model
from vna.web.exchange import Ask, Reply
from vna.web.multipart import closing, multipart_type, new_boundary, part_head


async def request(ask: Ask) -> Reply:
    """POST a request to `commitment-requests/{transactionUID}` (13.4).

    200 with the result where it is quick to tell, else 202 and Retry-After.
    """
    form = _form(ask)
    transaction = ask.uid("transaction")
    settings = ask.counter.engines.settings
    content_type = ask.header(b"content-type")
    body = await _body(ask, settings.commitment.body_bytes)

    def take() -> Reply:
        claims, by_study = asked(content_type, body, settings.limits)
        found = ask.counter.engines.transactions.request(
            ask.principal, transaction, claims, by_study=by_study
        )
        return _reply(ask, transaction, found, form)

    return await ask.counter.threads.streams.call(take)


async def result(ask: Ask) -> Reply:
    """GET the result of an earlier request (13.5)."""
    form = _form(ask)
    transaction = ask.uid("transaction")

    def find() -> Reply:
        found = ask.counter.engines.transactions.result(ask.principal, transaction)
        return _reply(ask, transaction, found, form)

    return await ask.hop(find)


def _form(ask: Ask) -> Wanted:
    strict = ask.counter.engines.settings.http.strict_accept
    header, parameters = ask.header(b"accept"), ask.accept_parameters()
    return negotiate(Resource.COMMITMENT, header, parameters, strict=strict).best


async def _body(ask: Ask, most: int) -> bytes:
    """Read the whole body. Raises `TooLarge` before more than `most` bytes are held."""
    told = TooLarge(f"A request for commitment may have {most} bytes.")
    declared = ask.header(b"content-length")
    if declared is not None and declared.isdecimal() and int(declared) > most:
        raise told
    held: list[bytes] = []
    size = 0
    async for piece in ask.content():
        held.append(piece)
        size += len(piece)
        if size > most:
            raise told
    return b"".join(held)


def _reply(ask: Ask, transaction: UID, found: Result | Working, form: Wanted) -> Reply:
    url = f"{ask.root()}/commitment-requests/{transaction}".encode("latin-1")
    if isinstance(found, Working):
        again = str(found.again_s).encode("ascii")
        return Reply(status=202, headers=[(b"content-location", url), (b"retry-after", again)])
    media, body = _written(answered(found), form)
    fields = [caching.VARY, (b"content-location", url)]
    return Reply(media=media, headers=fields, body=(body,))


def _written(elements: Elements, form: Wanted) -> tuple[str, bytes]:
    """One object, not a list of them, as B.27 to B.29 show it; tags ascend (F.2.2)."""
    if form.media == XML:
        document = native_model(elements)
    else:
        document = orjson.dumps(elements, option=orjson.OPT_SORT_KEYS)
    if not form.multipart:
        return form.media, document
    boundary = new_boundary()
    head = part_head(boundary, form.media, first=True, length=len(document))
    return multipart_type(form.media, boundary), head + document + closing(boundary)
