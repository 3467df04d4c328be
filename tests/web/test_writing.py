"""Every route that changes something, asked by every role about what it reaches and what not.

Beside `test_reach`, which asks who sees what. Whoever has not the action is refused before anything
is looked up; what is out of reach looks like what is not there; and neither changes anything: every
row of every table, every file, and no act in the trail as done.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx
import orjson
import pytest

from tests.archive import Archive
from tests.conftest import SCHEMA, TestPostgres
from tests.factories import CT
from tests.web.conftest import body_of
from tests.web.holdings import KINDS, Holding, Hospital, hospital, image
from tests.web.people import surfer
from tests.web.test_matrix import NEEDED, OWN, PAGES, ROLES
from tests.web.writing import DICOMWEB, ELSEWHERE, GUESTS, PATIENTS, STAFF, Case, Key, Reach
from vna.access.principal import Action
from vna.web import identity
from vna.web.multipart import multipart_type

ALL = STAFF | PATIENTS
GIVEN = ("clinic", "referring")  # see what was given to them, of what no label withholds
NAMES = [*ROLES.by_name, "clinic"]
PER_PAGE = re.compile(rb'nonce="[^"]*"|nonce-[\w-]+|data-(?:age|now)="[^"]*"')
# what is written of who asks, and of nobody's: when they were there, how often they asked
OF_ASKING = {"session", "rate", "audit", "audit_seal", "audit_checkpoint", "api_token"}
_SHORT = 4  # what is shorter stands in pages for something else, too
SOON = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=9)).isoformat()
LATER = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=19)).isoformat()


@pytest.fixture(scope="module")
def world(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with hospital(postgres, tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told to slow down for wrong tokens of others."""
    monkeypatch.setattr(identity, "_FAILURES", 1_000_000)


class Kept:
    """All that is kept, so that a change of any of it is seen."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        listed = (
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relkind = 'r'"
        )
        with self._archive.database.reading() as conn:
            tables = {row[0] for row in conn.execute(listed, (SCHEMA,))}
        assert tables > OF_ASKING
        self._all = " UNION ALL ".join(
            f"SELECT '{table}', t::text FROM {table} t"  # noqa: S608 -- names of the catalogue
            for table in sorted(tables - OF_ASKING)
        )
        self.begun = self.now()

    def now(self) -> set[tuple[str, str]]:
        """Read every row, every file's name, and every act that was done."""
        # who only looked is written down a second later, and changed nothing
        done = (
            "SELECT 'audit', a::text FROM audit a WHERE outcome = 'done' AND kind <> 'query'"
            " AND kind NOT LIKE '%.seen'"
        )
        with self._archive.database.reading() as conn:
            found = set(conn.execute(f"{self._all} UNION ALL {done}").fetchall())
        for folder, _, names in os.walk(self._archive.settings.data / "blobs"):
            found |= {("file", f"{folder}/{name}") for name in names}
        return found

    def require_same(self) -> None:
        assert sorted(self.now() ^ self.begun) == []


def may(world: Hospital, role: str, key: Key) -> bool:
    """Say whether a role has the action of a page, and pages of its sort are for it at all."""
    found, whose = world.role(role), PAGES[key]
    if not isinstance(whose, Action):
        assert whose == OWN
        return found.is_own
    return whose in found.actions and not found.is_own


def reaches(world: Hospital, role: str, which: str, case: Case) -> bool:
    found = world.role(role)
    if case.reach in (Reach.WHOLE, Reach.BOTH) and not found.scope.everything:
        return False
    if case.reach is Reach.WHOLE:
        return True
    if case.reach is Reach.PERSON and (found.scope.everything or found.is_own):
        return found.scope.everything or which in ("own", "given", "withheld")
    if case.reach is Reach.MINE:
        return which == "own"
    return world.sees(role, which)


def filled(path: str, case: Case, held: Holding) -> tuple[str, dict[str, str]] | None:
    """Write a request about what is held; None where it has no such thing."""
    names = held.names | {"soon": SOON, "later": LATER, "turn": held.names["number"]}
    is_mine = case.reach is Reach.MINE
    share = case.fields["what"] if path.startswith("/share/{share:int}/second") else "share"
    places = {
        "{study}": "study", "{share:int}": "mine" if is_mine else share, "{disc:int}": "disc",
        "{draft:int}": "draft", "{number:int}": "import" if "/import" in path else "request",
        "{mark}": "import",
    }  # fmt: skip
    try:
        for place, name in places.items():
            if place in path:
                path = path.replace(place, names[name])
        fields = {key.format(**names): value.format(**names) for key, value in case.fields.items()}
    except KeyError:
        return None
    return path, fields


