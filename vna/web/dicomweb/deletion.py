"""DELETE of a study, a series or an instance, and 410 for whatever was deleted.

No transaction of PS3.18: what other archives take, too. The answer comes when the deletion is
durable and in effect.
"""

from __future__ import annotations

from vna.dicom.refs import Ref
from vna.errors import Corrupt, Gone, InvalidUID, NotFound, VNAError
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


async def explained(ask: Ask, missing: NotFound) -> VNAError:
    """Give the error for a resource that is not there: `Gone` when it was deleted."""
    if "study" not in ask.names:
        return missing
    try:
        ref = ask.ref()
    except InvalidUID:
        return missing
    return await said_of(ask, ref, missing)


async def said_of(ask: Ask, ref: Ref, missing: NotFound) -> VNAError:
    """Do the same for what is named otherwise.

    `Corrupt` when it can be found and the store has lost it: whoever keeps a copy and is told 404
    or 410 of it would remove that, too.
    """
    engine = ask.counter.engines.retrieve
    # as above: the store is asked for each object
    if await ask.counter.threads.streams.call(lambda: engine.is_lost(ask.principal, ref)):
        return Corrupt("A stored object is missing: the archive has lost it.")
    if isinstance(missing, Gone):
        return missing
    return Gone() if await is_gone(ask, ref) else missing
