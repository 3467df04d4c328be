"""Guests who send to guests: who gets in, what is kept, what comes out, what is left: nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from pathlib import Path
from typing import LiteralString

import pytest
from pydicom import dcmread

from tests.archive import Archive, open_archive
from tests.conftest import SCHEMA, TestPostgres
from tests.factories import ct
from tests.imports.conftest import PDF, mark, zip_of
from tests.imports.parcels import (
    HERE,
    RECIPIENT,
    SENDER,
    begun,
    give,
    last,
    mails,
    opened,
    proven,
    sender_of,
    sent,
)
from tests.jobs.conftest import worker_of
from tests.together import together
from vna.access.principal import Action
from vna.crypto.credentials import new_secret
from vna.db.pool import Connection, Database
from vna.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, TooLarge, TooMany
from vna.imports.exchanges import MOST_WRONG, Parcel, Side, Standing
from vna.imports.guest_rooms import GuestRooms
from vna.imports.guests import Guests
from vna.imports.handing import Handed
from vna.imports.values import Confirmation, Origin, Result, State
from vna.retrieve.payload import Stretch

JPEG = b"\xff\xd8\xff\xe0" + b"a photograph of a letter " * 40


def read(content: Stretch, start: int = 0, end: int | None = None) -> bytes:
    return b"".join(map(bytes, content.walk(start, content.length if end is None else end)))


def unzipped(found: Handed) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(read(found.content))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def work(archive: Archive) -> None:
    worker = worker_of(archive)
    while worker.do_one():
        pass


def filled(archive: Archive, count: int = 2) -> str:
    """Fill an exchange with a folder of images; give the sender's session."""
    session = proven(archive)
    for n in range(1, count + 1):
        give(archive, session, f"disc/IM{n}", ct(1, 1, n).part10())
    return session


def left(archive: Archive) -> tuple[int, int]:
    """Count what is left of blobs and of their keys."""
    return len(list(archive.store.blob_ids())), len(list(archive.store.keys.ids()))


def standing(archive: Archive, session: str) -> Standing:
    return sender_of(archive, session).exchange.standing


# ---- the mailbox ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "recipient"),
    [
        ("nobody", RECIPIENT),
        (SENDER, ""),
        (SENDER, SENDER),
        (SENDER, "Ada.Sender+other@EXAMPLE.org"),
    ],
)
def test_two_mailboxes_are_needed_and_not_one_twice(
    archive: Archive, sender: str, recipient: str
) -> None:
    with pytest.raises(InvalidRequest):
        begun(archive, sender, recipient)
    assert mails(archive) == []


def test_one_of_the_mailboxes_may_have_to_be_of_the_house(
    tmp_path: Path, database: Database
) -> None:
    with open_archive(
        tmp_path, database, guests={"domains": "hospital.org, clinic.org"}
    ) as archive:
        with pytest.raises(InvalidRequest, match=r"hospital\.org, clinic\.org"):
            begun(archive)
        assert begun(archive, recipient="gray@clinic.org")


def test_where_guests_may_not_send_there_is_nothing(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database) as archive:
        object.__setattr__(archive.settings, "dev", False)
        guests = archive.imports.guests
        for ask in (
            lambda: begun(archive),
            lambda: guests.recipients.open(new_secret(), "X", None),
            lambda: guests.recipients.refuse(new_secret(), None),
            lambda: guests.senders.look(new_secret(), None),
            lambda: guests.resume(new_secret(), Side.SENDER, None),
        ):
            with pytest.raises(NotFound):
                ask()


def test_a_mailbox_and_an_address_are_used_a_few_times_only(archive: Archive) -> None:
    senders = archive.imports.guests.senders
    for n in range(4):
        begun(archive, recipient=f"r{n}@example.net")
    with pytest.raises(TooMany):  # the sender's mailbox
        begun(archive, recipient="r9@example.net")
    for n in range(8):
        parcel = Parcel(sender=f"s{n}@example.org", recipient=RECIPIENT, language="en")
        senders.begin(parcel, f"192.0.2.{n + 20}")
    other = Parcel(sender="s9@example.org", recipient=RECIPIENT, language="en")
    with pytest.raises(TooMany):  # the recipient's
        senders.begin(other, "192.0.2.99")


def test_all_addresses_of_an_ipv6_network_begin_together(archive: Archive) -> None:
    senders = archive.imports.guests.senders

    def begin(number: int) -> None:
        sender, recipient = f"s{number}@example.org", f"r{number}@example.org"
        parcel = Parcel(sender=sender, recipient=recipient, language="en")
        senders.begin(parcel, f"2001:db8:0:1::{number}")

    for number in range(10):
        begin(number)
    with pytest.raises(TooMany):
        begin(10)


