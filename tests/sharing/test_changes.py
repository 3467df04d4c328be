"""The change feed carries what happens to shares, for who may share all that they show."""

from __future__ import annotations

from dataclasses import replace

from tests.sharing.conftest import CLERK, Desk, study
from vna.access.principal import Action, Principal, Scope
from vna.index.feed import Change
from vna.operate.changes import Page

FOLLOWER = replace(CLERK, actions=frozenset({Action.QUERY, Action.SHARE}))


def page(desk: Desk, who: Principal = FOLLOWER, after: int = 0) -> Page:
    return desk.archive.changes.read(who, after=after, limit=1000, feed_id=None)


def of_shares(desk: Desk, who: Principal = FOLLOWER, after: int = 0) -> list[Change]:
    return [change for change in page(desk, who, after).changes if change.shared is not None]


def test_a_share_is_followed_from_its_offer_to_its_end(own_desk: Desk) -> None:
    after = page(own_desk).last
    offered = own_desk.offer()
    own_desk.proven()
    own_desk.engine.revoke(CLERK, offered.share_id, reason="a mistake")
    told = of_shares(own_desk, after=after)
    assert [change.action for change in told] == ["share.offered", "grant.opened", "share.revoked"]
    assert {change.shared and change.shared.share for change in told} == {offered.share_id}
    assert [change.shared and change.shared.grant for change in told] == [
        offered.grant_id,
        offered.grant_id,
        None,
    ]
    assert [change.ref for change in told] == [study(own_desk.made[0]), None, None]


def test_a_share_of_two_studies_is_offered_once_for_each(own_desk: Desk) -> None:
    both = frozenset({study(own_desk.made[0]), study(own_desk.made[4])})
    own_desk.offer(studies=both)
    assert {change.ref for change in of_shares(own_desk)} == both


def test_of_shares_only_those_are_told_who_may_share_all_they_show(own_desk: Desk) -> None:
    first, second = study(own_desk.made[0]), study(own_desk.made[4])
    own_desk.offer(studies=frozenset({first, second}))
    count = len(of_shares(own_desk))
    assert count == 2
    for who in (
        replace(FOLLOWER, actions=frozenset({Action.QUERY})),
        replace(FOLLOWER, scope=Scope(studies=frozenset({first.study}))),
        replace(FOLLOWER, scope=replace(FOLLOWER.scope, withheld=frozenset({second.study}))),
    ):
        found = page(own_desk, who)
        assert [change for change in found.changes if change.shared] == []
        assert found.following == found.last  # and the place goes on
    within = replace(FOLLOWER, scope=Scope(studies=frozenset({first.study, second.study})))
    assert len(of_shares(own_desk, within)) == count
