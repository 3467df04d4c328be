"""Who was sent a link is reminded once before it ends, and only then; programs hear of shares."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from tests.sharing.conftest import CLERK, MAIL, Desk, in_days
from vna.delivery.sealing import unseal


def aged(desk: Desk, *, left: float = 2.0) -> None:
    """Let the link that was sent three weeks ago end in some days."""
    end = in_days(left)
    desk.run("UPDATE share SET created_at = created_at - interval '21 days', ends_at = %s", end)
    desk.run(
        "UPDATE share_grant SET created_at = created_at - interval '21 days',"
        " issued_at = issued_at - interval '21 days', ends_at = %s",
        end,
    )


def test_a_link_that_ends_soon_is_told_of_once(desk: Desk) -> None:
    offered = desk.offer()
    aged(desk)
    assert desk.engine.remind() == 1
    message = desk.archive.posted.last("expiring")
    assert message.to == MAIL
    assert message.values == {"number": offered.number, "until": in_days(2).date().isoformat()}
    assert desk.engine.remind() == 0


def test_one_that_was_extended_is_told_of_again(desk: Desk) -> None:
    desk.offer()
    aged(desk)
    assert desk.engine.remind() == 1
    aged(desk, left=2.5)
    assert desk.engine.remind() == 1


@pytest.mark.parametrize("left", [-1.0, 4.0])
def test_one_that_is_over_or_ends_later_is_not_told_of(desk: Desk, left: float) -> None:
    desk.offer()
    aged(desk, left=left)
    assert desk.engine.remind() == 0


def test_a_short_share_needs_no_reminder(desk: Desk) -> None:
    desk.offer(until=in_days(2))
    assert desk.engine.remind() == 0


def test_nobody_is_reminded_of_what_was_stopped_or_where_mails_come_back(desk: Desk) -> None:
    offered = desk.offer()
    aged(desk)
    desk.run("UPDATE contact_channel SET state = 'bounced'")
    assert desk.engine.remind() == 0
    desk.run("UPDATE contact_channel SET state = 'unverified'")
    desk.engine.revoke(CLERK, offered.share_id, reason="A test.")
    assert desk.engine.remind() == 0


def test_a_program_hears_of_a_share_from_its_offer_to_its_end(own_desk: Desk) -> None:
    archive = own_desk.archive
    archive.messages.webhooks.add(archive.who, "https://93.184.216.34/hook", ())
    offered = own_desk.offer()
    own_desk.proven()
    own_desk.engine.revoke(CLERK, offered.share_id, reason="A test.")
    rows = own_desk.rows("SELECT token, sealed FROM message WHERE channel = 'webhook' ORDER BY 1")
    told = [json.loads(unseal(archive.store.keyring, *row).values["body"]) for row in rows]
    assert {one["event"] for one in told} >= {"share.offered", "grant.opened", "share.revoked"}
    assert {one["share"] for one in told if "share" in one} == {str(offered.share_id)}
    for one in told:
        assert set(one) <= {"event", "outcome", "at", "share", "grant", "consent"}
        assert dt.datetime.fromisoformat(one["at"]).tzinfo is not None
    assert "Canary" not in json.dumps(told)
