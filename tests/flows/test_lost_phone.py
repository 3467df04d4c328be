"""A clerk with two factors, a scanner cut off, a lost telephone, a trail that is whole; and what
the key of a share opens: no door of staff.

A real `vna serve` as a hospital has it: TLS, nobody comes in without a name, mails to a relay,
short messages to a gateway by a signed call, C-STORE from a remote AE that is registered.
Screenshots are kept in build/screens; axe finds nothing on any of the pages.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, Page

from tests import prepared
from tests.cli.serving import Serving, serving
from tests.delivery.gateway import Gateway
from tests.delivery.gateway import serving as calling
from tests.delivery.relay import Relay, authority, relaying
from tests.factories import CT, EXPLICIT, Instance, ct
from tests.flows.serving import READY_S, free_port, select_nothing
from tests.flows.test_guests import glanced
from tests.flows.test_sign_in import PASSPHRASE, browser, root, vna
from tests.flows.test_viewer import DESKTOP, PHONE, Told
from tests.web.test_matrix import ABSENT, GUEST, NEEDED, NOBODY, OPEN, PAGES, START, asked
from vna.access.principal import system
from vna.app import at_work
from vna.delivery.signing import SIGNATURE, is_signed
from vna.dicom.refs import UID, StudyRef
from vna.dimse.scu import Requestor
from vna.errors import Unavailable
from vna.loading import load
from vna.sharing.values import (
    Confirmed,
    Offer,
    Offered,
    Person,
    Protection,
    Purpose,
    Recipient,
)

__all__ = ["browser"]

WHO = {"00100010": "Canary^Clara", "00100020": "C-1", "00100030": "19700102"}
STUDY = [ct(7, 1, number, values=WHO, rows=256, columns=256) for number in range(1, 11)]
OLD, NEW = "+44 20 7946 0018", "+44 20 7946 0019"
SECRET = "a key of the gateway and of ours"


@dataclass(slots=True)
class House:
    """The server, and who takes what it sends to people."""

    server: Serving
    relay: Relay
    gateway: Gateway
    told: Told = field(default_factory=Told)

    def link(self, count: int) -> str:
        """Wait for a mail; give the address in it."""
        awaited(lambda: len(self.relay.mails) >= count)
        found = re.search(r"https://\S+/s#[\w-]{43}", self.relay.mails[count - 1].part("plain"))
        assert found is not None
        return found[0]

    def code(self, count: int) -> tuple[str, str]:
        """Wait for a short message with a code; say where it went, and the code in it."""
        awaited(lambda: len(self.codes()) >= count)
        return self.codes()[count - 1]

    def codes(self) -> list[tuple[str, str]]:
        """Give the codes that went out so far, each with where it went."""
        found = [(to, re.search(r"\b\d{8}\b", text)) for to, text in self.texts()]
        return [(to, code[0]) for to, code in found if code is not None]

    def texts(self) -> list[tuple[str, str]]:
        """Give the short messages that went out so far, each with where it went."""
        calls = list(self.gateway.calls)
        assert all(is_signed(SECRET, one.body, one.headers[SIGNATURE.lower()]) for one in calls)
        said = [json.loads(one.body) for one in calls]
        assert not any("Canary" in one["text"] for one in said)
        return [(one["to"], one["text"]) for one in said]


def awaited(holds: Callable[[], bool]) -> None:
    """Wait until something holds that other processes bring about."""
    deadline = time.monotonic() + READY_S
    while not holds():
        assert time.monotonic() < deadline
        select_nothing(0.05)


@pytest.fixture(scope="module")  # before the browser, whose loop the relay's would meet
def house() -> Iterator[House]:
    folder = Path(tempfile.mkdtemp(prefix="vna-house-"))
    folder.chmod(0o755)
    ca, trusted = authority(folder)
    http = free_port()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        relay = stack.enter_context(relaying(ca))
        gateway = stack.enter_context(calling(ca))
        settings = folder / "vna.toml"
        settings.write_text(
            f'[sharing]\nurl = "https://localhost:{http}"\n'
            "[blobs]\nfree_bytes = 0\n"
            f'[mail]\nhost = "127.0.0.1"\nport = {relay.port}\nca = "{trusted}"\n'
            'sender = "images@example.org"\n'
            f'[sms]\nprovider = "webhook"\nurl = "{gateway.url}/sms"\nsecret = "{SECRET}"\n'
            f'[outbound]\nallow = "127.0.0.1"\nca = "{trusted}"\n'
        )
        data = folder / "data"
        prepared.lay(data)
        vna("init", "--data", str(data))
        vna("remote", "add", "CT1", "127.0.0.1", "11112", "--may", "store", "--data", str(data))
        words = ("--config", str(settings), "--http", f"127.0.0.1:{http}")
        server = stack.enter_context(serving(data, *words, dev=False))
        yield House(server, relay, gateway)


def test_two_factors_a_cut_transfer_a_lost_telephone_and_a_trail_that_is_whole(
    house: House, browser: Browser
) -> None:
    url = root(house.server)
    desk = browser.new_context(viewport=DESKTOP, ignore_https_errors=True).new_page()  # type: ignore[arg-type]  # a TypedDict
    phone = browser.new_context(viewport=PHONE, ignore_https_errors=True).new_page()  # type: ignore[arg-type]  # the same
    house.told.watch(desk)
    sign_in(house, desk, "clerk", "records-clerk")
    scanned(house.server)

    # a role has its pages and no others
    desk.goto(f"{url}/study/{STUDY[0].study}/opened")
    desk.get_by_role("heading", name="That did not work").wait_for()
    glanced(desk, "house-not-permitted")
    house.told.errors.clear()  # the browser logs the refusal as what it is

    # a link by mail, a code to a telephone
    desk.goto(url)
    desk.locator(f'a[href="/study/{STUDY[0].study}/share"]').click()
    desk.get_by_label("Name Canary, Clara").check()
    desk.get_by_label("Date of birth 1970-01-02").check()
    desk.get_by_label("The link goes to").fill("clara@example.org")
    desk.get_by_label("The code goes to").fill(OLD)
    desk.get_by_role("button", name="Send").click()
    desk.get_by_role("heading", name=re.compile("^Shared: ")).wait_for()
    first = house.link(1)
    opened(phone, first)
    phone.get_by_text("A code is on its way to the phone …18.").wait_for()
    sent_to, old_code = house.code(1)
    assert sent_to == OLD.replace(" ", "")

    # the telephone is lost before the code was typed
    replaced(desk)
    second = house.link(2)
    assert second != first
    phone.get_by_label("Code").fill(old_code)
    phone.get_by_role("button", name="Go on").click()
    phone.get_by_role("heading", name="This page is closed").wait_for()
    opened(phone, first)
    phone.get_by_role("heading", name="This does not open").wait_for()
    glanced(phone, "house-old-link")
    opened(phone, second)
    phone.get_by_text("A code is on its way to the phone …19.").wait_for()
    sent_to, code = house.code(2)
    assert sent_to == NEW.replace(" ", "")
    awaited(lambda: any("codes go elsewhere" in text for _, text in house.texts()))
    told = [to for to, text in house.texts() if "codes go elsewhere" in text]
    assert told == [OLD.replace(" ", "")]  # whoever has it now hears that it is of no use
    phone.get_by_label("Code").fill(old_code)
    phone.get_by_role("button", name="Go on").click()
    phone.get_by_text("19 tries are left").wait_for()
    glanced(phone, "house-old-code")
    phone.get_by_label("Code").fill(code)
    phone.get_by_role("button", name="Go on").click()
    phone.get_by_role("heading", name="Images of Canary, Clara").wait_for()
    phone.get_by_role("link", name="View").click()
    phone.get_by_text(f"Image 1 of {len(STUDY)}").first.wait_for()

    # a process is killed while they look: nobody has to sign in again
    house.server.child("http 1").kill()
    phone.reload()  # waits where the next one will listen
    phone.get_by_text(f"Image 1 of {len(STUDY)}").first.wait_for()
    desk.get_by_role("link", name="Follow it").click()
    desk.get_by_text("A new link was made").wait_for()
    assert "Canary" not in "".join(str(mail.content) for mail in house.relay.mails)
    assert [one for one in house.told.errors if "400" not in one] == []  # what was not compared
    assert "the trail is whole" in vna("audit", "verify", "--data", str(house.server.data))
    kinds = [
        json.loads(line)["row"]["kind"]
        for line in vna("audit", "search", "--json", "--data", str(house.server.data)).splitlines()
    ]
    assert {"login", "share.offered", "grant.renewed", "grant.opened", "read"} <= set(kinds)


def test_the_key_of_a_share_opens_no_door_of_staff(house: House, browser: Browser) -> None:
    url = root(house.server)
    image = ct(8, 1, 1, values=WHO)
    _send(house.server, [image])
    share = offered(house, image)
    context = browser.new_context(viewport=PHONE, ignore_https_errors=True)  # type: ignore[arg-type]  # a TypedDict
    phone = context.new_page()
    opened(phone, f"{url}/s#{share.secret}")
    phone.get_by_label("Passcode").fill(str(share.passcode))
    phone.get_by_role("button", name="Go on").click()
    phone.get_by_role("heading", name="Images of Canary, Clara").wait_for()
    phone.get_by_role("link", name="View").click()
    base = phone.locator("[data-base]").first.get_attribute("data-base") or ""
    capability = base.split("/")[3]
    assert context.request.get(f"{url}{base}/studies").status == 200
    cookies = [one["value"] for one in context.cookies()]
    assert cookies

    # by the browser that is in: it sends what it has by itself
    pages = [(m, path) for (m, path), whose in PAGES.items() if whose not in _ANYBODY]
    doors = [(m, url + filled(path)) for m, path in pages]
    doors += [(m, f"{url}/dicom-web{asked(path)}") for m, path in NEEDED]
    assert len(doors) > 100
    for method, where in doors:
        answer = context.request.fetch(where, method=method, max_redirects=0)
        is_led = answer.status == 303 and answer.headers["location"].startswith("/login")
        assert is_led or answer.status in (401, 403), (method, where)
    # and with the key shown in every way that staff and programs show theirs
    with httpx.Client(verify=False, timeout=60) as client:  # noqa: S501 -- its certificate is its own
        for key in (capability, *cookies):
            for fields in ({"authorization": f"Bearer {key}"}, {"cookie": f"__Host-vna={key}"}):
                for method, where in doors:
                    came = client.request(method, where, headers=fields)
                    is_led = came.status_code == 303 and "/login" in came.headers["location"]
                    assert is_led or came.status_code in (401, 403, 429), (method, where)
    phone.goto(f"{url}/shares")
    phone.get_by_role("button", name="Go on").wait_for()
    assert phone.url.startswith(f"{url}/login")
    glanced(phone, "house-no-door")
    context.close()


_ANYBODY = (OPEN, NOBODY, GUEST, START, ABSENT)


def filled(path: str) -> str:
    """Write some number or name at each place of a route."""
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda m: "1" if m[2] == ":int" else "1.2", path)


def offered(house: House, image: Instance) -> Offered:
    """Share a study with somebody who is told a passcode, as an administrator at the shell does."""
    settings = load(environ={}, flags={"data": str(house.server.data)})
    with at_work(settings, "share") as archive:
        return archive.engines.sharing.offer(
            system("clerk"),
            Offer(
                studies=frozenset({StudyRef(UID(image.study))}),
                person=Person(
                    name="Canary, Clara",
                    birth_date=dt.date(1970, 1, 2),
                    confirmed=frozenset({Confirmed.NAME, Confirmed.BIRTH_DATE}),
                ),
                recipient=Recipient(name="Dr. Gray"),
                purpose=Purpose.TREATMENT,
                to=None,
                proof=frozenset({Protection.PASSCODE}),
                until=dt.datetime.now(dt.UTC) + dt.timedelta(days=20),
                legal_basis="treatment",
            ),
        )


def sign_in(house: House, page: Page, login: str, role: str) -> None:
    """Enrol by the link of an administrator; then come in by both factors and by nothing less."""
    url, data = root(house.server), str(house.server.data)
    said = vna("user", "add", login, "--role", role, "--data", data)
    found = re.search(r"/enrol#\S+", said)
    assert found is not None
    page.goto(url + found[0])
    page.get_by_role("button", name="Begin").click()
    page.get_by_label("Passphrase").fill(PASSPHRASE)
    page.get_by_label("Once more").fill(PASSPHRASE)
    page.get_by_role("button", name="Go on").click()
    app = pyotp.TOTP(page.locator("code.secret").inner_text().replace(" ", ""))
    page.get_by_label("Code").fill(app.now())
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("link", name="I have them").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Name").fill(login)
    page.get_by_label("Passphrase").fill(PASSPHRASE)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="Second step").wait_for()
    page.goto(f"{url}/shares")  # the passphrase alone lets nobody in
    page.get_by_role("heading", name="Second step").wait_for()
    page.get_by_label("Code").fill(app.at(int(time.time()) + 30))
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name=login).wait_for()


def scanned(server: Serving) -> None:
    """Send a study, the archive's process killed in the middle of an object; send what is left."""
    left = list(STUDY)
    with pytest.raises(Unavailable):
        _send(server, left, cut_at=5)
    assert len(left) == len(STUDY) - 5
    deadline = time.monotonic() + READY_S
    while left:
        assert time.monotonic() < deadline
        try:
            _send(server, left)
        except Unavailable:  # it is on its way back
            select_nothing(0.05)