def plain(answer: httpx.Response, *held: Holding) -> tuple[int, bytes]:
    """Take out of an answer what differs from page to page, and what was asked for itself."""
    told = PER_PAGE.sub(b"", answer.content)
    named = {value for one in held for value in one.names.values() if len(value) > _SHORT}
    for value in sorted(named, key=len, reverse=True):
        told = told.replace(value.encode(), b"*")
    return answer.status_code, told


class Asker:
    """Somebody of a role, who sends forms of their own pages."""

    def __init__(self, world: Hospital, role: str | None) -> None:
        self._site = world.site
        self._who = surfer(world.site) if role is None else world.people[role]
        page = "/login" if role is None else "/my/account" if role == "patient" else "/account"
        self.token = self._who.token(page)

    def ask(self, key: Key, case: Case, held: Holding) -> httpx.Response | None:
        """Send a case; None where there is nothing to name."""
        asked = filled(key[1], case, held)
        if asked is None:
            return None
        url, fields = self._site.address.url + asked[0], {"form": self.token, **asked[1]}
        headers = {"x-vna-form": self.token}
        return self._who.client.request(key[0], url, data=fields, headers=headers)


def cases(of: Mapping[Key, Iterable[Case]]) -> Iterator[tuple[Key, Case]]:
    for key, some in of.items():
        for case in some:
            yield key, case


@pytest.mark.parametrize("role", [None, *NAMES])
def test_who_has_not_the_action_is_refused_before_anything_is_looked_up(
    world: Hospital, role: str | None
) -> None:
    kept, asker = Kept(world.site.archive), Asker(world, role)
    tried = 0
    for key, case in cases(ALL):
        if role is not None and may(world, role, key):
            continue
        held = [*world.held.values(), world.nowhere]
        asked = [(one, asker.ask(key, case, one)) for one in held]
        told = {plain(answer, one) for one, answer in asked if answer is not None}
        assert len(told) == 1, (key, told)
        ((status, _),) = told
        assert status in ((303, 401) if role is None else (403,)), key
        tried += len(asked)
    kept.require_same()
    assert tried > 50


@pytest.mark.parametrize("role", NAMES)
def test_what_is_out_of_reach_looks_like_what_is_not_there(world: Hospital, role: str) -> None:
    kept, asker = Kept(world.site.archive), Asker(world, role)
    wrong: list[Any] = []
    tried = 0
    for key, case in cases(ALL):
        if not may(world, role, key) or case.reach is Reach.NOTHING:
            continue
        out = [kind for kind in KINDS if not reaches(world, role, kind, case)]
        for kind in out:
            held = world.held[kind]
            answer, absent = asker.ask(key, case, held), asker.ask(key, case, world.nowhere)
            if answer is None or absent is None:
                continue
            tried += 1
            ours, theirs = (plain(one, held, world.nowhere) for one in (answer, absent))
            if ours[0] != 404 or ours != theirs:
                wrong.append((key, case.fields, kind, ours[0], theirs[0], ours[1] == theirs[1]))
    assert not wrong, "\n".join(map(str, wrong))
    assert tried > (80 if role == "clinic" else 5 if role == "patient" else -1)
    kept.require_same()


def written(world: Hospital, role: str, key: Key, held: Holding) -> httpx.Response:
    """Send a request of DICOMweb about what is held, by a token, or by a patient's cookie."""
    method, path = key
    headers = dict(world.tokens.get(role, {}))
    client = world.site.client if headers else world.people[role].client
    content = b""
    if "commitment" in path:
        claimed = {"00081150": _ui(CT), "00081155": _ui(held.one.instance)}
        content = orjson.dumps({"00081199": {"vr": "SQ", "Value": [claimed]}})
        headers["content-type"] = "application/dicom+json"
        path = path.format(transaction=held.names["transaction"])
    elif method == "POST":
        content = body_of(image(int(held.names["number"]), instance=2).part10())
        headers["content-type"] = multipart_type("application/dicom", "b")
    url = f"{world.site.root}/{path.format(**held.names)}"
    return client.request(method, url, content=content, headers=headers)


def _ui(value: str) -> dict[str, Any]:
    return {"vr": "UI", "Value": [value]}


@pytest.mark.parametrize("role", NAMES)
def test_dicomweb_changes_nothing_out_of_reach(world: Hospital, role: str) -> None:
    kept, found = Kept(world.site.archive), world.role(role)
    for key, reach in DICOMWEB.items():
        if reach is Reach.MINE:
            continue
        has, stores = NEEDED[key] in found.actions, NEEDED[key] is Action.STORE
        for kind, held in world.held.items():
            # a label keeps a study from being read: what belongs to it comes in all the same
            is_withheld = kind == "withheld" and found.scope.everything | (role in GIVEN)
            if has and (world.sees(role, kind) or (stores and is_withheld)):
                continue
            answer = written(world, role, key, held)
            absent = written(world, role, key, world.nowhere)
            about = (key, kind, answer.status_code, answer.text)
            assert answer.status_code == (403 if stores or not has else 404), about
            assert plain(answer, held, world.nowhere) == plain(absent, held, world.nowhere), about
    kept.require_same()


