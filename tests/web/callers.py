"""Those who come without an account: by a link, a code, an exchange, at a tablet."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

from tests.factories import ct
from tests.imports.conftest import mark
from tests.imports.parcels import RECIPIENT, SENDER, last, sender_of
from tests.web.conftest import Site
from tests.web.guests import coded, offered
from tests.web.people import SHELL, Surfer, signed_in, surfer
from tests.web.writing import Door, Key
from vna.access.sessions import Browser
from vna.delivery.channels import email
from vna.imports.requests import Wanted
from vna.sharing.values import Purpose, Recipient, Refused

IMAGE = ct(701, patient_id="P-701", rows=8, columns=8, values={"PatientBirthDate": "19700101"})
BROUGHT = ct(901, patient_id="P-901", rows=8, columns=8)


@dataclass(slots=True)
class Party:
    """Somebody who was let in; how that ends, and the page their forms are of."""

    surfer: Surfer
    page: str
    end: Callable[[], object]
    names: dict[str, str] = field(default_factory=dict)
    token: str = ""

    def __post_init__(self) -> None:
        self.token = self.surfer.token(self.page)


def share(site: Site) -> Party:
    """Open a link, show its passcode."""
    found = opened(site)
    assert found.surfer.post("/s/prove", way="passcode", text=found.names["passcode"])
    return found


def opened(site: Site) -> Party:
    """Open a link, and show nothing yet."""
    recipient = Recipient(name="Doe, Jane", organisation="Example Clinic")
    made = offered(site, IMAGE, purpose=Purpose.PATIENT_REQUEST, recipient=recipient, forward=True)
    return _came(site, made.share_id, str(made.secret), str(made.passcode))


def coded_share(site: Site) -> Party:
    """Open a link that asks for a code."""
    made = offered(site, IMAGE, **coded())
    sharing, who = site.archive.sharing, surfer(site)
    opened = sharing.open(site.archive.posted.secret(), Browser(address="127.0.0.1"))
    assert not isinstance(opened, Refused)
    who.client.cookies.set("vna-share", opened[0], domain="127.0.0.1")  # no code is sent yet
    return Party(who, "/s/prove", lambda: sharing.revoke(SHELL, made.share_id, reason="Over"))


def _came(site: Site, share_id: int, link: str, passcode: str) -> Party:
    who = surfer(site)
    assert who.post("/s/open", "/s", link=link).status_code == 303
    sharing = site.archive.sharing
    return Party(
        who,
        "/s/prove",
        lambda: sharing.revoke(SHELL, share_id, reason="Over"),
        {"link": link, "passcode": passcode, "study": IMAGE.study},
    )


def asked(site: Site) -> Party:
    """Come by a link that asks for images."""
    requests = site.archive.imports.requests
    until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=7)
    to = email("radiology@example.org")
    made = requests.ask(SHELL, Wanted(organisation="Elsewhere", wanted="A CT", to=to, until=until))
    who, names = surfer(site), {"link": made.secret, "passcode": made.passcode}
    assert who.post("/u/open", "/u", **names).status_code == 303
    party = Party(who, "/u/files", lambda: requests.stop(SHELL, made.request), names)
    assert send(party, ("PUT", "/u/file/{mark}"), Door("asked", how="file")).is_success
    return party


def proving(site: Site) -> Party:
    """Say from whom to whom, and show no code yet."""
    who = surfer(site)
    assert who.post("/send", sender=SENDER, recipient=RECIPIENT).status_code == 303
    names = {"code": last(site.archive, "prove").values["code"]}
    with site.archive.database.transaction() as tx:  # another one may be asked for
        tx.execute("UPDATE guest_exchange SET code_at = now() - interval '2 minutes'")
    return Party(who, "/send/code", lambda: _stop(site, who), names)


def sender(site: Site) -> Party:
    """Show the code of one's mailbox, and send one file."""
    found = proving(site)
    assert found.surfer.post("/send/code", code=found.names["code"]).status_code == 303
    party = Party(found.surfer, "/send/files", found.end)
    assert send(party, ("PUT", "/send/file/{mark}"), Door("sender", how="file")).is_success
    return party


