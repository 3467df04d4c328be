"""Who comes by a link: opening, recognising, leaving. What they must still show: proving.py.

A link's secret is 256 random bits, so finding its grant is one look-up by a hash; an unknown one
costs the same and is answered as any other link that does not open.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from vna.access import rates
from vna.access.audit import Event
from vna.access.principal import Principal, Scope
from vna.access.sessions import Browser
from vna.crypto import shares
from vna.crypto.credentials import digest, new_secret
from vna.db.pool import Connection
from vna.errors import NotAuthenticated, TooMany
from vna.sharing import granting
from vna.sharing.ends import Ends
from vna.sharing.rooms import SQL, Act, Rooms, guest_named
from vna.sharing.values import (
    Guest,
    Level,
    Protection,
    Purpose,
    Reason,
    Refused,
    Shown,
)
from vna.sharing.visible import scope_of, series_of
from vna.telemetry import SHARE_ACTS
from vna.texts import marked

BELIEVED_S = 0.5
TOUCH_S = 30.0
ROOT, KEY = b"root", b"key"
"""What a session holds before the passcode, and after: what the share key hangs on, and itself."""

_REMEMBERED, _SCOPES = 4096, 128
_OPENINGS, _PRINTED = 60, 20  # that fail, of one address in a quarter of an hour
MOST_WRONG = 20
_LEFT = {
    "expired": Reason.EXPIRED,
    "revoked": Reason.REVOKED,
    "locked": Reason.LOCKED,
    "suspended": Reason.SUSPENDED,
    "unsent": Reason.SUSPENDED,
    "refused": Reason.REFUSED,
}
_NOWHERE = bytes(shares.WRAPPED_SIZE)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A grant that a link or a printed code found, and what was left of opening it."""

    grant_id: int
    share_id: int
    half: bytes
    label: bytes


@dataclass(frozen=True, slots=True)
class _Believed:
    until: float
    guest: Guest | None


