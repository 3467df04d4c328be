"""Guests served without any key of the archive: the whole way of a guest, and what stays closed."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import unescape
from typing import Any

import pydicom
import pytest
from psycopg.conninfo import make_conninfo

from tests.conftest import SCHEMA, TestPostgres
from tests.factories import ct
from tests.sharing.conftest import report
from tests.web.conftest import Site, running, serving
from tests.web.guests import caller, coded, inside, offered
from vna.access.remotes import Remote
from vna.apart import Given, guests_opened, lent_of
from vna.archive import Archive
from vna.blobs.backends import connect
from vna.blobs.journal import Journal
from vna.blobs.store import BlobStore
from vna.crypto.lent import Lent
from vna.db import guest_role
from vna.delivery.sealing import unseal
from vna.errors import NotFound, NotPermitted, VNAError
from vna.web.asgi import create_for_guests
from vna.web.exchange import Counter
from vna.web.identity import Identity
from vna.web.portal import guest_site
from vna.web.standing import Standing
from vna.web.threads import Threads

FIRST, SECOND = ct(rows=32, columns=32), ct(instance=2, rows=32, columns=32)
OTHER = ct(study=9, patient_id="P-0009", patient_name="Roe^Richard")
GROWING = ct(study=5, rows=32, columns=32)
ZIP = "?accept=application/zip"


@dataclass(slots=True)
class Desk:
    """The archive's side, in the same process: it writes down, and wraps what came later."""

    site: Site
    journal: Journal

    def append(self, op: str, target: dict[str, Any], args: dict[str, Any], actor: str) -> bytes:
        return self.journal.append(op, target, args, actor)

    def later_key(self, share_id: int, blob_id: bytes) -> bytes | None:
        return self.site.archive.sharing.later_key(share_id, blob_id)


@dataclass(slots=True)
class Both:
    """An archive, and beside it what serves its guests."""

    site: Site  # staff; its address is that of the guests' server
    apart: Archive


