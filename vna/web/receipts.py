"""Where a provider of short messages tells what became of one: no sign-in, a signature."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from vna.delivery.receipts import MOST_BYTES
from vna.delivery.signing import SIGNATURE
from vna.delivery.sms import STATUS_PATH
from vna.errors import InvalidRequest, TooLarge
from vna.web.exchange import Counter

_TWILIO = "X-Twilio-Signature"


def routes(counter: Counter) -> list[Route]:
    """Return the routes of status calls: none where no provider is asked to make them."""
    if not counter.engines.settings.sms.callback:
        return []

    async def status(request: Request) -> Response:
        body = await _body(request)
        shown = request.headers.get(_TWILIO) or request.headers.get(SIGNATURE) or ""
        receipts, token = counter.engines.messages.receipts, request.path_params["token"]
        await counter.threads.hops.call(lambda: receipts.called(token, body, shown))
        return Response(status_code=204, headers={"Cache-Control": "no-store"})

    return [Route(f"{STATUS_PATH}/{{token}}", status, methods=["POST"])]


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES:
                raise TooLarge("A status call is smaller than that.")
    except ClientDisconnect as exc:
        raise InvalidRequest("The request ended before its time.") from exc
    return bytes(body)
