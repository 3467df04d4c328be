"""Who holds a share's secrets opens its items, and nobody else does with all that is kept."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from tests import factories
from tests.sharing.conftest import CLERK, MAIL, PHONE, Desk, in_days, report, study
from vna.access.principal import EVERYTHING, Scope
from vna.blobs.layout import blob_name
from vna.crypto import shares
from vna.crypto.credentials import digest
from vna.crypto.envelope import open_header_with
from vna.crypto.stream import Cut, PayloadOpener
from vna.dicom.refs import StudyRef, uid
from vna.errors import Conflict, Corrupt
from vna.ingest.outcome import Stored
from vna.sharing.guests import KEY
from vna.sharing.values import Guest, Protection


def share_key_of(desk: Desk, session: str) -> bytes:
    """What a session holds, opened by its cookie."""
    ((half,),) = desk.rows("SELECT half FROM share_session WHERE secret_hash = %s", digest(session))
    return shares.open_half(session, bytes(half), KEY)


def test_the_holder_s_key_opens_every_item_and_only_its_own_blob(desk: Desk) -> None:
    desk.offer()
    session, _ = desk.proven()
    share_key = share_key_of(desk, session)
    items = desk.rows(
        "SELECT f.data_key, f.instance_uid, b.header, b.payload_len, i.digest, i.blob_id "
        "FROM share_item f JOIN instance i ON i.blob_id = f.blob_id "
        "JOIN instance_blob b USING (instance_pk) ORDER BY 2"
    )
    assert [row[1] for row in items] == sorted(one.instance for one in desk.made[:4])
    keys = []
    for data_key, _, header, length, sha256, blob_id in items:
        key = shares.unwrap(share_key, bytes(data_key))
        opener = PayloadOpener(open_header_with(bytes(header), key).payload)
        cut = Cut.of(length, 0, length)
        file = desk.archive.settings.data / "blobs" / blob_name(bytes(blob_id))
        sealed = file.read_bytes()[cut.start : cut.start + cut.size]
        payload = opener.open_in(sealed, cut, memoryview(bytearray(cut.size)))
        assert hashlib.sha256(payload).digest() == bytes(sha256)
        keys.append(key)
    with pytest.raises(Corrupt):
        open_header_with(bytes(items[0][2]), keys[1])


def test_later_keys_are_those_of_what_a_share_shows_while_it_holds(own_desk: Desk) -> None:
    """Who asks serves guests apart, and holds no key of the archive's own."""
    desk = own_desk
    narrow, offered = desk.offer(reports=False), desk.offer()
    image, text, other = factories.ct(1, 1, 7), report(1, 3, 1), report(2, 3, 1)
    for late in (image, text, other):
        assert isinstance(desk.archive.take(late.part10()), Stored)
    blobs = dict(desk.rows("SELECT sop_instance_uid, blob_id FROM instance"))

    def has_key(one: factories.Instance, share_id: int = offered.share_id) -> bool:
        return desk.engine.later_key(share_id, bytes(blobs[one.instance])) is not None

    assert has_key(text)
    assert not has_key(text, narrow.share_id)  # reports are not shared
    assert not has_key(text, 1)  # there is no such share
    assert not has_key(image)  # of images those that were offered
    assert not has_key(other)
    kept = desk.rows("SELECT share_id, blob_id FROM share_later_key")
    assert kept == [(offered.share_id, blobs[text.instance])]
    desk.engine.revoke(CLERK, offered.share_id, reason="sent to the wrong one")
    assert not has_key(text)


def test_a_session_s_half_opens_with_its_cookie_alone(desk: Desk) -> None:
    desk.offer()
    session, _ = desk.proven()
    other, _ = desk.opened()
    ((half,),) = desk.rows("SELECT half FROM share_session WHERE secret_hash = %s", digest(session))
    with pytest.raises(Corrupt):
        shares.open_half(other, bytes(half), KEY)


def test_who_forwards_needs_nothing_of_the_archive_s_keys(desk: Desk) -> None:
    offered = desk.offer(forward=True, proof=frozenset({Protection.PASSCODE}), by=None)
    session, _ = desk.opened()
    assert offered.passcode is not None
    assert isinstance(desk.engine.prove(session, Protection.PASSCODE, offered.passcode), Guest)
    desk.run("UPDATE share SET owner_key = ''")
    desk.engine.forward(session, desk.forward_of())
    child, guest = desk.proven()
    assert guest.is_proven
    assert share_key_of(desk, child) == share_key_of(desk, session)


