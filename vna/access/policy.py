"""The one access decision. A pure function of the principal, the action and the reference."""

from __future__ import annotations

from dataclasses import replace

from vna.access.principal import Action, Principal, Scope
from vna.dicom.refs import UID, Ref, StudyRef
from vna.errors import NotFound, NotPermitted
from vna.texts import marked

_LOOKING = frozenset({Action.QUERY, Action.RETRIEVE})
# a label keeps a study from being read: what belongs to it comes in all the same, and a modality
# that asks whether it was kept is told so, or it would keep it for ever
_TAKING = frozenset({Action.STORE, Action.COMMIT})


def reach(principal: Principal, action: Action) -> Scope:
    """Return the part of the archive a principal may do this to."""
    scope = principal.scope
    if action in _LOOKING or not (scope.withheld or scope.lent):
        return scope
    withheld = frozenset[UID]() if action in _TAKING else scope.withheld
    return replace(scope, withheld=withheld, lent=frozenset())


def permits(principal: Principal, action: Action, ref: Ref | None = None) -> bool:
    """Whether the principal may do this, to all of `ref` when one is named."""
    if action not in principal.actions:
        return False
    return ref is None or reach(principal, action).covers(ref)


def require(principal: Principal, action: Action, ref: Ref | None = None) -> None:
    """Return if the principal may do this; raise otherwise, before anything is looked up.

    `NotPermitted`: an action this principal never has, or the whole of something of which it may
    see a part. `NotFound`: `ref` lies outside its scope, which must look like an unknown one.
    """
    if action not in principal.actions:
        raise NotPermitted
    if ref is None:
        return
    scope = reach(principal, action)
    if scope.covers(ref):
        return
    if isinstance(ref, StudyRef) and scope.touches(ref):
        raise NotPermitted(marked("Only a part of this study may be seen: ask for that part."))
    raise NotFound


def require_copies(principal: Principal, ref: Ref) -> None:
    """Return unless `ref` is only lent: an emergency shows, it hands no copies out.

    Raises `NotPermitted`.
    """
    scope = principal.scope
    if ref.study in scope.lent and not replace(scope, lent=frozenset()).covers(ref):
        raise NotPermitted(marked("Emergency access is for looking: it hands out no copies."))
