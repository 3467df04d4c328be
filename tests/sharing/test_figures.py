"""How sharing goes, in counts and times that say nothing of anybody."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from tests.sharing.conftest import CLERK, Desk
from vna.access.audit import Event
from vna.access.principal import Scope
from vna.dicom.refs import uid
from vna.errors import NotPermitted
from vna.sharing.figures import begun


def test_months_tell_what_was_opened_how_soon_and_what_went_by_disc(desk: Desk) -> None:
    figures = desk.engine.figures
    none = figures.months(CLERK)
    assert len(none) == 12
    assert [one.begins for one in none] == sorted((one.begins for one in none), reverse=True)
    assert (none[0].shares, none[0].opened, none[0].median) == (0, 0, None)
    desk.offer()
    desk.proven()
    desk.offer()
    desk.run(
        "UPDATE share_grant g SET first_open_at = s.created_at + interval '90 minutes'"
        " FROM share s WHERE s.share_id = g.share_id AND g.first_open_at IS NOT NULL"
    )
    with desk.archive.database.transaction() as tx:
        desk.archive.audit.write(tx, CLERK, [Event(kind="disc.asked", outcome="done")])
    this = figures.months(CLERK)[0]
    assert (this.shares, this.opened, this.discs) == (2, 1, none[0].discs + 1)
    assert this.median == this.late == dt.timedelta(minutes=90)
    # of last month, when it was made then
    desk.run("UPDATE share SET created_at = created_at - interval '1 month'")
    assert [one.shares for one in figures.months(CLERK)[:2]] == [0, 2]


def test_the_night_is_counted_from_its_beginning(desk: Desk) -> None:
    assert desk.engine.figures.night(CLERK).shared == 0
    zone = ZoneInfo("Europe/Berlin")
    evening = dt.datetime(2026, 3, 1, 22, tzinfo=zone)
    for at in (evening, evening + dt.timedelta(hours=9), evening + dt.timedelta(hours=23)):
        assert begun(at.astimezone(dt.UTC), zone, 22) == evening
    assert begun(evening - dt.timedelta(minutes=1), zone, 22) == evening - dt.timedelta(days=1)


def test_who_sees_a_part_of_the_archive_is_not_told_of_all(desk: Desk) -> None:
    part = replace(CLERK, scope=Scope(studies=frozenset({uid(desk.made[0].study)})))
    for asked in (desk.engine.figures.months, desk.engine.figures.night):
        with pytest.raises(NotPermitted):
            asked(part)
