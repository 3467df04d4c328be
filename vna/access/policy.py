"""The one access decision. A pure function of the principal, the action and the reference."""

from __future__ import annotations

from vna.access.principal import Action, Principal
from vna.dicom.refs import Ref, StudyRef
from vna.errors import NotFound, NotPermitted


def permits(principal: Principal, action: Action, ref: Ref | None = None) -> bool:
    """Whether the principal may do this, to all of `ref` when one is named."""
    return action in principal.actions and (ref is None or principal.scope.covers(ref))


def require(principal: Principal, action: Action, ref: Ref | None = None) -> None:
    """Return if the principal may do this; raise otherwise, before anything is looked up.

    `NotPermitted`: an action this principal never has, or the whole of something of which it may
    see a part. `NotFound`: `ref` lies outside its scope, which must look like an unknown one.
    """
    if action not in principal.actions:
        raise NotPermitted
    if ref is None or principal.scope.covers(ref):
        return
    if isinstance(ref, StudyRef) and principal.scope.touches(ref):
        raise NotPermitted("Only a part of this study may be seen: ask for that part.")
    raise NotFound