@pytest.fixture(scope="module")
def both(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as site:
        for one in (FIRST, SECOND, OTHER, GROWING):
            site.archive.take(one.part10())
        store = site.archive.store
        folder = site.archive.settings.data / "blobs"
        given = Given(
            lent=Lent.unpack(lent_of(store.keyring).pack()),
            desk=Desk(site, Journal(store)),
            backend=connect(folder),
            described=BlobStore.describe(folder),
        )
        settings = replace(site.archive.settings, dev=False)
        guest_role.make(postgres.cluster.admin_dsn())
        guest_role.give(postgres.dsn(site.database_name), SCHEMA)
        dsn = make_conninfo(postgres.dsn(site.database_name), user=guest_role.ROLE)
        with (
            guests_opened(settings, dsn, given) as apart,
            running(create_for_guests(apart.engines)) as address,
        ):
            yield Both(replace(site, address=address), apart)


@pytest.fixture(autouse=True)
def fresh_limits(both: Both) -> None:
    """Every test comes from the same address; none is to be slowed down by another."""
    with both.site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")


def test_a_guest_sees_everything_through_the_key_of_the_share_alone(both: Both) -> None:
    gray = inside(both.site, offered(both.site, FIRST))
    assert "Example Practice" in gray.get("/s/home").text
    assert gray.get("/s/download").status_code == 200
    base = gray.base(FIRST.study)
    found = gray.get(f"{base}/studies/{FIRST.study}/metadata", accept="application/dicom+json")
    assert {one["00080018"]["Value"][0] for one in found.json()} == {
        FIRST.instance,
        SECOND.instance,
    }
    picture = gray.get(
        f"{base}/studies/{FIRST.study}/series/{FIRST.series}/instances/{FIRST.instance}/rendered",
        accept="image/jpeg",
    )
    assert picture.content.startswith(b"\xff\xd8")
    packed = gray.get(f"{base}/studies/{FIRST.study}{ZIP}", accept="*/*")
    with zipfile.ZipFile(io.BytesIO(packed.content)) as files:
        held = [pydicom.dcmread(io.BytesIO(files.read(name))) for name in files.namelist()]
    assert {one.SOPInstanceUID for one in held} == {FIRST.instance, SECOND.instance}
    page = gray.post("/s/sealed", "/s/download", study=FIRST.study).text
    found_link = re.search(r'href="([^"]+sealed=[\w-]{22})"', page)
    passphrase = re.search(r"data-text>([0-9a-z-]{23})<", page)
    assert found_link is not None
    assert passphrase is not None
    sealed = gray.get(unescape(found_link[1]), accept="*/*")
    label = found_link[1].rpartition("=")[2]
    # the archive's own processes would make the same of it: they hold the same key of this purpose
    capability = base.split("/")[3]
    assert both.site.engines.retrieve.seals.begun(capability, label).passphrase != passphrase[1]
    taken = found_link[1].split("/")[3]
    assert both.site.engines.retrieve.seals.begun(taken, label).passphrase == passphrase[1]
    assert sealed.content.startswith(b"PK\3\4\x33\0\1\0\x63\0")
    details = f"{base}/studies?includefield=00181030"
    assert gray.get(details, accept="application/dicom+json").status_code == 200


def test_a_guest_has_it_sent_on_by_the_archive_and_cannot_send_for_others(both: Both) -> None:
    site = both.site
    remote = Remote(ae_title="CLINIC", host="127.0.0.1", port=1, offered_as="Example Clinic")
    site.archive.remotes.add(site.archive.who, remote)
    hidden = Remote(ae_title="HIDDEN", host="127.0.0.1", port=1)
    site.archive.remotes.add(site.archive.who, hidden)
    share = offered(site, FIRST)
    gray = inside(site, share)
    assert "Example Clinic" in gray.get("/s/archive").text
    sent = gray.post("/s/archive", "/s/archive", to="remote:CLINIC", sure="yes")
    assert sent.status_code == 303
    assert "0 of 2" in gray.get("/s/archive").text
    # the process itself sees no other archive, reads no job, and asks only for who is there
    with both.apart.database.reading() as conn:
        assert conn.execute("SELECT ae_title FROM remote").fetchall() == [("CLINIC",)]
    other = offered(site, OTHER)
    values = (other.share_id, other.grant_id)
    for refused in (
        "SELECT host FROM remote",
        "SELECT cause FROM job",
        "SELECT * FROM job_item",
        "SELECT * FROM share_sending",
    ):
        with pytest.raises(VNAError), both.apart.database.reading() as conn:
            conn.execute(refused)
    with pytest.raises(VNAError), both.apart.database.transaction() as tx:
        tx.execute(
            "INSERT INTO share_sending (sending_id, share_id, grant_id, job_id, remote, offered_as)"
            " VALUES (1, %s, %s, 1, 'CLINIC', 'x')",
            values,
        )
    with pytest.raises(VNAError), both.apart.database.transaction() as tx:
        tx.execute("INSERT INTO job (kind, requested_by) VALUES ('forward', 'x')")


def test_a_report_that_comes_later_is_opened_with_the_archives_help(both: Both) -> None:
    gray = inside(both.site, offered(both.site, GROWING, reports=True))
    late = replace(
        report(), study=GROWING.study, series=f"{GROWING.series}.7", instance="1.2.826.77"
    )
    both.site.archive.take(late.part10())
    base = gray.base(GROWING.study)
    where = f"{base}/studies/{late.study}/series/{late.series}/instances/{late.instance}"
    for _ in range(2):  # wrapped by the archive, then kept
        answer = gray.get(where, accept="application/dicom")
        assert answer.status_code == 200
        assert late.instance.encode() in answer.content
    with both.site.archive.database.reading() as conn:
        assert conn.execute("SELECT count(*) FROM share_later_key").fetchone() == (1,)


def test_the_site_of_guests_has_no_page_of_anybody_else(both: Both) -> None:
    threads = Threads(1)
    try:
        identity = Identity(both.apart.engines, threads)
        counter = Counter(
            engines=both.apart.engines,
            threads=threads,
            identity=identity,
            standing=Standing(identity),
        )
        paths = {route.path for route in guest_site.routes(counter)}
        led = {route.path for route in guest_site.elsewhere(counter)}
    finally:
        threads.close()
    others = {path for path in paths if not path.startswith(("/s/", "/static/"))}
    assert others == {"/", "/s", "/viewer/{path:path}"}
    assert led == {"/s", "/s/{path:path}"}
    for path in ("/login", "/dicom-web/studies", "/metrics", "/viewer/index.html", "/own"):
        assert caller(both.site).get(path).status_code == 404


def test_codes_forwarding_and_ways_out_need_no_key_either(both: Both) -> None:
    offered(both.site, FIRST, forward=True, **coded())
    posted, gray = both.site.archive.posted, caller(both.site)
    assert gray.open(posted.secret()).headers["location"].startswith("/s/prove")
    assert gray.prove(_sent_code(both), way="sms").headers["location"] == "/s/home"
    given = gray.post(
        "/s/forward", "/s/forward", proof="passcode", name="Dr Lee", days="3", organisation=""
    )
    assert given.status_code == 200
    assert "passcode" in given.text.lower()
    assert gray.post("/s/not-me", "/s/home").status_code == 200
    assert gray.get("/s/home").status_code == 401
    acts = {entry.op for entry in Journal(both.site.archive.store).replay()}
    assert {"grant", "grant-end", "channel"} <= acts
    with both.site.archive.database.reading() as conn:
        kinds = conn.execute("SELECT payload FROM job WHERE kind = 'tell'").fetchall()
    assert any(act[0] == "grant.refused" for row in kinds for act in row[0]["acts"])


def test_a_printed_code_opens_and_twenty_wrong_passcodes_lock(both: Both) -> None:
    share = offered(both.site, FIRST, printed=True)
    guesser = caller(both.site)
    assert guesser.open(str(share.printed_code)).headers["location"] == "/s/prove"
    answers = [guesser.prove("NOT-THIS-ONE") for _ in range(20)]
    assert "locked" in answers[-1].text
    assert caller(both.site).open(str(share.secret)).status_code == 403


def test_what_nobody_opened_stays_closed(both: Both) -> None:
    store = both.apart.store
    with both.site.archive.database.reading() as conn:
        row = conn.execute(
            "SELECT i.blob_id, b.header FROM instance i JOIN instance_blob b USING (instance_pk) "
            "WHERE i.sop_instance_uid = %s",
            (OTHER.instance,),
        ).fetchone()
    assert row is not None
    blob_id, header = bytes(row[0]), bytes(row[1])
    inside(both.site, offered(both.site, FIRST))
    offered(both.site, OTHER)  # and nobody has come for it
    with both.apart.database.reading() as conn:
        seen = {row[0] for row in conn.execute("SELECT study_uid FROM study")}
        of_all = conn.execute("SELECT count(*) FROM instance WHERE current").fetchone()
    assert FIRST.study in seen
    assert OTHER.study not in seen
    assert of_all is not None
    assert of_all[0] < 5
    with pytest.raises(NotFound):
        store.reader(blob_id)
    with pytest.raises(NotFound):
        store.read_range(blob_id, header, 10, 0, 10)
    with pytest.raises(NotPermitted):
        store.keys.for_study(OTHER.study)
    with pytest.raises(NotPermitted):
        store.data_key(blob_id, header)
    for of_the_archive in (
        lambda: store.keyring.current,
        lambda: store.keyring.access_key(store.keyring.current_id),
        lambda: store.keyring.journal_key(store.keyring.current_id),
        lambda: store.keyring.drawn_key(store.keyring.current_id, b"VNA access 1"),
        lambda: list(Journal(store).replay()),
        lambda: store.writer(None),
    ):
        with pytest.raises(NotPermitted):
            of_the_archive()


def _sent_code(both: Both) -> str:
    """Read the code that was sent last, as the sender of messages does."""
    with both.site.archive.database.reading() as conn:
        row = conn.execute(
            "SELECT token, sealed FROM message WHERE template = 'code' ORDER BY message_id DESC"
        ).fetchone()
    assert row is not None
    contents = unseal(both.site.archive.store.keyring, bytes(row[0]), bytes(row[1]))
    return contents.values["code"]
