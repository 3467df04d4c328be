"""DELETE of a study, a series or an instance, and 410 for whatever was deleted.

No transaction of PS3.18: what other archives take, too. The answer comes when the deletion is
durable and in effect.
"""

from __future__ import annotations

from vna.dicom.refs import Ref
from vna.errors import Gone, InvalidUID, NotFound
from vna.web.exchange import Ask, Reply


async def delete(ask: Ask) -> Reply:
    """Delete what the path names: 204, or 404, or 410 when that was done before."""
    ref = ask.ref()
    lifecycle = ask.counter.engines.lifecycle
    # not one of the short hops: a study may have thousands of instances
    await ask.counter.threads.streams.call(lambda: lifecycle.delete(ask.principal, ref))
    return Reply(status=204)


async def is_gone(ask: Ask, ref: Ref) -> bool:
    """Tell whether what was not found had been deleted, as far as the asker may know."""
    return await ask.hop(lambda: ask.counter.engines.lifecycle.is_gone(ask.principal, ref))


async def explained(ask: Ask, missing: NotFound) -> NotFound:
    """Give the error for a resource that is not there: `Gone` when it was deleted."""
    if isinstance(missing, Gone) or "study" not in ask.names:
        return missing
    try:
        ref = ask.ref()
    except InvalidUID:
        return missing
    return Gone() if await is_gone(ask, ref) else missing