def test_a_mailbox_sends_so_many_in_a_day(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, guests={"daily": 1}) as archive:
        begun(archive)
        with pytest.raises(TooMany, match="today"):
            begun(archive)
        assert begun(archive, sender="another@example.org")
        with database.transaction() as tx:
            tx.execute("UPDATE guest_exchange SET made_at = made_at - interval '25 hours'")
        assert begun(archive)


def test_a_mailbox_is_sent_so_many_in_a_day_however_many_were_begun_before(
    tmp_path: Path, database: Database
) -> None:
    with open_archive(tmp_path, database, guests={"daily": 2}) as archive:
        sessions = [proven(archive, f"s{n}@example.net") for n in range(3)]
        for session in sessions:
            give(archive, session, "one.dcm", ct().part10())
        for session in sessions[:2]:
            sent(archive, session)
        with pytest.raises(TooMany):
            sent(archive, sessions[2])
        assert standing(archive, sessions[2]) is Standing.FILLING
        with database.transaction() as tx:
            tx.execute("UPDATE guest_exchange SET sent_at = sent_at - interval '25 hours'")
        sent(archive, sessions[2])


def test_nothing_comes_before_the_code_and_five_wrong_ones_make_it_void(archive: Archive) -> None:
    senders = archive.imports.guests.senders
    session = begun(archive)
    code = last(archive, "prove").values["code"]
    assert last(archive, "prove").to == SENDER
    with pytest.raises(Conflict):
        give(archive, session, "a", ct().part10())
    wrong = "00000000" if code != "00000000" else "11111111"
    tries = [senders.prove(sender_of(archive, session), wrong) for _ in range(5)]
    assert [(one.is_right, one.left) for one in tries] == [(False, n) for n in (4, 3, 2, 1, 0)]
    assert not senders.prove(sender_of(archive, session), code).is_right
    assert not senders.again(sender_of(archive, session))  # the last one is too young
    with archive.database.transaction() as tx:
        tx.execute("UPDATE guest_exchange SET code_at = code_at - interval '1 minute'")
    assert senders.again(sender_of(archive, session))
    fresh = last(archive, "prove").values["code"]
    assert senders.prove(sender_of(archive, session), f"{fresh[:4]}-{fresh[4:]} ").is_right
    assert standing(archive, session) is Standing.FILLING
    with archive.database.reading() as conn:
        told = conn.execute("SELECT outcome FROM audit WHERE kind = 'exchange.proven' ORDER BY id")
        assert [row[0] for row in told] == ["refused"] * 5 + ["done"]


def test_a_code_is_good_for_ten_minutes_and_there_are_three(archive: Archive) -> None:
    senders = archive.imports.guests.senders
    session = begun(archive)
    for _ in range(2):
        with archive.database.transaction() as tx:
            tx.execute("UPDATE guest_exchange SET code_at = code_at - interval '11 minutes'")
        code = last(archive, "prove").values["code"]
        assert not senders.prove(sender_of(archive, session), code).is_right
        assert senders.again(sender_of(archive, session))
    with archive.database.transaction() as tx:
        tx.execute("UPDATE guest_exchange SET code_at = code_at - interval '1 minute'")
    with pytest.raises(TooMany):
        senders.again(sender_of(archive, session))


# ---- the items -----------------------------------------------------------------------------------


def test_five_items_are_taken_and_the_sixth_is_refused(archive: Archive) -> None:
    session, senders = proven(archive), archive.imports.guests.senders
    give(archive, session, "disc/A/IM1", ct(1, 1, 1).part10())
    give(archive, session, "disc/B/IM2", ct(1, 1, 2).part10())  # the same item
    give(archive, session, "two.zip", zip_of({"1": ct(2).part10(), "2": ct(2, 1, 2).part10()}))
    give(archive, session, "three.dcm", ct(3).part10())
    assert give(archive, session, "letter.pdf", PDF).result is Result.DOCUMENT
    assert give(archive, session, "photo.jpg", JPEG).result is Result.DOCUMENT
    party = sender_of(archive, session)
    assert senders.expect(party, [mark("six")], ["six", "disc"]) is None
    with pytest.raises(TooLarge, match="At most 5"):
        give(archive, session, "six.dcm", ct(4).part10())
    assert senders.expect(party, [mark("disc/A/IM1"), mark("x")], ["disc"]) == [1]
    found = senders.summary(party)
    assert (found.studies, found.objects, found.documents, found.items) == (3, 5, 2, 5)