class Guests:
    """Recognises guests. One a process, shared by its threads."""

    def __init__(self, rooms: Rooms, ends: Ends) -> None:
        self._rooms = rooms
        self._ends = ends
        self._lock = threading.Lock()
        self._believed: OrderedDict[tuple[str, bytes], _Believed] = OrderedDict()
        self._scopes: OrderedDict[tuple[Any, ...], Scope] = OrderedDict()

    # ---- coming ----------------------------------------------------------------------------

    def open(self, secret: str, browser: Browser) -> tuple[str, Guest] | Refused:
        """Open a link; see `SharingEngine.open`."""
        limits = rates.address(browser.address, "share-link", _OPENINGS)
        if self._rooms.rates.take(limits):
            raise TooMany
        root = shares.link_root(secret)
        with self._rooms.database.reading() as conn:
            row = conn.execute(SQL.grant_by_locator, (shares.locator(secret),)).fetchone()
        found = self._tried(row, root)
        return self._came(found, browser, limits, by_print=False)

    def open_printed(self, code: str, browser: Browser) -> tuple[str, Guest] | Refused:
        """Open by a code typed off paper; see `SharingEngine.open_printed`."""
        limits = rates.address(browser.address, "share-print", _PRINTED)
        if self._rooms.rates.take(limits):
            raise TooMany
        lookup, rest = shares.printed_parts(code)
        keys = self._rooms.keys
        with self._rooms.database.reading() as conn:
            row = conn.execute(SQL.grant_by_print, (lookup,)).fetchone()
        pepper, salt, cost = keys.nobodys()
        wrapped = _NOWHERE
        if row is not None:
            pepper, wrapped, salt, cost = bytes(row[6]), bytes(row[8]), bytes(row[9]), row[10]
        is_counted = row is not None and row[3] is None
        if row is not None and is_counted and not self._charged(row[0]):
            return self._came(Refused(reason=Reason.UNKNOWN), browser, limits, by_print=True)
        root = keys.open(keys.stretch(rest, salt, cost), wrapped, pepper)
        if row is not None and is_counted:
            self._settle(row, is_right=root is not None, browser=browser)
        found = Refused(reason=Reason.UNKNOWN) if root is None else self._tried(row, root)
        return self._came(found, browser, limits, by_print=True)

    def _tried(self, row: tuple[Any, ...] | None, root: bytes) -> _Opened | Refused:
        """Try what was shown on what was found; the same work for what was not found."""
        keys = self._rooms.keys
        if row is None:
            pepper, _, _ = keys.nobodys()
            keys.open(root, _NOWHERE, pepper)
            return Refused(reason=Reason.UNKNOWN)
        grant_id, share_id, number, why, is_used_up, wrapped, pepper, passcode_salt = row[:8]
        half, label = root, ROOT
        if passcode_salt is None:
            share_key = keys.open(root, bytes(wrapped), bytes(pepper))
            if share_key is None:
                return Refused(reason=Reason.UNKNOWN)
            half, label = share_key, KEY
        if why is not None:
            return Refused(reason=_LEFT[why], number=number)
        if is_used_up:
            return Refused(reason=Reason.EXHAUSTED, number=number)
        return _Opened(grant_id, share_id, half, label)

    def _charged(self, grant_id: int) -> bool:
        return self._rooms.act(
            lambda tx: tx.execute(SQL.charge_try, (grant_id,)).fetchone() is not None
        )

    def _settle(self, row: tuple[Any, ...], *, is_right: bool, browser: Browser) -> None:
        """Give the try back when the printed code was right; lock when it was the last."""
        grant_id, number = row[0], row[2]

        def settle(tx: Act) -> None:
            if is_right:
                tx.execute(SQL.give_try_back, (grant_id,))
            else:
                who = guest_named(number, grant_id, browser.address)
                self.wrong(tx, who, grant_id, "printed")

        self._rooms.act(settle)

    def wrong(self, tx: Act, who: Principal, grant_id: int, way: str) -> int:
        """Note a wrong secret that was counted already; lock at the last. Returns what is left."""
        row = tx.execute(SQL.wrong_of, (grant_id,)).fetchone()
        left = 0 if row is None else max(0, MOST_WRONG - int(row[1]))
        detail = {"share": row and row[0], "grant": grant_id, "way": way, "left": left}
        self._rooms.tell(tx, who, Event(kind="grant.factor", outcome="refused", detail=detail))
        if left == 0 and row is not None:
            self._ends.end_grant(tx, who, grant_id, "locked", "too many wrong secrets")
            SHARE_ACTS.labels("locked").inc()
        SHARE_ACTS.labels("wrong").inc()
        return left

    def _came(
        self,
        found: _Opened | Refused,
        browser: Browser,
        limits: tuple[rates.Limit, ...],
        *,
        by_print: bool,
    ) -> tuple[str, Guest] | Refused:
        if isinstance(found, Refused):
            if found.reason is not Reason.UNKNOWN:
                self._rooms.rates.give_back(limits)
            SHARE_ACTS.labels("refused").inc()
            return found
        self._rooms.rates.give_back(limits)
        secret = new_secret()
        self._rooms.act(lambda tx: self._begin(tx, found, secret, browser, by_print=by_print))
        guest = self.resume(secret)
        if guest is None:
            return Refused(reason=Reason.REVOKED)  # in this very moment
        SHARE_ACTS.labels("opened").inc()
        return secret, guest

    def _begin(
        self, tx: Act, found: _Opened, secret: str, browser: Browser, *, by_print: bool
    ) -> None:
        if browser.secret is not None:
            tx.execute(SQL.end_session, (digest(browser.secret),))
        agent = "".join(c for c in browser.agent[:200] if c.isprintable())
        half = shares.seal_half(secret, found.half, found.label)
        tx.execute(
            SQL.begin_session,
            (
                digest(secret),
                found.grant_id,
                half,
                by_print,
                browser.address,
                agent,
                self._rooms.settings.sharing.session_s,
            ),
        )
        tx.execute(SQL.note_link_opened, (found.grant_id,))
        row = tx.execute(SQL.to_channel_of, (found.grant_id,)).fetchone()
        if row is not None and row[0] is not None and not by_print:
            tx.execute(SQL.prove_channel, (row[0],))
        number = tx.execute(SQL.number_of, (found.share_id,)).fetchone()
        who = guest_named(number[0] if number else "", found.grant_id, browser.address)
        detail = {"share": found.share_id, "grant": found.grant_id, "printed": by_print}
        self._rooms.tell(tx, who, Event(kind="grant.opened", outcome="done", detail=detail))

    # ---- being there -----------------------------------------------------------------------

    def resume(self, secret: str) -> Guest | None:
        """Say who a cookie stands for; see `SharingEngine.resume`."""
        return self._who("cookie", SQL.find_guest, secret)

    def by_capability(self, capability: str) -> Guest | None:
        """Say who a path stands for; see `SharingEngine.by_capability`."""
        return self._who("path", SQL.find_guest_by_capability, capability)

    def forget(self, secret: str) -> None:
        """Look again at the next request."""
        with self._lock:
            self._believed.pop(("cookie", digest(secret)), None)

    def leave(self, secret: str) -> None:
        """End a session."""
        guest = self.resume(secret)

        def work(tx: Act) -> None:
            if tx.execute(SQL.end_session, (digest(secret),)).fetchone() and guest is not None:
                detail = {"share": guest.share_id, "grant": guest.grant_id}
                told = Event(kind="grant.left", outcome="done", detail=detail)
                self._rooms.tell(tx, guest.principal, told)

        self._rooms.act(work)
        self.forget(secret)

    def not_me(self, secret: str) -> str:
        """Stop a grant that reached somebody else; see `SharingEngine.not_me`."""
        guest = self.require(secret)
        self._rooms.act(
            lambda tx: self._ends.end_grant(
                tx, guest.principal, guest.grant_id, "refused", "reached somebody else"
            )
        )
        self.forget(secret)
        SHARE_ACTS.labels("not me").inc()
        return guest.share.number

    def capability(self, secret: str) -> str:
        """Make a path for a session; see `SharingEngine.capability`."""
        guest = self.require(secret)
        if not guest.is_proven:
            raise NotAuthenticated("Show first what is asked for.")
        with self._rooms.database.transaction() as tx:
            row = tx.execute(SQL.half_of, (digest(secret),)).fetchone()
            if row is None:
                raise NotAuthenticated(marked("This session is over; open the link again."))
            share_key = shares.open_half(secret, bytes(row[0]), KEY)
            made = new_secret()
            half = shares.seal_half(made, share_key, KEY)
            tx.execute(SQL.add_capability, (digest(made), guest.session_id, half))
        return made

    def require(self, secret: str) -> Guest:
        """Say who a cookie stands for. Raises `NotAuthenticated`."""
        guest = self.resume(secret)
        if guest is None:
            raise NotAuthenticated(marked("This session is over; open the link again."))
        return guest

    def _who(self, sort: str, statement: Any, secret: str) -> Guest | None:
        key = (sort, digest(secret))
        until = time.monotonic() + BELIEVED_S  # from before it is asked: a revocation may come
        with self._lock:
            known = self._believed.get(key)
        if known is not None and known.until > time.monotonic():
            return known.guest
        asked = {
            "secret_hash": key[1],
            "touch_s": TOUCH_S,
            "idle_s": self._rooms.settings.sharing.idle_s,
        }
        with self._rooms.database.reading() as conn:
            row = conn.execute(statement, asked).fetchone()
            guest = None if row is None else self._guest(conn, row)
        if row is not None and guest is not None and guest.is_proven:
            self._hold_key(guest.share_id, secret, bytes(row[20]))
            # not above: labels may have to ask, too, and a thread that holds a connection while it
            # waits for another one is soon every thread
            guest = replace(guest, principal=self._rooms.labels.narrowed(guest.principal))
        if row is not None and row[17]:
            with self._rooms.database.transaction() as tx:
                tx.execute(SQL.touch_session, (row[0],))
        if guest is not None and not guest.is_proven:
            return guest  # the next request, at another process, may come from who is in
        with self._lock:
            self._believed[key] = _Believed(until, guest)
            self._believed.move_to_end(key)
            while len(self._believed) > _REMEMBERED:
                self._believed.popitem(last=False)
        return guest

    def _hold_key(self, share_id: int, secret: str, half: bytes) -> None:
        """Keep the share's key while its holder is here, where blobs are opened by nothing else."""
        opened = self._rooms.open_shares
        if opened is not None:
            opened.hold(share_id, shares.open_half(secret, half, KEY))

    def _guest(self, conn: Connection, row: tuple[Any, ...]) -> Guest:
        session_id, grant_id, share_id, level, proven, proof = row[:6]
        until, reports, download, forward, parts, number, purpose, person, studies = row[6:15]
        recipient, masked, _, address, revision = row[15:20]
        is_proven = level == Level.PROVEN
        principal = guest_named(number, grant_id, address)
        if is_proven:
            key = (grant_id, reports, revision)
            scope = self._scope(conn, key, share_id, studies, parts, reports=reports)
            principal = self._rooms.let_in(principal, scope)
        ways = [Protection(way) for way in proof]
        shown = Shown(
            number=number,
            sender=self._rooms.settings.site.name,
            until=until,
            purpose=Purpose(purpose),
            person=granting.open_person(self._rooms, share_id, person) if is_proven else None,
            recipient=(
                granting.open_recipient(self._rooms, grant_id, recipient) if is_proven else None
            ),
            studies=tuple(studies) if is_proven else (),
            reports=reports,
            download=download,
            forward=forward,
            given_on=row[21],
            ways=tuple((w, "" if w is Protection.PASSCODE else masked or "") for w in ways),
        )
        return Guest(
            session_id=session_id,
            grant_id=grant_id,
            share_id=share_id,
            level=Level(level),
            principal=principal,
            needs=tuple(way for way in ways if way.value not in proven),
            share=shown,
        )

    def _scope(
        self,
        conn: Connection,
        key: tuple[Any, ...],
        share_id: int,
        studies: list[str],
        parts: Any,  # JSON
        *,
        reports: bool,
    ) -> Scope:
        """Compute what is shown, again only when a study has changed."""
        with self._lock:
            known = self._scopes.get(key)
        if known is not None:
            return known
        scope = scope_of(series_of(conn, share_id, studies, reports=reports), parts or ())
        with self._lock:
            self._scopes[key] = scope
            while len(self._scopes) > _SCOPES:
                self._scopes.popitem(last=False)
        return scope
