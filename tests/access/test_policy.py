"""The one access decision: who may do what to which part of the archive."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vna.access.policy import permits, require, require_copies
from vna.access.principal import Action, Kind, Principal, Scope, developer, system
from vna.dicom.refs import UID, InstanceRef, Ref, SeriesRef, StudyRef, Within
from vna.errors import NotFound, NotPermitted

STUDY = StudyRef(UID("1"))
SERIES = SeriesRef(UID("1"), UID("1.2"))
INSTANCE = InstanceRef(UID("1"), UID("1.2"), UID("1.2.3"))
SIBLING = InstanceRef(UID("1"), UID("1.2"), UID("1.2.4"))
OTHER = InstanceRef(UID("9"), UID("9.2"), UID("9.2.3"))

WHOLE = Scope(studies=frozenset({UID("1")}))
ONE_SERIES = Scope(series=frozenset({SERIES}))
ONE_INSTANCE = Scope(instances=frozenset({INSTANCE}))

ALL: tuple[Ref, ...] = (STUDY, SERIES, INSTANCE, SIBLING, OTHER)
PARTS = [
    Scope(everything=True),
    Scope(studies=frozenset({UID("1"), UID("9")})),
    Scope(series=frozenset({SERIES, SeriesRef(OTHER.study, OTHER.series)})),
    Scope(instances=frozenset({INSTANCE, OTHER})),
]


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


in_each_way = pytest.mark.parametrize(
    "scope", PARTS, ids=["everything", "study", "series", "instance"]
)


def any_action(scope: Scope) -> Principal:
    return replace(system("job"), kind=Kind.PERSON, scope=scope)


@in_each_way
def test_of_a_withheld_study_no_part_is_seen_and_others_are_as_before(scope: Scope) -> None:
    hidden = replace(scope, withheld=frozenset({UID("1")}))
    assert {ref for ref in ALL if hidden.touches(ref)} == {OTHER}
    assert [ref for ref in ALL if hidden.covers(ref)] == [OTHER]
    for ref in (STUDY, SERIES, INSTANCE):
        with pytest.raises(NotFound):
            require(any_action(hidden), Action.RETRIEVE, ref)


@in_each_way
@pytest.mark.parametrize("action", list(Action))
def test_what_is_withheld_comes_in_and_is_told_to_be_kept_but_nothing_else(
    action: Action, scope: Scope
) -> None:
    hidden = any_action(replace(scope, withheld=frozenset({UID("1")})))
    taken = action in {Action.STORE, Action.COMMIT}
    assert permits(hidden, action, INSTANCE) is taken
    assert permits(hidden, action, OTHER)


@pytest.mark.parametrize("action", list(Action))
def test_what_is_lent_is_looked_at_whole_and_nothing_else_is_done_to_it(action: Action) -> None:
    borrower = any_action(Scope(withheld=frozenset({UID("1")}), lent=frozenset({UID("1")})))
    looking = action in {Action.QUERY, Action.RETRIEVE}
    for ref in (STUDY, SERIES, INSTANCE):
        assert permits(borrower, action, ref) is looking
    assert not permits(borrower, action, OTHER)
    own = replace(ONE_INSTANCE, lent=frozenset({UID("1")}))
    assert permits(any_action(own), action, SIBLING) is looking
    assert permits(any_action(own), action, INSTANCE)


@pytest.mark.parametrize(
    ("scope", "refused"),
    [
        (Scope(lent=frozenset({UID("1")})), {STUDY, SERIES, INSTANCE, SIBLING}),
        (replace(ONE_INSTANCE, lent=frozenset({UID("1")})), {STUDY, SERIES, SIBLING}),
        (replace(ONE_SERIES, lent=frozenset({UID("1")})), {STUDY}),
        (replace(WHOLE, lent=frozenset({UID("1")})), set()),
        (
            replace(WHOLE, withheld=frozenset({UID("1")}), lent=frozenset({UID("1")})),
            {STUDY, SERIES, INSTANCE, SIBLING},
        ),
        (Scope(), set()),
    ],
    ids=["lent", "an instance of it", "a series of it", "all of it", "withheld", "nothing"],
)
def test_copies_of_what_is_only_lent_are_not_handed_out(scope: Scope, refused: set[Ref]) -> None:
    def is_refused(ref: Ref) -> bool:
        try:
            require_copies(guest(scope), ref)
        except NotPermitted:
            return True
        return False

    assert {ref for ref in ALL if is_refused(ref)} == refused


@pytest.mark.parametrize(
    ("scope", "within"),
    [
        (Scope(everything=True), None),
        (
            Scope(everything=True, withheld=frozenset({UID("1"), UID("2")})),
            Within(without=frozenset({UID("1"), UID("2")})),
        ),
        (
            Scope(
                everything=True,
                withheld=frozenset({UID("1"), UID("2")}),
                lent=frozenset({UID("2")}),
            ),
            Within(without=frozenset({UID("1")})),
        ),
        (
            Scope(
                studies=frozenset({UID("1"), UID("3")}),
                series=frozenset({SERIES, SeriesRef(OTHER.study, OTHER.series)}),
                instances=frozenset({INSTANCE, OTHER}),
                withheld=frozenset({UID("1")}),
                lent=frozenset({UID("4")}),
            ),
            Within(
                frozenset({UID("3"), UID("4")}),
                frozenset({SeriesRef(OTHER.study, OTHER.series)}),
                frozenset({OTHER}),
            ),
        ),
        (
            Scope(withheld=frozenset({UID("1")}), lent=frozenset({UID("1")})),
            Within(frozenset({UID("1")})),
        ),
    ],
    ids=["everything", "withheld", "lent again", "parts", "lent only"],
)
def test_the_index_searches_what_is_seen_and_no_more(scope: Scope, within: Within | None) -> None:
    assert scope.within() == within