def sent(site: Site) -> Party:
    """Have sent it: a link tells how it stands."""
    found = sender(site)
    made = found.surfer.post("/send/done", "/send/files")
    passcode = re.search(r'shown-once">([^<]+)<', made.text)
    assert passcode is not None
    status = last(site.archive, "guest-sent").secret
    names = {"status": status, "passcode": passcode[1]}
    names["link"] = last(site.archive, "guest-images").secret
    return Party(found.surfer, "/send/status", found.end, names)


def recipient(site: Site) -> Party:
    """Open what was sent."""
    came, who = sent(site), surfer(site)
    done = who.post("/g/open", "/g", link=came.names["link"], passcode=came.names["passcode"])
    assert done.status_code == 303
    return Party(who, "/g/images", came.end, came.names)


def kiosk(site: Site) -> Party:
    """Hand a tablet over."""
    with site.archive.database.reading() as conn:
        row = conn.execute("SELECT count(*) FROM account").fetchone()
    who = signed_in(site, f"desk-{row[0] if row else 0}", "records-clerk")
    whom = {"patient": "P-701", "name": "Doe, Jane", "born": "1970-01-01", "purpose": "research"}
    ticked = {"confirmed.name": "on", "confirmed.birth-date": "on"}
    assert who.post("/consents/kiosk", "/consents", **whom, **ticked).status_code == 303
    kiosks, secret = site.archive.sharing.kiosks, who.client.cookies["vna-kiosk"]
    return Party(who, "/kiosk/form", lambda: kiosks.end(secret))


FAMILIES: Mapping[str, Callable[[Site], Party]] = {
    "share": share, "opened": opened, "coded": coded_share,
    "asked": asked, "proving": proving, "sender": sender, "sent": sent, "recipient": recipient,
    "kiosk": kiosk,
}  # fmt: skip


def _stop(site: Site, who: Surfer) -> None:
    """Let a sender end what they send: it is destroyed."""
    party = sender_of(site.archive, who.client.cookies["vna-send"])
    site.archive.imports.guests.senders.stop(party)


def entering(party: Party, key: Key) -> Party:
    """Stand before a door with what opens it, as somebody who has not come in."""
    page = "/send/status" if key[1] == "/send/status" else key[1].rpartition("/")[0]
    return Party(surfer(party.surfer.site), page, party.end, party.names)


def stranger(who: Surfer, page: str) -> Party:
    """Somebody who was never let in, with secrets of nobody."""
    names = {"link": "A" * 43, "status": "A" * 43, "passcode": "AAAA-AAAA-AA", "code": "00000000"}
    names["study"] = IMAGE.study
    return Party(who, page, lambda: None, names)


def send(party: Party, key: Key, door: Door, *, file: str = "a.dcm") -> httpx.Response:
    """Send a request of a door, with the cookies of a party."""
    url = party.surfer.site.address.url + key[1].replace("{mark}", mark(file))
    client, headers = party.surfer.client, {"x-vna-form": party.token}
    if door.how == "json":
        what = {"marks": [mark("b.dcm")], "items": ["b"]} if "/send" in url else [mark("b.dcm")]
        return client.post(url, json=what, headers=headers)
    if door.how == "file":
        headers["x-vna-name"] = file
        return client.put(url, content=BROUGHT.part10(), headers=headers)
    if door.how == "parts":
        held = ("c.dcm", ct(902, rows=8, columns=8).part10())
        return client.post(url, files=[("form", (None, party.token)), ("file", held)])  # type: ignore[arg-type]  # a list keeps the order
    fields = {name: text.format(**party.names) for name, text in door.fields.items()}
    return client.post(url, data={"form": party.token, **fields}, headers=headers)
