"""After a night one message says how much went out, and how much somebody must see to."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from tests.sharing.asked import asking, hers, yes
from tests.sharing.conftest import CLERK, Desk
from tests.sharing.test_automatic import rest
from vna.delivery.channels import email
from vna.errors import ConfigError
from vna.sharing.mornings import Mornings
from vna.sharing.plans import Lane

TO = "clerks@example.org"
NOW = dt.datetime.now(dt.UTC)


def at(hours: float) -> dt.datetime:
    """Say a time that many hours from now, in UTC, which is the zone of the tests."""
    return NOW + dt.timedelta(hours=hours)


@pytest.fixture
def desk(own_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk of whose patient one study was to go out in a night that has this hour in it."""
    monkeypatch.setattr("vna.sharing.automatic._REOPEN_S", 0.0)
    rest(own_desk, 0.0)
    kiosks = own_desk.engine.kiosks
    kiosks.answer(kiosks.begin(CLERK, asking(lane=Lane.TONIGHT)), yes())
    return own_desk


def mornings(desk: Desk, to: str = TO) -> Mornings:
    """Make what tells of nights that last from the hour before this one until two after it."""
    rooms = desk.engine._rooms
    hours = {"night_from": (NOW.hour - 1) % 24, "night_to": (NOW.hour + 2) % 24}
    for name, hour in hours.items():
        object.__setattr__(rooms.settings.sharing, name, hour)  # frozen, and this test's alone
    sharing = dataclasses.replace(rooms.settings.sharing, morning_mail=to)
    settings = dataclasses.replace(rooms.settings, sharing=sharing)
    return Mornings(dataclasses.replace(rooms, settings=settings))


def went_out(desk: Desk) -> None:
    desk.archive.take(hers().part10())
    assert desk.engine.automatic.turn() == 1


def test_a_night_is_told_of_once_when_it_is_over(desk: Desk) -> None:
    told = mornings(desk)
    assert not told.tell(at(3))  # nothing was to go out
    went_out(desk)
    assert not told.tell(at(0))  # it lasts
    assert told.tell(at(3))
    message = desk.archive.posted.last("morning", email(TO))
    link = message.values.pop("link")
    assert link.endswith("/shares")
    counts = {"shared": "1", "waiting": "0", "blocked": "0", "left": "0", "failed": "0"}
    assert message.values == counts
    assert not mornings(desk).tell(at(4))  # whoever asks


def test_what_failed_and_what_is_blocked_is_counted(desk: Desk) -> None:
    told = mornings(desk)
    went_out(desk)
    desk.run(
        "UPDATE message SET state = 'dead', cause = 'address', next_at = NULL"
        " WHERE share_id IS NOT NULL"
    )
    desk.run(
        "INSERT INTO auto_share (consent_id, study_uid, lane, state, cause)"
        " SELECT consent_id, '1.2.3', 'tonight', 'blocked', 'x' FROM auto_share"
    )
    desk.run(
        "INSERT INTO auto_share (consent_id, study_uid, lane, due_at)"
        " SELECT consent_id, '1.2.4', 'tonight', now() + interval '2 days' FROM consent"
    )
    assert told.tell(at(3))
    counts = desk.archive.posted.last("morning").values
    assert (counts["shared"], counts["failed"]) == ("1", "1")
    assert (counts["blocked"], counts["waiting"]) == ("1", "0")  # the last is for another night


def test_nobody_is_told_where_nobody_is_named_nor_late_in_the_day(desk: Desk) -> None:
    went_out_now = mornings(desk, to="")
    went_out(desk)
    assert not went_out_now.tell(at(3))
    assert not went_out_now.turn()
    assert not mornings(desk).tell(at(8))
    with pytest.raises(ConfigError):
        mornings(desk, to="no address")
