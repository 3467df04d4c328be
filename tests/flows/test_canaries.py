"""What people are called and what they keep secret stands nowhere in clear but where it must.

One archive as it is run, with TLS, sign-in, a relay and a gateway, its log at DEBUG. Names, numbers
and secrets go in by every way, a telephone's browser among them; then everything it wrote is
searched. Columns of the database hold names and numbers by design (docs/security.md), and secrets
not even there. What was brought twice has no bytes in common.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, Page

from tests import prepared
from tests.cli.serving import Serving, run, serving
from tests.delivery.gateway import Gateway
from tests.delivery.gateway import serving as gateway_serving
from tests.delivery.relay import Relay, authority, relaying
from tests.dimse.edge import wait_for
from tests.factories import CT, EXPLICIT, ct
from tests.flows.canaries import Canaries, found_below, found_in
from tests.flows.test_guests import glanced
from tests.flows.test_sign_in import browser
from tests.flows.test_viewer import PHONE
from tests.imports.conftest import mark, zip_of
from tests.web.conftest import body_of
from vna.dicom.encode import encode_dataset
from vna.dimse.scu import Requestor

__all__ = ["browser"]

HEADER = 256  # of a blob: what it says of itself is like that of others
NAMED = {
    "family name": "Zyxwcanary",
    "given name": "Quillfeather",
    "Patient ID": "PID-CANARY-77431",
    "accession number": "ACC-CANARY-5521",
    "physician": "Refcanaryson",
    "description": "Descanary knee",
    "Other Patient IDs": "MRN-CANARY-90210",
    "file name": "filecanary-disc",
    "note": "notecanary of a disc",
}
TYPED = {
    "mail address": "mailcanary@example.org",
    "telephone": "447700900777",
    "recipient": "Drcanary Graywether",
    "passphrase": "canary green bicycles",
    "wrong passphrase": "wrongcanary yellow boats",
    "wrong token": "vna_wrongcanary" + "A" * 32,
    "wrong passcode": "WRNG-CNRY-XX",
}
PERSON = {
    "PatientName": "Zyxwcanary^Quillfeather",
    "PatientID": NAMED["Patient ID"],
    "AccessionNumber": NAMED["accession number"],
    "ReferringPhysicianName": NAMED["physician"],
    "StudyDescription": NAMED["description"],
    "OtherPatientIDs": NAMED["Other Patient IDs"],
}
UNTIL = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=20)).isoformat()
SENT, STOWED = (ct(n, values=PERSON) for n in (1, 2))
CARRIED = ct(3, values=PERSON, rows=64, columns=64, pixels=os.urandom(2 * 64 * 64))
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STOW = {"content-type": 'multipart/related; type="application/dicom"; boundary=b'}


@dataclass(slots=True)
class Journey:
    """An archive, who speaks to it, and what it answered when something was wrong."""

    served: Serving
    relay: Relay
    gateway: Gateway
    canaries: Canaries
    refused: list[bytes] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def root(self) -> str:
        """Where it is served."""
        return "https://localhost:" + self.served.state()["http"].rpartition(":")[2]

    def browser(self) -> httpx.Client:
        """Open a browser without scripts; answers that are refusals are kept."""

        def keep(answer: httpx.Response) -> None:
            if answer.status_code >= 400:
                self.refused.append(answer.read() + repr(answer.headers.multi_items()).encode())

        trust = ssl.create_default_context(cafile=self.served.data / "tls" / "server.crt")
        client = httpx.Client(
            base_url=self.root,
            verify=trust,
            timeout=60,
            event_hooks={"response": [keep]},
        )
        return self.stack.enter_context(client)

    def secret(self, name: str, pattern: str, text: str) -> str:
        """Take a secret out of what was shown, and look for it from now on."""
        found = re.search(pattern, text)
        assert found is not None, name
        self.canaries.secrets[name] = found[1]
        return found[1]


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=PHONE, ignore_https_errors=True)  # type: ignore[arg-type]  # a TypedDict
    yield context.new_page()
    context.close()


def form(client: httpx.Client, path: str, page: str | None = None, **fields: str) -> httpx.Response:
    """Send the form of a page."""
    found = re.search(r'name="form" value="([^"]+)"', client.get(page or path).text)
    assert found is not None
    return client.post(path, data={"form": found[1], **fields})


@pytest.fixture
def journey(monkeypatch: pytest.MonkeyPatch) -> Iterator[Journey]:
    folder = Path(tempfile.mkdtemp(prefix="vna-canaries-"))
    folder.chmod(0o755)
    (folder / "tmp").mkdir(mode=0o777)
    ca, trusted = authority(folder)
    with ExitStack() as stack:
        relay, gateway = stack.enter_context(relaying(ca)), stack.enter_context(gateway_serving(ca))
        settings = {
            "LOG_LEVEL": "DEBUG",
            "BLOBS_FREE_BYTES": "0",
            "SITE_HELP": "Desk 9",
            "MAIL_HOST": "127.0.0.1",
            "MAIL_PORT": str(relay.port),
            "MAIL_CA": str(trusted),
            "MAIL_SENDER": "images@example.org",
            "SMS_PROVIDER": "webhook",
            "SMS_URL": f"{gateway.url}/sms",
            "SMS_SECRET": "s" * 32,
            "SMS_SENDER": "VNA",
            "OUTBOUND_ALLOW": "127.0.0.1",
            "OUTBOUND_CA": str(trusted),
            "SHARING_URL": "https://images.example.org",
        }
        for name, value in settings.items():
            monkeypatch.setenv(f"VNA_{name}", value)
        monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
        prepared.lay(folder / "data")
        begun = run("init", "--data", folder / "data")
        assert begun.returncode == 0, begun.stderr
        with serving(folder / "data", dev=False) as served:
            found = Journey(served, relay, gateway, Canaries(dict(NAMED), dict(TYPED)))
            stack.enter_context(found.stack)
            found.secret("link of enrolment", r"/enrol#(\S+)", begun.stdout)
            yield found
    shutil.rmtree(folder)


def enrolled(journey: Journey) -> httpx.Client:
    """Enrol the first administrator, fail to sign in, and sign in."""
    secrets = journey.canaries.secrets
    client = journey.browser()
    form(client, "/enrol", link=secrets["link of enrolment"])
    phrase = secrets["passphrase"]
    form(client, "/enrol/passphrase", passphrase=phrase, again=phrase)
    shown = re.search(r'class="secret">([A-Z2-7 ]+)<', client.get("/enrol/factor").text)
    assert shown is not None
    secrets["secret of the app"] = shown[1].replace(" ", "")
    app = pyotp.TOTP(secrets["secret of the app"])
    codes = form(client, "/enrol/factor", code=app.now()).text
    journey.secret("recovery code", r"<li>\s*<code>([^<]+)</code>", codes)
    secrets["cookie"] = client.cookies["__Host-vna"]
    other = journey.browser()
    form(other, "/login", login="admin", passphrase=secrets["wrong passphrase"])
    form(other, "/login", login=secrets["mail address"], passphrase=phrase)
    return client


def token(journey: Journey) -> dict[str, str]:
    """Make a program with a token; send a wrong one first."""
    at = ("--data", journey.served.data)
    assert run("user", "add", "gateway", "--service", "--role", "service", *at).returncode == 0
    made = run("token", "add", "gateway", "test", *at)
    right = journey.secret("token", r"(vna_\S+)", made.stdout)
    wrong = {"authorization": f"Bearer {journey.canaries.secrets['wrong token']}"}
    assert journey.browser().get("/dicom-web/studies", headers=wrong).status_code == 401
    return {"authorization": f"Bearer {right}"}


def over_dimse(journey: Journey) -> None:
    """Store, be refused, search for a name, search for what is no name."""
    served = journey.served
    added = run("remote", "add", "CT1", "127.0.0.1", "104", "--data", served.data)
    assert added.returncode == 0, added.stderr
    host, port = served.state()["dicom"].split(":")
    contexts = [(CT, [EXPLICIT]), (FIND, [EXPLICIT])]
    with Requestor(host, int(port), calling="CT1", called="VNA", contexts=contexts) as remote:
        assert remote.store(CT, SENT.instance, EXPLICIT, [SENT.dataset()]).code == 0
        for wrong in (SENT.dataset()[:-7], b"\x10\0\x10\0" + b"PN\xff\xffZyxwcanary"):
            refused = remote.store(CT, ct(9).instance, EXPLICIT, [wrong])
            assert refused.code != 0
            journey.refused.append(refused.comment.encode())
        keys = {
            "00080052": {"vr": "CS", "Value": ["STUDY"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Zyxwcanary*"}]},
            "00100020": {"vr": "LO", "Value": [NAMED["Patient ID"]]},
            "00081030": {"vr": "LO", "Value": [NAMED["description"]]},
        }
        asked = encode_dataset(keys, explicit=True)
        assert len(list(remote.find(FIND, asked, transfer_syntax=EXPLICIT))) == 1


def over_dicomweb(journey: Journey, bearer: dict[str, str]) -> bytes:
    """Store, search, fetch; and ask for all of it wrongly."""
    client, broken = journey.browser(), STOWED.part10()[:-9]
    client.headers.update(bearer)
    stored = client.post("/dicom-web/studies", content=body_of(STOWED.part10()), headers=STOW)
    assert stored.status_code == 200, stored.text
    study = f"/dicom-web/studies/{STOWED.study}"
    assert client.post("/dicom-web/studies", content=body_of(broken), headers=STOW).is_error
    name, number = PERSON["PatientName"], NAMED["Patient ID"]
    for path in (
        f"/dicom-web/studies?NoSuchKey={name}",
        f"/dicom-web/studies?PatientID={number}&limit={NAMED['accession number']}",
        f"/dicom-web/studies?StudyDate={number}",
        f"/dicom-web/{name}",
        f"/dicom-web/studies/{number}",
        f"/dicom-web/studies/1.2.3/series?PatientName={name}",
        f"{study}?accept={number}",
        f"{study}/metadata?includefield={name}",
        f"/wado?requestType=WADO&studyUID={number}",
        f"/nowhere/{name}?q={number}",
    ):
        client.get(path)
    assert client.get(f"{study}/metadata").status_code == 200
    answer = client.get(f"/dicom-web/studies?PatientName={name}&PatientID={number}")
    assert answer.status_code == 200
    return answer.content


def shared(journey: Journey, staff: httpx.Client, phone: Page) -> None:
    """Share with somebody who opens it on their own; wrong passcodes and links before."""
    secrets = journey.canaries.secrets
    fields = {
        "confirmed.name": "on",
        "confirmed.birth-date": "on",
        "purpose": "treatment",
        "recipient": secrets["recipient"],
        "to": secrets["mail address"],
        "passcode": "on",
        "by": f"+{secrets['telephone']}",
        "basis": "legal:treatment",
        "until": UNTIL,
        "language": "en",
        "reports": "on",
        "download": "on",
        f"series.{SENT.series}": "on",
    }
    refused = form(staff, f"/study/{SENT.study}/share", **{**fields, "until": "2001-01-01"})
    assert refused.status_code == 400
    del journey.refused[-1]  # the form again, with the patient's name and what was typed
    made = form(staff, f"/study/{SENT.study}/share", **fields)
    assert made.status_code == 200, made.text
    passcode = journey.secret("passcode", r'class="shown-once">([^<]+)<', made.text)
    wait_for(lambda: bool(journey.relay.mails), within_s=60)
    link = journey.secret("link", r"/s#([\w-]{43})", journey.relay.mails[0].part("plain"))
    seen_by_a_stranger(journey, phone, link, passcode)


def seen_by_a_stranger(journey: Journey, phone: Page, link: str, passcode: str) -> None:
    """Open a link on a telephone after wrong links and passcodes; look, ask for more, download."""
    secrets, root = journey.canaries.secrets, journey.root
    for wrong in ("A" * 43, link):
        phone.goto("about:blank")
        phone.goto(f"{root}/s#{wrong}")
        phone.get_by_role("button", name="Open").click()
    for text in (secrets["wrong passcode"], passcode):
        phone.get_by_label("Passcode").fill(text)
        phone.get_by_role("button", name="Go on").click()
    wait_for(lambda: bool(journey.gateway.calls), within_s=60)
    code = journey.secret("code", r"\b(\d{8})\b", journey.gateway.calls[0].body.decode())
    phone.get_by_label("Code").fill(code)
    phone.get_by_role("button", name="Go on").click()
    phone.get_by_text(NAMED["family name"]).first.wait_for()
    glanced(phone, "canary-home")
    cookies = [str(one.get("value")) for one in phone.context.cookies()]
    secrets["cookie of a guest"] = max(cookies, key=len)
    with phone.expect_download() as download:
        phone.goto(f"{root}/s/download")
        phone.get_by_role("link", name="Everything as one ZIP file").click()
    assert SENT.dataset() in Path(download.value.path()).read_bytes()
    phone.goto(f"{root}/s/view/{SENT.study}")
    phone.locator("[data-stage] canvas").wait_for()
    page = phone.content()
    base = journey.secret("capability", r"/s/c/([\w-]{32,64})/dicom-web", page)
    below = f"{root}/s/c/{base}/dicom-web/studies"
    assert phone.request.get(below).status == 200
    refused = phone.request.get(f"{below}/{STOWED.study}/metadata")
    assert refused.status == 404
    journey.refused.append(refused.body() + repr(refused.headers).encode())


def brought(journey: Journey, staff: httpx.Client) -> None:
    """Bring a disc to the desk, a bad file with it."""
    began = form(staff, "/imports", note=NAMED["note"])
    page = began.headers["location"]
    found = re.search(r'data-form="([^"]+)"', staff.get(page).text)
    assert found is not None
    disc = zip_of({"A/1": CARRIED.part10(), "A/Zyxwcanary.dcm": CARRIED.part10()[:-5]})
    for name, data in ((f"{NAMED['file name']}.zip", disc), ("Zyxwcanary.dcm", b"DICMcanary")):
        headers = {"x-vna-form": found[1], "x-vna-name": name}
        sent = staff.put(f"{page}/file/{mark(name)}", content=data, headers=headers)
        assert sent.status_code == 200, sent.text
    assert form(staff, f"{page}/finish", page).status_code == 303
    headers = {"x-vna-form": found[1], "x-vna-name": "Zyxwcanary.dcm"}
    assert staff.put(f"{page}/file/{mark('late')}", content=b"x", headers=headers).is_error


@pytest.mark.timeout(300)
def test_nothing_that_was_put_in_is_found_in_clear(journey: Journey, phone: Page) -> None:
    canaries, data = journey.canaries, journey.served.data
    staff = enrolled(journey)
    bearer = token(journey)
    over_dimse(journey)
    answered = over_dicomweb(journey, bearer)
    shared(journey, staff, phone)
    brought(journey, staff)
    brought(journey, staff)
    metrics = staff.get("/metrics")
    assert metrics.status_code == 200
    journey.served.stop()

    assert "Patient ID" in found_in(answered, canaries.all())  # what is looked for can be found
    assert "Patient ID" in " ".join(found_below(data / "pg", NAMED))
    log = "\n".join(journey.served.lines).encode()
    assert b'"level":"DEBUG"' in log.replace(b" ", b"")
    assert found_in(log, canaries.all()) == []
    assert found_in(metrics.content, canaries.all()) == []
    assert len(journey.refused) > 12
    assert found_in(b"\n".join(journey.refused), canaries.all()) == []
    assert found_below(data.parent / "tmp", canaries.all()) == []
    assert found_below(data, canaries.all(), without=[data / "pg"]) == []
    assert found_below(data / "pg", canaries.secrets) == []
    nothing_in_common(data / "blobs")


def nothing_in_common(folder: Path) -> None:
    """Look for a block of 16 bytes that stands in both sealed objects of what was brought twice."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    once, twice = [one for one in files if len(one) > len(CARRIED.part10())]
    places = range(HEADER, HEADER + len(CARRIED.part10()) - 15, 16)
    blocks = [{one[at : at + 16] for at in places} for one in (once, twice)]
    assert len(blocks[0]) == len(places)  # nor has one with itself
    assert not blocks[0] & blocks[1]
