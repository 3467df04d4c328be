"""What a guest must show besides the link: a passcode, which is part of the key, or a code.

Each wrong secret counts against the grant for its life. A passcode is counted before it is tried,
since a try takes its time; a code is compared while the grant is held. So guesses made at once
count as if they were made one after the other, and twenty lock the grant.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from vna.access.audit import Event
from vna.access.principal import Principal
from vna.crypto import shares
from vna.crypto.credentials import digest
from vna.delivery.channels import Channel
from vna.errors import InvalidRequest, NotAuthenticated, TooMany
from vna.sharing import granting
from vna.sharing.guests import KEY, MOST_WRONG, ROOT, Guests
from vna.sharing.held import hold_grant
from vna.sharing.rooms import SQL, Act, Rooms, guest_named
from vna.sharing.values import Guest, Level, Protection, Reason, Refused, Sent, Wrong
from vna.telemetry import SHARE_ACTS
from vna.texts import marked

CODE_MINUTES = 10
_WAIT_S = 30
_OF_GRANT_HOUR, _OF_GRANT_DAY, _OF_CHANNEL = 5, 10, 3  # codes sent; of a channel in ten minutes
_MOST_TYPED = 128


class _Proof(NamedTuple):
    """What a session must still show, as the database has it."""

    session_id: int
    grant_id: int
    share_id: int
    proven: list[str]
    proof: list[str]
    half: bytes
    link_wrap: bytes
    pepper: bytes
    passcode_salt: bytes | None
    stretch: str
    wrong: int
    by_channel: int | None
    language: str
    number: str
    address: str | None
    studies: list[str]

    def who(self) -> Principal:
        return guest_named(self.number, self.grant_id, self.address)

    def needs(self, way: Protection) -> bool:
        return way.value in self.proof and way.value not in self.proven


class Proving:
    """Sends codes and checks what is shown. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms, guests: Guests) -> None:
        self._rooms = rooms
        self._guests = guests

    def send_code(self, secret: str, way: Protection) -> Sent:
        """Send a code to the second channel; see `SharingEngine.send_code`."""
        if way is Protection.PASSCODE:
            raise InvalidRequest("A passcode is told by whoever shared; it is not sent.")

        def work(tx: Act) -> Sent:
            proof = self._hold(tx, secret)
            if not proof.needs(way) or proof.by_channel is None:
                raise InvalidRequest("No code is asked for this way.")
            to = granting.open_channel(self._rooms, tx, proof.by_channel)
            asked = {"grant_id": proof.grant_id, "channel_id": proof.by_channel}
            row = tx.execute(SQL.sent_lately, asked).fetchone()
            age_s, hour, day, of_channel, until = row or (None, 0, 0, 0, None)
            if age_s is not None and age_s < _WAIT_S and until is not None:
                return Sent(masked=to.masked(), until=until, wait_s=_WAIT_S - int(age_s))
            if hour >= _OF_GRANT_HOUR or day >= _OF_GRANT_DAY or of_channel >= _OF_CHANNEL:
                raise TooMany(
                    marked("Too many codes were sent there; wait, or ask who sent you the link.")
                )
            return self._send(tx, proof, way, to)

        sent = self._rooms.act(work)
        SHARE_ACTS.labels("code sent").inc()
        return sent

    def prove(self, secret: str, way: Protection, typed: str) -> Guest | Wrong | Refused:
        """Show a code or the passcode; see `SharingEngine.prove`."""
        typed = typed[:_MOST_TYPED]
        if way is Protection.PASSCODE:
            found = self._passcode(secret, typed)
        else:
            found = self._rooms.act(lambda tx: self._code(tx, secret, way, typed))
        self._guests.forget(secret)
        return self._guests.require(secret) if found is None else found

    # ---- codes -----------------------------------------------------------------------------

    def _send(self, tx: Act, proof: _Proof, way: Protection, to: Channel) -> Sent:
        code = shares.new_code()
        mac = self._rooms.keys.code_mac(proof.grant_id, code)
        tx.execute(SQL.void_codes, (proof.grant_id,))
        row = tx.execute(
            SQL.add_code, (proof.grant_id, way.value, proof.by_channel, mac)
        ).fetchone()
        assert row is not None  # noqa: S101 -- an insert returns its row
        tx.execute(SQL.note_code_sent, (proof.grant_id,))
        self._rooms.outbox.post(
            tx.tx,
            to=to,
            template="code",
            values={
                "code": code,
                "minutes": str(CODE_MINUTES),
                "host": urlsplit(self._rooms.origin()).hostname or "",
            },
            language=proof.language,
            until=row[0],
            channel_id=proof.by_channel,
            share_id=proof.share_id,
            grant_id=proof.grant_id,
            requested_by=proof.who().name,
        )
        detail = {"share": proof.share_id, "grant": proof.grant_id, "way": way.value}
        self._rooms.tell(tx, proof.who(), Event(kind="grant.code", outcome="sent", detail=detail))
        return Sent(masked=to.masked(), until=row[0], wait_s=_WAIT_S)

    def _code(self, tx: Act, secret: str, way: Protection, typed: str) -> Wrong | Refused | None:
        proof = self._hold(tx, secret)
        if not proof.needs(way):
            return None
        row = tx.execute(SQL.find_code, (proof.grant_id, way.value)).fetchone()
        mac = self._rooms.keys.code_mac(proof.grant_id, typed)
        if row is None:  # none is out, so none can be guessed: this counts for nothing
            return Wrong(MOST_WRONG - proof.wrong)
        if not shares.is_same(mac, bytes(row[1])):
            tx.execute(SQL.note_wrong_code, (row[0],))
            tx.execute(SQL.charge_try, (proof.grant_id,))
            return Wrong(self._guests.wrong(tx, proof.who(), proof.grant_id, way.value))
        tx.execute(SQL.use_code, (row[0],))
        tx.execute(SQL.prove_channel, (row[3],))
        return self._proven(tx, proof, way, bytes(proof.half))

    # ---- passcode --------------------------------------------------------------------------

    def _passcode(self, secret: str, typed: str) -> Wrong | Refused | None:
        charged = self._rooms.act(lambda tx: self._charge(tx, secret))
        if charged is None:
            return None  # shown before
        half, salt = bytes(charged.half), bytes(charged.passcode_salt or b"")
        root = shares.open_half(secret, half, ROOT)
        stretched = self._rooms.keys.stretch(typed, salt, charged.stretch)
        wrapped, pepper = bytes(charged.link_wrap), bytes(charged.pepper)
        share_key = self._rooms.keys.open(root, wrapped, pepper, stretched=stretched)

        def settle(tx: Act) -> Wrong | Refused | None:
            if share_key is None:
                return self._wrong_passcode(tx, charged)
            proof = self._hold(tx, secret)
            tx.execute(SQL.give_try_back, (proof.grant_id,))
            if not proof.needs(Protection.PASSCODE):
                return None
            sealed = shares.seal_half(secret, share_key, KEY)
            return self._proven(tx, proof, Protection.PASSCODE, sealed)

        return self._rooms.act(settle)

    def _wrong_passcode(self, tx: Act, charged: _Proof) -> Wrong:
        """Note it whatever became of the session: who leaves before the answer has guessed, too."""
        tx.execute(SQL.hold_share, (charged.share_id,))
        if hold_grant(tx, charged.grant_id).why is not None:
            raise NotAuthenticated(marked("This session is over; open the link again."))
        return Wrong(self._guests.wrong(tx, charged.who(), charged.grant_id, "passcode"))

    def _charge(self, tx: Act, secret: str) -> _Proof | None:
        proof = self._hold(tx, secret)
        if not proof.needs(Protection.PASSCODE):
            return None
        if tx.execute(SQL.charge_try, (proof.grant_id,)).fetchone() is None:
            raise TooMany(marked("Too many tries are under way; wait for their answers."))
        return proof

    # ---- both ------------------------------------------------------------------------------

    def _proven(self, tx: Act, proof: _Proof, way: Protection, half: bytes) -> Refused | None:
        """Note that one way was shown; with the last one the guest is in."""
        proven = [*proof.proven, way.value]
        is_in = set(proof.proof) <= set(proven)
        detail = {"share": proof.share_id, "grant": proof.grant_id, "way": way.value}
        if is_in and tx.execute(SQL.count_open, (proof.share_id,)).fetchone() is None:
            return Refused(reason=Reason.EXHAUSTED, number=proof.number)
        tx.execute(
            SQL.keep_proven,
            {
                "proven": proven,
                "level": int(Level.PROVEN if is_in else Level.OPENED),
                "half": half,
                "session_id": proof.session_id,
            },
        )
        events = [Event(kind="grant.factor", outcome="done", detail=detail)]
        if is_in:
            first = tx.execute(SQL.note_open, (proof.grant_id,)).fetchone()
            if first is not None and first[0] == 1:
                granting.send_notice(self._rooms, tx, "opened", proof.grant_id, proof.who().name)
            # what leaves the house is disclosed: one row a study, for the accounting
            events += [
                Event(kind="export.opened", outcome="done", study=study, detail=detail)
                for study in proof.studies
            ]
            SHARE_ACTS.labels("proven").inc()
        self._rooms.tell(tx, proof.who(), *events)
        return None

    def _hold(self, tx: Act, secret: str) -> _Proof:
        hashed = digest(secret)
        tx.execute(SQL.hold_share_of_session, (hashed,))
        asked = {"secret_hash": hashed, "idle_s": self._rooms.settings.sharing.idle_s}
        row = tx.execute(SQL.proof_of, asked).fetchone()
        if row is None:
            raise NotAuthenticated(marked("This session is over; open the link again."))
        return _Proof._make(row)