def test_nothing_that_is_kept_says_who_or_how(desk: Desk) -> None:
    """A copy of the database: no secret, no address, no name beyond the catalogue's."""
    offered = desk.offer(
        proof=frozenset({Protection.PASSCODE, Protection.SMS}), printed=True, forward=True
    )
    assert offered.passcode is not None
    assert offered.printed_code is not None
    session, _ = desk.opened()
    desk.engine.prove(session, Protection.PASSCODE, offered.passcode)
    desk.engine.send_code(session, Protection.SMS)
    code = desk.archive.posted.code()
    desk.engine.prove(session, Protection.SMS, code)
    path = desk.engine.capability(session)
    told = [desk.archive.posted.secret(), offered.passcode, offered.printed_code, session, path]
    canaries = [*told, *(one.replace("-", "") for one in told), code]
    canaries += [MAIL.value, PHONE.value, PHONE.value[1:], "Canary", "Dr Kim", "Elsewhere"]
    tables = [
        row[0]
        for row in desk.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'vna'")
        if row[0] not in ("study", "study_difference", "series", "instance")
    ]
    for table in tables:
        rows = desk.rows(f"SELECT t::text FROM {table} t")  # noqa: S608 -- a name of ours
        for text in (*(row[0] for row in rows), *_decoded(rows)):
            for canary in canaries:
                assert canary not in text, table


def _decoded(rows: list[tuple[Any, ...]]) -> list[str]:
    """Read what stands as hexadecimal bytes in a row as text, too."""
    found = []
    for (text,) in rows:
        for part in text.split("\\\\x")[1:]:
            digits = part.split('"')[0]
            found.append(bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("latin-1"))
    return found


def test_a_destroyed_study_takes_the_archive_s_copy_of_the_key_with_it(own_desk: Desk) -> None:
    """Or a copy of the database would open what was destroyed."""
    desk = own_desk
    offered = desk.offer()
    for key_id in list(desk.archive.store.keys.ids()):
        desk.archive.store.keys.destroy(key_id)
    desk.archive.store.keys._opened.clear()
    with pytest.raises(Conflict, match="deleted for good"):
        desk.engine.renew(CLERK, offered.grant_id)
    with pytest.raises(Conflict, match="deleted for good"):
        desk.engine.test(CLERK, offered.share_id)


def test_a_deleted_study_is_out_of_its_shares_and_comes_back_with_it(own_desk: Desk) -> None:
    desk = own_desk
    desk.offer()
    session, guest = desk.proven()
    ref = StudyRef(uid(desk.made[0].study))
    desk.archive.lifecycle.delete(desk.archive.who, ref)
    desk.a_second_later()
    gone = desk.engine.resume(session)
    assert gone is not None
    assert not gone.principal.scope.touches(ref)
    desk.archive.lifecycle.undelete(desk.archive.who, ref)
    desk.a_second_later()
    back = desk.engine.resume(session)
    assert back is not None
    assert back.principal.scope == guest.principal.scope


def test_a_row_that_asks_for_more_than_a_guess_costs_is_refused(desk: Desk) -> None:
    offered = desk.offer(proof=frozenset({Protection.PASSCODE}), by=None)
    session, _ = desk.opened()
    assert offered.passcode is not None
    for said in ("99999999,3", "64,99", "x", "64"):
        desk.run("UPDATE share_grant SET stretch = %s", said)
        with pytest.raises(Corrupt):
            desk.engine.prove(session, Protection.PASSCODE, offered.passcode)


def test_lists_and_details_show_what_was_shared_and_mask_where_it_went(desk: Desk) -> None:
    offered = desk.offer(forward=True)
    desk.proven()
    detail = desk.engine.detail(CLERK, offered.share_id)
    (grant,) = detail.grants
    assert (grant.to, grant.by, grant.state.value) == ("k…@example.org", "…18", "open")
    assert (grant.opens, detail.summary.opens, detail.summary.items) == (1, 1, 4)
    assert detail.summary.person.name == "Canary Patient"
    kinds = [one.kind for one in reversed(detail.happened)]
    assert kinds == [
        "share.offered",
        "grant.opened",
        "grant.code",
        "grant.factor",
        "export.opened",
    ]
    assert "Canary" not in repr(detail)
    assert "kim" not in repr(desk.offer_of())
    assert in_days(29) < detail.summary.until < in_days(31)


def test_a_page_of_the_board_is_full_though_some_shares_are_of_what_is_withheld(desk: Desk) -> None:
    """Whoever counted a page short knew of them, and older ones were out of reach behind it."""
    own, other = (study(one) for one in (desk.made[0], desk.made[4]))
    of = (own, other, own, other, other)
    made = [desk.offer(studies=frozenset({one})).share_id for one in of]
    mine = [share_id for share_id, one in zip(made, of, strict=True) if one is own][::-1]
    withheld = replace(CLERK, scope=replace(EVERYTHING, withheld=frozenset({other.study})))
    given = replace(CLERK, scope=Scope(studies=frozenset({own.study})))
    for who in (withheld, given):
        assert [one.share_id for one in desk.engine.shares(who, most=2)] == mine
        assert [one.share_id for one in desk.engine.shares(who, before=mine[0], most=2)] == mine[1:]
    both = replace(CLERK, scope=Scope(studies=frozenset({own.study, other.study})))
    assert [one.share_id for one in desk.engine.shares(both, most=9)] == made[::-1]
