"""The one access decision: who may do what to which part of the archive."""

from __future__ import annotations

import pytest

from vna.access.policy import permits, require
from vna.access.principal import Action, Kind, Principal, Scope, developer, system
from vna.dicom.refs import UID, InstanceRef, Ref, SeriesRef, StudyRef
from vna.errors import NotFound, NotPermitted

STUDY = StudyRef(UID("1"))
SERIES = SeriesRef(UID("1"), UID("1.2"))
INSTANCE = InstanceRef(UID("1"), UID("1.2"), UID("1.2.3"))
SIBLING = InstanceRef(UID("1"), UID("1.2"), UID("1.2.4"))
OTHER = InstanceRef(UID("9"), UID("9.2"), UID("9.2.3"))

WHOLE = Scope(studies=frozenset({UID("1")}))
ONE_SERIES = Scope(series=frozenset({SERIES}))
ONE_INSTANCE = Scope(instances=frozenset({INSTANCE}))


def guest(scope: Scope) -> Principal:
    return Principal(
        kind=Kind.SHARE, name="share", actions=frozenset({Action.RETRIEVE}), scope=scope
    )


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("principal", [developer(), system("job")])
def test_the_developer_and_the_archive_itself_may_do_all(
    principal: Principal, action: Action
) -> None:
    assert permits(principal, action, OTHER)
    require(principal, action, OTHER)


@pytest.mark.parametrize("action", [a for a in Action if a is not Action.RETRIEVE])
@pytest.mark.parametrize("ref", [None, INSTANCE, OTHER])
def test_an_action_never_allowed_is_told_so_inside_and_outside(
    action: Action, ref: Ref | None
) -> None:
    assert not permits(guest(WHOLE), action, ref)
    with pytest.raises(NotPermitted):
        require(guest(WHOLE), action, ref)


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (WHOLE, {STUDY, SERIES, INSTANCE, SIBLING}),
        (ONE_SERIES, {SERIES, INSTANCE, SIBLING}),
        (ONE_INSTANCE, {INSTANCE}),
        (Scope(), set()),
        (Scope(everything=True), {STUDY, SERIES, INSTANCE, SIBLING, OTHER}),
    ],
    ids=["study", "series", "instance", "nothing", "everything"],
)
def test_a_scope_covers_exactly_its_parts(scope: Scope, covered: set[Ref]) -> None:
    refs: set[Ref] = {STUDY, SERIES, INSTANCE, SIBLING, OTHER}
    assert {ref for ref in refs if permits(guest(scope), Action.RETRIEVE, ref)} == covered
    for ref in covered:
        require(guest(scope), Action.RETRIEVE, ref)


@pytest.mark.parametrize("scope", [WHOLE, ONE_SERIES, ONE_INSTANCE, Scope()])
def test_what_lies_outside_looks_like_what_is_not_there(scope: Scope) -> None:
    with pytest.raises(NotFound):
        require(guest(scope), Action.RETRIEVE, OTHER)


@pytest.mark.parametrize("scope", [ONE_SERIES, ONE_INSTANCE])
def test_the_whole_of_a_study_seen_in_part_is_forbidden(scope: Scope) -> None:
    with pytest.raises(NotPermitted, match="part"):
        require(guest(scope), Action.RETRIEVE, STUDY)


def test_a_request_about_nothing_in_particular_asks_for_the_action_only() -> None:
    require(guest(Scope()), Action.RETRIEVE)


@pytest.mark.parametrize(
    ("scope", "touched"),
    [
        (WHOLE, {STUDY, SERIES, INSTANCE, SIBLING}),
        (ONE_SERIES, {STUDY, SERIES, INSTANCE, SIBLING}),
        (ONE_INSTANCE, {STUDY, SERIES, INSTANCE}),
        (Scope(), set()),
    ],
    ids=["study", "series", "instance", "nothing"],
)
def test_a_scope_touches_what_holds_a_part_of_it(scope: Scope, touched: set[Ref]) -> None:
    refs: tuple[Ref, ...] = (STUDY, SERIES, INSTANCE, SIBLING, OTHER)
    assert {ref for ref in refs if scope.touches(ref)} == touched


@pytest.mark.parametrize(
    ("scope", "whole"),
    [
        (WHOLE, True),
        (Scope(everything=True, instances=frozenset({INSTANCE})), True),
        (ONE_SERIES, False),
        (ONE_INSTANCE, False),
    ],
)
def test_stored_counts_serve_scopes_that_cut_no_study(scope: Scope, *, whole: bool) -> None:
    assert scope.is_whole_studies() is whole
