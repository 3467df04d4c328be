"""The life of a share and its grant: whatever is done, a model knows the state."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.sharing.conftest import CLERK, B, Desk, in_days, study
from vna.errors import Conflict, NotAuthenticated, NotFound
from vna.sharing.values import (
    GrantState,
    Guest,
    Protection,
    Reason,
    Refused,
    ShareState,
    Tab,
    Wrong,
)

MOST_OPENS = 3


def machine(desk: Desk) -> type[RuleBasedStateMachine]:
    """The model, bound to a desk."""

    class Life(RuleBasedStateMachine):
        """One share with one grant, opened by link and passcode."""

        @initialize()
        def offered(self) -> None:
            desk.run("DELETE FROM rate")  # all lives come from one address
            self.made = desk.offer(
                proof=frozenset({Protection.PASSCODE}), by=None, max_opens=MOST_OPENS
            )
            self.secret = desk.archive.posted.secret()
            self.passcode = self.made.passcode or ""
            self.wrong = self.opens = 0
            self.is_revoked = self.is_refused = self.is_suspended = False
            self.is_expired = self.is_locked = False
            self.inside: set[str] = set()  # sessions that are proven
            self.waiting: set[str] = set()  # sessions that are not

        def why(self) -> Reason | None:
            """Why the link does not open now."""
            for holds, reason in (
                (self.is_revoked, Reason.REVOKED),
                (self.is_refused, Reason.REFUSED),
                (self.is_suspended, Reason.SUSPENDED),
                (self.is_expired, Reason.EXPIRED),
                (self.is_locked, Reason.LOCKED),
            ):
                if holds:
                    return reason
            return None

        def all_out(self) -> None:
            self.inside.clear()
            self.waiting.clear()

        @rule()
        def opens_the_link(self) -> None:
            found = desk.engine.open(self.secret, B)
            reason = self.why() or (Reason.EXHAUSTED if self.opens == MOST_OPENS else None)
            if reason is None:
                assert isinstance(found, tuple)
                self.waiting.add(found[0])
            else:
                assert found == Refused(reason=reason, number=self.made.number)

        @precondition(lambda self: self.waiting)
        @rule()
        def types_the_passcode(self) -> None:
            session = sorted(self.waiting)[0]
            if self.why() is not None:
                with pytest.raises(NotAuthenticated):
                    desk.engine.prove(session, Protection.PASSCODE, self.passcode)
                return
            found = desk.engine.prove(session, Protection.PASSCODE, self.passcode)
            if self.opens == MOST_OPENS:
                assert found == Refused(reason=Reason.EXHAUSTED, number=self.made.number)
                return
            assert isinstance(found, Guest)
            self.opens += 1
            self.waiting.remove(session)
            self.inside.add(session)

        @precondition(lambda self: self.waiting and self.why() is None)
        @rule()
        def types_something_else(self) -> None:
            session = sorted(self.waiting)[0]
            for _ in range(7):
                self.wrong += 1
                found = desk.engine.prove(session, Protection.PASSCODE, "WRONG")
                assert found == Wrong(20 - self.wrong)
                if self.wrong == 20:
                    self.is_locked = True
                    self.all_out()
                    return

        @precondition(lambda self: self.waiting | self.inside and self.why() is None)
        @rule()
        def is_somebody_else(self) -> None:
            assert desk.engine.not_me(sorted(self.waiting | self.inside)[0]) == self.made.number
            self.is_refused = True
            self.all_out()

        @precondition(lambda self: self.waiting | self.inside)
        @rule()
        def leaves(self) -> None:
            session = sorted(self.waiting | self.inside)[-1]
            desk.engine.leave(session)
            self.waiting.discard(session)
            self.inside.discard(session)

        @rule()
        def is_renewed(self) -> None:
            may = not (self.is_revoked or self.is_refused or self.is_suspended)
            if not may:
                with pytest.raises(Conflict):
                    desk.engine.renew(CLERK, self.made.grant_id)
                return
            renewed = desk.engine.renew(CLERK, self.made.grant_id)
            assert desk.engine.open(self.secret, B) == Refused(reason=Reason.UNKNOWN)
            self.secret = desk.archive.posted.secret()
            self.passcode = renewed.passcode or ""
            self.wrong = 0
            self.is_locked = self.is_expired = False
            self.all_out()

        @precondition(lambda self: not self.is_locked)
        @rule()
        def is_not_unlocked(self) -> None:
            with pytest.raises(Conflict):
                desk.engine.unlock(CLERK, self.made.grant_id)

        @precondition(lambda self: not self.is_expired)
        @rule()
        def runs_out(self) -> None:
            for table in ("share_grant", "share"):
                desk.run(
                    f"UPDATE {table} SET created_at = now() - interval '9 days', "  # noqa: S608
                    "ends_at = now() - interval '1 second' WHERE share_id = %s",
                    self.made.share_id,
                )
            self.is_expired = True

        @rule()
        def is_extended(self) -> None:
            if self.is_revoked or self.is_suspended:
                with pytest.raises(Conflict):
                    desk.engine.extend(CLERK, self.made.share_id, in_days(9))
                return
            desk.engine.extend(CLERK, self.made.share_id, in_days(9))
            if not self.is_refused:
                self.is_expired = False

        @rule()
        def is_suspended_for_a_mix_up(self) -> None:
            found = desk.engine.suspend_study(CLERK, study(desk.made[0]), "mix-up")
            assert (self.made.number in found) is not (self.is_suspended or self.share_ended())
            if not self.share_ended():
                self.is_suspended = True
                self.all_out()

        @rule()
        def goes_on(self) -> None:
            if not self.is_suspended:
                with pytest.raises(Conflict):
                    desk.engine.reinstate(CLERK, self.made.share_id)
                return
            desk.engine.reinstate(CLERK, self.made.share_id)
            self.is_suspended = False

        @rule()
        def is_revoked_for_good(self) -> None:
            if self.share_ended():
                with pytest.raises(Conflict):
                    desk.engine.revoke(CLERK, self.made.share_id, reason="recalled")
                return
            desk.engine.revoke(CLERK, self.made.share_id, reason="recalled")
            self.is_revoked, self.is_suspended = True, False
            self.all_out()

        def share_ended(self) -> bool:
            return self.is_revoked

        @invariant()
        def who_is_in_is_who_may_be(self) -> None:
            if not hasattr(self, "made"):
                return
            desk.a_second_later()
            for session in self.waiting | self.inside:
                guest = desk.engine.resume(session)
                assert (guest is None) is (self.why() is not None)
                if guest is not None:
                    assert guest.is_proven is (session in self.inside)
                    assert bool(guest.principal.actions) is guest.is_proven

        @invariant()
        def the_board_says_the_same(self) -> None:
            if not hasattr(self, "made"):
                return
            detail = desk.engine.detail(CLERK, self.made.share_id)
            (grant,) = detail.grants
            assert (grant.wrong, detail.summary.opens) == (self.wrong, self.opens)
            said = {
                Reason.REVOKED: ShareState.REVOKED,
                Reason.SUSPENDED: ShareState.SUSPENDED,
            }
            if (expected := said.get(self.why() or Reason.UNKNOWN)) is not None:
                assert detail.summary.state is expected
            if self.is_locked and not (self.is_revoked or self.is_refused):
                assert grant.state is GrantState.LOCKED
            if self.is_refused and not self.is_revoked:
                assert grant.state is GrantState.REFUSED

    return Life


def test_whatever_is_done_in_whatever_order(desk: Desk) -> None:
    run_state_machine_as_test(
        machine(desk),
        settings=settings(
            max_examples=12,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.long
def test_whatever_is_done_in_whatever_order_for_long(desk: Desk) -> None:
    run_state_machine_as_test(
        machine(desk),
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_each_share_stands_in_the_tabs_it_belongs_to(desk: Desk) -> None:
    """Sent, opened, unopened for days, about to end, locked, over."""

    def tab(of: Tab) -> set[int]:
        return {one.share_id for one in desk.engine.shares(CLERK, tab=of)}

    waiting, stuck, over = desk.offer(), desk.offer(), desk.offer()
    desk.engine.revoke(CLERK, over.share_id, reason="x")
    session, _ = desk.opened(desk.archive.posted.messages[1].values["link"].partition("#")[2])
    desk.engine.not_me(session)
    seen = desk.offer(until=in_days(2))
    desk.proven()
    ids = {one.share_id for one in (waiting, stuck, over, seen)}
    assert tab(Tab.ALL) == tab(Tab.TODAY) == ids
    assert tab(Tab.WAITING) == {waiting.share_id, stuck.share_id}
    assert tab(Tab.EXPIRING) == {seen.share_id}
    assert tab(Tab.LOCKED) == {stuck.share_id}
    assert tab(Tab.ENDED) == {over.share_id}
    assert tab(Tab.UNOPENED) == set()
    desk.run("UPDATE share SET created_at = created_at - interval '4 days'")
    assert tab(Tab.UNOPENED) == {waiting.share_id, stuck.share_id}
    assert tab(Tab.TODAY) == set()
    pages = desk.engine.shares(CLERK, most=2)
    rest = desk.engine.shares(CLERK, most=2, before=pages[-1].share_id)
    assert [one.share_id for one in (*pages, *rest)] == sorted(ids, reverse=True)
    assert desk.engine.shares(CLERK, study=study(desk.made[4])) == []
    assert len(desk.engine.shares(CLERK, study=study(desk.made[0]))) == 4
    with pytest.raises(NotFound):
        desk.engine.detail(CLERK, 1)