def test_what_is_too_much_is_refused_while_it_comes(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, guests={"bytes": 20_000}) as archive:
        session = proven(archive)
        with pytest.raises(TooLarge):
            give(archive, session, "large.dcm", bytes(30_000))
        taken = [ct(1, 1, n, rows=64, columns=64).part10() for n in range(1, 5)]
        for n in range(2):
            give(archive, session, f"disc/{n}", taken[n])
        for n in (2, 3):  # each begins where there is still room
            with pytest.raises(TooLarge):
                give(archive, session, f"disc/{n}", taken[n])
        assert give(archive, session, "disc/README", b"How to open. " * 900).result is Result.OTHER
        with pytest.raises(TooLarge):  # with what is left out
            sent(archive, session)
        assert standing(archive, session) is Standing.FILLING


def test_without_an_image_nothing_is_sent(archive: Archive) -> None:
    session = proven(archive)
    give(archive, session, "letter.pdf", PDF)
    with pytest.raises(Conflict):
        sent(archive, session)
    assert standing(archive, session) is Standing.FILLING


# ---- what was sent -------------------------------------------------------------------------------


def test_what_was_sent_comes_out_as_it_came_and_nobody_else_finds_it(archive: Archive) -> None:
    session = proven(archive)
    files = {f"disc/IM{n}": ct(1, 1, n).part10() for n in (1, 2, 3)}
    for name, data in files.items():
        give(archive, session, name, data)
    give(archive, session, "letter.pdf", PDF)
    found = sent(archive, session)
    assert standing(archive, session) is Standing.SENT
    assert last(archive, "guest-images").to == RECIPIENT
    assert last(archive, "guest-sent").to == SENDER
    party = opened(archive, found)
    recipients = archive.imports.guests.recipients
    contents = recipients.contents(party)
    assert contents.sender == SENDER
    (person,) = contents.persons
    assert [study.images for study in person.studies] == [3]
    got = unzipped(recipients.everything(party))
    assert got.pop("DOCUMENTS/DOC00001.PDF") == PDF
    directory = got.pop("DICOMDIR")
    assert sorted(hashlib.sha256(one).digest() for one in got.values()) == sorted(
        hashlib.sha256(one).digest() for one in files.values()
    )
    read_back = dcmread(io.BytesIO(directory))
    assert (
        len([r for r in read_back.DirectoryRecordSequence if r.DirectoryRecordType == "IMAGE"]) == 3
    )
    with archive.database.reading() as conn:
        assert conn.execute("SELECT count(*) FROM instance").fetchone() == (0,)
    assert standing(archive, session) is Standing.OPENED
    exchange = sender_of(archive, session).exchange
    assert (exchange.opens, exchange.fetched_at is not None) == (1, True)
    assert last(archive, "opened").to == SENDER


def test_any_part_of_the_download_can_be_had_again(archive: Archive) -> None:
    party = opened(archive, sent(archive, filled(archive)))
    recipients = archive.imports.guests.recipients
    whole = read(recipients.everything(party).content)
    again = recipients.everything(party)
    assert again.content.length == len(whole)
    assert read(again.content, 1000, 70_000) == whole[1000:70_000]


def test_a_document_that_changed_on_its_way_is_asked_for_again(archive: Archive) -> None:
    party = sender_of(archive, proven(archive))
    senders = archive.imports.guests.senders

    def given(digest: bytes) -> Result:
        taking = senders.take(party, name="letter.pdf", mark=mark("letter.pdf"), digest=digest)
        try:
            taking.feed(PDF)
            return taking.finish().result
        finally:
            taking.abort()

    with pytest.raises(Conflict, match="send it again"):
        given(hashlib.sha256(b"other").digest())
    assert left(archive)[0] == 0
    assert given(hashlib.sha256(PDF).digest()) is Result.DOCUMENT
    assert left(archive)[0] == 1


def test_documents_come_out_as_they_came(archive: Archive) -> None:
    session = filled(archive)
    give(archive, session, "photo.jpg", JPEG)
    packed = zip_of({"IM": ct(2).part10(), "report.pdf": PDF})
    give(archive, session, "disc.zip", packed)
    party = opened(archive, sent(archive, session))
    recipients = archive.imports.guests.recipients
    photo, given = recipients.document(party, 1)
    assert (photo.name, photo.media, read(given.content)) == ("photo.jpg", "image/jpeg", JPEG)
    report, given = recipients.document(party, 2)
    assert (report.name, read(given.content)) == ("report.pdf", PDF)
    with pytest.raises(NotFound):
        recipients.document(party, 3)