def _send(server: Serving, left: list[Instance], *, cut_at: int = -1) -> None:
    """Take from a list what was acknowledged."""
    host, port = server.state()["dicom"].split(":")
    contexts = [(CT, [EXPLICIT])]
    with Requestor(host, int(port), calling="CT1", called="VNA", contexts=contexts) as remote:
        for number, one in enumerate(tuple(left)):
            data = one.dataset()

            def pieces(data: bytes = data, cut: bool = number == cut_at) -> Iterator[bytes]:
                yield data[:4096]
                if cut:
                    server.child("dicom 1").kill()
                yield data[4096:]

            assert remote.store(CT, one.instance, EXPLICIT, pieces()).code == 0
            left.remove(one)


def opened(phone: Page, link: str) -> None:
    phone.goto("about:blank")
    phone.goto(link)
    phone.get_by_role("button", name="Open").click()


def replaced(desk: Page) -> None:
    """Give somebody another telephone for codes, after they were asked who they are."""
    desk.get_by_role("link", name="Follow it").click()
    desk.get_by_text("Telephone lost: codes go to another one").click()
    desk.get_by_label("The code goes to").fill(NEW)
    desk.get_by_label("Name Canary, Clara").check()
    desk.get_by_role("button", name="New link, codes to this one").click()
    desk.get_by_role("alert").get_by_text("Compare two things").wait_for()
    glanced(desk, "house-lost-phone")
    desk.get_by_label("Date of birth 1970-01-02").check()
    desk.get_by_role("button", name="New link, codes to this one").click()
    desk.get_by_role("heading", name=re.compile("^Shared: ")).wait_for()
    desk.get_by_text("…19").wait_for()