def test_a_commitment_tells_of_what_is_in_reach_and_to_who_asked(world: Hospital) -> None:
    (key,) = [key for key, reach in DICOMWEB.items() if reach is Reach.MINE]
    told = {}
    for name in ("given", "other", "nowhere"):
        held = world.nowhere if name == "nowhere" else world.held[name]
        answer = written(world, "clinic", key, held)
        assert answer.status_code == 200, (name, answer.text)
        told[name] = plain(answer, held)[1].replace(held.one.instance.encode(), b"*")
        result = f"{world.site.root}/{key[1].format(transaction=held.names['transaction'])}"
        for role, status in (("service", 404), ("technologist", 404), ("clinic", 200)):
            looked = world.site.client.get(result, headers=world.tokens[role])
            assert looked.status_code == status, (name, role)
    assert told["other"] == told["nowhere"] != told["given"]


# who does it all, and with what: a patient, the narrowest role that may, one that sees everything,
# and who moves a study to another patient, which ends the rest
DOERS = (("patient", "own"), ("clinic", "given"), ("archive-administrator", "other"))
OUT = (("POST", "/consents/kiosk"), ("POST", "/my/acting"))  # they are somebody else after it
MOVER = ("records-clerk", "ended")


def test_what_is_in_reach_is_done(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is refused above is refused for whom it is of: the same requests are taken here."""
    done: set[tuple[Key, str]] = set()
    with hospital(postgres, tmp_path_factory.mktemp("site")) as world:
        for doer in (*DOERS, MOVER):
            for key, case in sorted(cases(ALL), key=lambda one: one[0] in OUT):
                if case.is_last == (doer is MOVER) and does(world, *doer, key, case):
                    done.add((key, str(case)))
    assert done == {(k, str(case)) for k, case in cases(ALL) if case.reach is not Reach.NOTHING}


def does(world: Hospital, role: str, kind: str, key: Key, case: Case) -> bool:
    """Do one thing, if it is for who asks; say whether it was of somebody's."""
    if not may(world, role, key) or not reaches(world, role, kind, case):
        return False
    asker, before = Asker(world, role), Kept(world.site.archive).begun
    answer = asker.ask(key, case, world.held[kind])
    if answer is None:
        return False
    about = (role, key, case, answer.status_code, answer.text)
    if case.reach is Reach.NOTHING:
        assert answer.status_code not in (401, 403, 500), about
        return False
    assert answer.status_code in (200, 303), about
    assert case.is_telling == (Kept(world.site.archive).begun == before), about
    return True


def test_every_route_that_writes_has_its_row() -> None:
    rows = [*STAFF, *PATIENTS, *GUESTS, *ELSEWHERE]
    assert len(rows) == len(set(rows))
    assert set(rows) == {key for key in PAGES if key[0] != "GET"}
    assert set(DICOMWEB) == {key for key in NEEDED if key[0] != "GET"}


def test_what_is_of_one_s_account_is_nobody_else_s(world: Hospital) -> None:
    """Sessions and passkeys are named by numbers: somebody else's are unknown."""
    archive = world.site.archive
    with archive.database.transaction() as tx:
        row = tx.execute(
            "SELECT session_id, account_id FROM session JOIN account USING (account_id)"
            " WHERE login = 'p-auditor'"
        ).fetchone()
        assert row is not None
        key = tx.execute(
            "INSERT INTO passkey (account_id, credential_id, public_key, sign_count, site)"
            " VALUES (%s, 'x', 'y', 0, '127.0.0.1') RETURNING passkey_id",
            (row[1],),
        ).fetchone()
        assert key is not None
    kept = Kept(archive)
    for role in ("clinic", "system-administrator", "patient"):
        who, token = world.people[role], Asker(world, role).token
        for path, name, number in (
            ("/account/sessions/end", "session", row[0]),
            ("/account/passkeys/remove", "passkey", key[0]),
        ):
            url, form = world.site.address.url + path, {"form": token}
            answer = who.client.post(url, data={**form, name: str(number)})
            absent = who.client.post(url, data={**form, name: "987654"})
            assert plain(answer) == plain(absent), path
            assert answer.status_code in (303, 404), path
    kept.require_same()
    assert world.people["auditor"].get("/account").status_code == 200