def test_nothing_is_shown_before_the_passcode_and_ten_wrong_ones_lock_for_good(
    archive: Archive,
) -> None:
    session = filled(archive)
    found = sent(archive, session)
    recipients = archive.imports.guests.recipients
    secret = last(archive, "guest-images").secret
    told = set()
    for n in range(MOST_WRONG):
        with pytest.raises(NotAuthenticated) as refused:
            recipients.open(secret, "WRONG", f"192.0.2.{n}")
        told.add(str(refused.value))
    for link, passcode in ((secret, found.passcode), (new_secret(), found.passcode)):
        with pytest.raises(NotAuthenticated) as refused:
            recipients.open(link, passcode, HERE)
        told.add(str(refused.value))
    assert len(told) == 1
    assert standing(archive, session) is Standing.LOCKED
    assert [mail.to for mail in mails(archive) if mail.template == "locked"] == [SENDER]


@pytest.mark.parametrize(
    "over",
    [
        "UPDATE guest_exchange SET until_at = now()",
        "UPDATE guest_exchange SET stopped_at = now(), stopped_by = 'sender'",
        "UPDATE import_batch SET state = 'confirmed', decided_by = 'clerk'",
    ],
    ids=["its time", "stopped", "taken by staff"],
)
def test_what_is_over_opens_to_nobody_though_nothing_of_it_is_cleared_yet(
    archive: Archive, over: LiteralString
) -> None:
    found = sent(archive, filled(archive))
    with archive.database.transaction() as tx:
        tx.execute(over)
    with pytest.raises(NotAuthenticated):
        opened(archive, found)
    assert "opened" not in {mail.template for mail in mails(archive)}


def test_a_right_passcode_counts_for_nothing(archive: Archive) -> None:
    found = sent(archive, filled(archive))
    recipients = archive.imports.guests.recipients
    secret = last(archive, "guest-images").secret
    typed = found.passcode.lower().replace("-", " ").replace("0", "o")
    for _ in range(MOST_WRONG + 2):
        assert recipients.open(secret, typed, HERE)


# ---- the end of it -------------------------------------------------------------------------------


def test_a_sender_who_stops_closes_it_at_once_and_destroys_it(archive: Archive) -> None:
    session = filled(archive)
    give(archive, session, "letter.pdf", PDF)
    found = sent(archive, session)
    party = opened(archive, found)
    guests = archive.imports.guests
    under_way = guests.recipients.everything(party).content.walk(0, 10)
    guests.senders.stop(sender_of(archive, session))
    assert next(iter(under_way))  # what was asked for before; the next look ends it
    assert guests.resume("x", Side.RECIPIENT, HERE) is None
    with pytest.raises(NotAuthenticated):
        guests.recipients.open(last(archive, "guest-images").secret, found.passcode, HERE)
    with pytest.raises(Conflict):
        guests.senders.stop(sender_of(archive, session))
    work(archive)
    assert left(archive) == (0, 0)
    assert standing(archive, session) is Standing.STOPPED


def test_what_is_under_way_ends_when_it_is_stopped(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vna.imports.handing.LOOK_S", -1.0)  # at every piece
    session = filled(archive, 4)
    party = opened(archive, sent(archive, session))
    pieces = iter(archive.imports.guests.recipients.everything(party).content.walk(0, 1 << 30))
    assert next(pieces)
    archive.imports.guests.senders.stop(sender_of(archive, session))
    with pytest.raises(NotFound):
        next(pieces)


def test_who_gets_somebody_elses_parcel_stops_it(archive: Archive) -> None:
    session = filled(archive)
    sent(archive, session)
    recipients = archive.imports.guests.recipients
    recipients.refuse(new_secret(), HERE)
    assert standing(archive, session) is Standing.SENT
    recipients.refuse(last(archive, "guest-images").secret, HERE)
    assert standing(archive, session) is Standing.REFUSED
    assert last(archive, "not-me").to == SENDER
    work(archive)
    assert left(archive) == (0, 0)


def test_expiry_purges_objects_documents_keys_and_addresses(archive: Archive) -> None:
    session = filled(archive)
    give(archive, session, "letter.pdf", PDF)
    found = sent(archive, session)
    assert left(archive)[0] == 3
    with archive.database.transaction() as tx:
        tx.execute("UPDATE guest_exchange SET until_at = now() - interval '1 second'")
        tx.execute("UPDATE import_batch SET ends_at = now() - interval '1 second'")
    with pytest.raises(NotAuthenticated):
        archive.imports.guests.recipients.open(
            last(archive, "guest-images").secret, found.passcode, HERE
        )
    archive.imports.sweep()
    work(archive)
    assert left(archive) == (0, 0)
    archive.imports.sweep()
    with archive.database.reading() as conn:
        row = conn.execute(
            "SELECT sender, recipient, passcode, over_at IS NOT NULL FROM guest_exchange"
        ).fetchone()
        assert row == (None, None, None, True)
        assert conn.execute("SELECT count(*) FROM import_file").fetchone() == (0,)
    assert standing(archive, session) is Standing.OVER


def test_what_is_sent_at_once_to_one_mailbox_does_not_pass_its_number_together(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_archive(tmp_path, database, guests={"daily": 1}) as archive:
        parties = []
        for n in (1, 2):
            session = proven(archive, f"sender-{n}@example.org")
            give(archive, session, "a", ct(n).part10())
            parties.append(sender_of(archive, session))
        one, other = parties
        send = archive.imports.guests.senders.send
        with together(database, monkeypatch) as meanwhile:
            second = meanwhile(GuestRooms, "tell", lambda: send(other))
            send(one)
            with pytest.raises(TooMany, match="today"):
                second.result()
        assert len([mail for mail in mails(archive) if mail.template == "guest-images"]) == 1


def test_what_is_sent_at_the_last_moment_is_not_forgotten(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever forgets what is over has looked for it a moment ago."""
    session = filled(archive)
    party = sender_of(archive, session)
    with archive.database.transaction() as tx:
        tx.execute("UPDATE guest_exchange SET until_at = now()")
    usual, found = Guests._forget, []

    def forget(guests: Guests, exchange: int, tx: Connection) -> None:
        found.append(guests.senders.send(party))
        usual(guests, exchange, tx)

    monkeypatch.setattr(Guests, "_forget", forget)
    archive.imports.sweep()
    assert opened(archive, found[0]).exchange.standing is Standing.OPENED


def test_what_was_never_sent_is_destroyed_after_a_day(archive: Archive) -> None:
    session = filled(archive)
    begun(archive, recipient="other@example.net")
    with archive.database.transaction() as tx:
        tx.execute(
            "UPDATE guest_exchange SET until_at = now(), made_at = made_at - interval '2 days'"
        )
        tx.execute("UPDATE import_batch SET ends_at = now()")
    archive.imports.sweep()
    work(archive)
    assert left(archive) == (0, 0)
    assert standing(archive, session) is Standing.OVER
    with archive.database.reading() as conn:
        assert conn.execute("SELECT count(*) FROM guest_exchange").fetchone() == (1,)


def test_staff_file_it_after_the_usual_check_and_the_link_closes(archive: Archive) -> None:
    session = filled(archive)
    give(archive, session, "letter.pdf", PDF)
    found = sent(archive, session)
    party = opened(archive, found)
    number = party.exchange.import_number
    assert number is not None
    detail = archive.imports.detail(archive.who, number)
    assert (detail.about.origin, detail.about.state) == (Origin.GUEST, State.NEEDS_IDENTITY)
    exchange = archive.imports.guests.of_import(archive.who, number)
    assert exchange is not None
    assert exchange.number == party.exchange.number
    said = Confirmation(
        persons=frozenset(one.key for one in detail.persons),
        studies=frozenset(study.uid for one in detail.persons for study in one.studies),
        family_name=detail.persons[0].name.partition("^")[0],
        birth_date=detail.persons[0].birth_date,
    )
    archive.imports.confirm(archive.who, number, said)
    assert standing(archive, session) is Standing.TAKEN
    late = archive.imports.guests.resume("x", Side.RECIPIENT, HERE)
    assert late is None
    with pytest.raises(NotAuthenticated):
        archive.imports.guests.recipients.open(
            last(archive, "guest-images").secret, found.passcode, HERE
        )
    work(archive)
    with archive.database.reading() as conn:
        assert conn.execute("SELECT count(*) FROM instance").fetchone() == (2,)
    assert left(archive)[0] == 2  # the letter is gone
    with pytest.raises(Conflict):
        archive.imports.guests.senders.stop(sender_of(archive, session))


def test_what_staff_take_in_hand_before_it_is_sent_is_sent_no_more(archive: Archive) -> None:
    session = filled(archive)
    number = sender_of(archive, session).exchange.import_number
    assert number is not None
    archive.imports.finish(archive.who, number)
    assert standing(archive, session) is Standing.TAKEN
    with pytest.raises(Conflict):
        sent(archive, session)
    with pytest.raises(Conflict):
        give(archive, session, "disc/IM9", ct(1, 1, 9).part10())


def test_recovery_and_reindex_leave_it_in_quarantine(archive: Archive) -> None:
    session = filled(archive)
    give(archive, session, "letter.pdf", PDF)
    found = sent(archive, session)
    archive.recovery.reindex()
    with archive.database.reading() as conn:
        assert conn.execute("SELECT count(*) FROM instance").fetchone() == (0,)
    got = unzipped(archive.imports.guests.recipients.everything(opened(archive, found)))
    assert len(got) == 4
    with archive.database.transaction() as tx:  # a database that knows nothing of it
        tx.execute("DELETE FROM import_batch")
    archive.recovery.reindex()
    (about,) = archive.imports.listed(archive.who, waiting=True)
    assert (about.origin, about.images, about.documents) == (Origin.GUEST, 2, 1)
    archive.imports.reject(archive.who, about.number, "nobody knows whose it is")
    work(archive)
    assert left(archive) == (0, 0)


def test_a_guest_may_do_nothing_to_the_archive(archive: Archive) -> None:
    session = filled(archive)
    assert sender_of(archive, session).principal.actions == {Action.UPLOAD}
    found = sent(archive, session)
    assert sender_of(archive, session).principal.actions == frozenset()
    assert opened(archive, found).principal.actions == frozenset()


def test_the_sender_looks_by_the_link_of_the_receipt(archive: Archive) -> None:
    session = filled(archive)
    sent(archive, session)
    senders = archive.imports.guests.senders
    other = senders.look(last(archive, "guest-sent").secret, HERE)
    assert standing(archive, other) is Standing.SENT
    with pytest.raises(NotAuthenticated):
        senders.look(last(archive, "guest-images").secret, HERE)  # the recipient's looks at nothing


def test_neither_addresses_nor_secrets_stand_in_rows_or_trail(
    archive: Archive, database: Database
) -> None:
    session = filled(archive)
    code = last(archive, "prove").values["code"]
    found = sent(archive, session)
    opened(archive, found)
    with database.reading() as conn:
        kept = "".join(
            str(conn.execute(f"SELECT * FROM {table}").fetchall())  # noqa: S608 -- of this list
            for table in ("audit", "guest_exchange", "guest_session", "message", "job")
        )
        secrets = [last(archive, "guest-images").secret, last(archive, "guest-sent").secret]
    for secret in (SENDER, RECIPIENT, code, session, found.passcode, *secrets):
        assert secret not in kept


def test_a_session_ends(tmp_path: Path, database: Database) -> None:
    with open_archive(tmp_path, database, sharing={"session_s": 0.0}) as archive:
        session = begun(archive)
        assert archive.imports.guests.resume(session, Side.SENDER, HERE) is None
        archive.imports.sweep()
        with database.reading() as conn:
            assert conn.execute("SELECT count(*) FROM guest_session").fetchone() == (0,)


def test_after_a_lost_database_what_was_sent_waits_at_the_desk_and_goes_in_the_end(
    archive: Archive, tmp_path: Path, postgres: TestPostgres
) -> None:
    """Exchanges are not journalled: addresses are to be forgotten, and the journal forgets none."""
    sent(archive, filled(archive))
    parcel, link = last(archive, "guest-images"), left(archive)
    fresh = Database(postgres.clone(), schema=SCHEMA)
    with contextlib.closing(fresh), open_archive(tmp_path, fresh) as again:
        again.recovery.reindex()
        with pytest.raises(NotAuthenticated):
            again.imports.guests.recipients.open(parcel.secret, "any passcode", HERE)
        (waits,) = again.imports.listed(again.who, waiting=True)
        assert (waits.origin, waits.state, waits.images) == (Origin.GUEST, State.NEEDS_IDENTITY, 2)
        assert left(again) == link
        with fresh.transaction() as tx:  # as long as guests' parcels are kept, and no longer
            keep_s = again.settings.guests.keep_days * 86400.0
            tx.execute(
                "UPDATE import_batch SET ends_at = ends_at - make_interval(secs => %s)", (keep_s,)
            )
        again.imports.sweep()
        work(again)
        assert left(again)[0] == 0
