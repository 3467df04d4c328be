"""What one may do, asked with what is another's: every recorded request, each identifier swapped.

Somebody does all they can do with what is theirs, and each request is kept. Then each is sent once
more, by them, with one or all of its identifiers exchanged for those of a stranger, and for those
of nobody: the two are answered alike, nothing of the stranger's is told, and nothing of theirs is
changed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.factories import Instance, ct
from tests.web.conftest import Site, serving
from tests.web.guests import coded, inside, offered
from tests.web.people import SHELL, Surfer, in_days, patient_of, people_of, signed_in
from tests.web.test_matrix import NEEDED
from tests.web.test_own_shares import CODE, KIM
from vna.access.care import Whom
from vna.dicom.refs import UID, SeriesRef
from vna.sharing.values import Purpose
from vna.web import identity

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "987654"  # a number of nothing, and the end of UIDs of nothing
PER_PAGE = re.compile(rb'nonce="[^"]*"|nonce-[\w-]+|data-(?:age|now)="[^"]*"')
CLINIC = """
[clinic]
description = "Does at the desk all there is to do, for those it treats"
actions = ["store", "query", "retrieve", "commit", "correct", "share", "import", "label", "audit"]
reach = "granted"
"""


@dataclass(slots=True)
class Party:
    """Somebody, and what is theirs: identifiers by name, as they stand in requests."""

    client: httpx.Client
    known: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()  # what must be in no answer to somebody else
    sent: list[httpx.Request] = field(default_factory=list)


# where a number of each sort stands in a path or a form; UIDs stand for themselves
PLACES = {
    "share": r"(?:/my/shares/|/share/)",
    "draft": r"/my/share/",
    "grant": r"grant=",
    "request": r"(?:/my/requests/|/requests/patients/)",
    "disc": r"/disc/",
    "correction": r"correction=",
}


def swapped(text: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Write identifiers of ours as they would stand there if they were theirs."""
    for name, value in ours.items():
        place = PLACES.get(name, r"(?<!\w)(?<!\d\.)")
        text = re.sub(rf"({place}){re.escape(value)}(?![\w.-])", rf"\g<1>{theirs[name]}", text)
    return text


def names_in(text: str, ours: Mapping[str, str]) -> list[str]:
    return [name for name in ours if swapped(text, {name: ours[name]}, {name: "*"}) != text]


def image(number: int) -> Instance:
    """An image of somebody whose every word can be told from anybody else's."""
    born = {"PatientBirthDate": "19700101", "PatientSex": "F"}
    values = {**born, "StudyDescription": f"Exam{number}x", "AccessionNumber": f"ACC{number}x"}
    return ct(
        number, patient_id=f"PID{number}x", patient_name=f"Name{number}x^A", values=values, rows=8
    )


def secrets_of(number: int) -> tuple[str, ...]:
    return (f"Exam{number}x", f"ACC{number}x", f"PID{number}x", f"Name{number}x")


FIRST, SECOND = image(101), image(202)


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    roles = folder / "roles.toml"
    roles.write_text((ROOT / "conf" / "roles.toml").read_text() + CLINIC)
    sections: dict[str, Any] = {"access": {"roles": str(roles)}}
    with serving(postgres, folder, dev=False, **sections) as found:
        for one in (FIRST, SECOND):
            found.archive.take(one.part10())
        yield found


@pytest.fixture(autouse=True)
def fresh_limits(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_FAILURES", 10_000)
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")


def party(client: httpx.Client, one: Instance, number: int) -> Party:
    found = Party(client, secrets=secrets_of(number))
    found.known = {"study": one.study, "series": one.series, "instance": one.instance}
    client.event_hooks["request"].append(found.sent.append)
    return found


def number_in(answer: httpx.Response, pattern: str) -> str:
    found = re.search(pattern, answer.headers.get("location", "") + answer.text)
    assert found is not None, answer.text
    return found[1]


def looks(ask: Surfer, one: Instance, base: str) -> None:
    """Ask for every resource of an instance."""
    values = {
        "study": one.study, "series": one.series, "instance": one.instance, "frames": "1",
        "path": "7FE00010",
    }  # fmt: skip
    for method, names in NEEDED:
        if method == "GET" and "{transaction}" not in names:
            ask.get(f"{base}/{names.format(**values)}")
    for query in (
        f"StudyInstanceUID={one.study}",
        f"SeriesInstanceUID={one.series}&includefield=all",
    ):
        ask.get(f"{base}/instances?{query}")


def test_of_two_patients_neither_comes_to_what_is_the_other_s(site: Site) -> None:
    parties = [_patient(site, FIRST, 101), _patient(site, SECOND, 202)]
    require_strangers(site, *parties, least=60)


def _patient(site: Site, one: Instance, number: int) -> Party:
    """Look, share and ask as a patient."""
    ann = patient_of(site, one.study)
    found = party(ann.client, one, number)
    for path in (
        "",
        f"/study/{one.study}",
        f"/view/{one.study}",
        f"/view/{one.study}/{one.series}",
    ):
        ann.get(f"/my{path}")
    looks(ann, one, "/dicom-web")
    chosen = {f"study.{one.study}": "on", "reports": "on"}
    parts = {f"parts.{one.study}": "on", f"series.{one.series}": one.study}
    ann.post("/my/share", **chosen, go="parts")
    ann.post("/my/share", **chosen, **parts)
    draft = number_in(ann.post("/my/share", **chosen), r"/my/share/(\d+)/whom")
    ann.post(f"/my/share/{draft}/what", **chosen)
    ann.post(f"/my/share/{draft}/whom", **KIM)
    until = number_in(ann.get(f"/my/share/{draft}/how"), r'name="until" value="([\d-]+)"')
    ann.post(f"/my/share/{draft}/how", **{**CODE, "until": until})
    ann.post(f"/my/share/{draft}/test", f"/my/share/{draft}/check")
    kept = number_in(ann.post("/my/share", **chosen), r"/my/share/(\d+)/whom")
    made = ann.post(f"/my/share/{draft}/send", f"/my/share/{draft}/check")
    share = number_in(made, r'href="/my/shares/(\d+)"')
    where = f"/my/shares/{share}"
    grant = number_in(ann.get(where), r'name="grant" value="(\d+)"')
    ann.post(f"{where}/renew", where, grant=grant)
    ann.post("/my/requests", kind="correct", words=f"Exam{number}x", study=one.study)
    asked = number_in(ann.get("/my/requests"), r'"/my/requests/(\d+)/withdraw"')
    theirs = {"share": share, "draft": draft, "request": asked, "grant": grant}
    # what ends something is written down and not sent: it is the stranger's that must not end
    token = ann.token("/my/shares")
    for path, more in (
        (f"{where}/stop", {}),
        (f"/my/requests/{asked}/withdraw", {}),
        (f"/my/share/{kept}/whom", KIM),
        (f"{where}/ask-stop", {"words": "Please."}),
    ):
        data = {"form": token, **more}
        found.sent.append(ann.client.build_request("POST", site.address.url + path, data=data))
    found.known |= theirs
    return found


def test_of_two_who_treat_somebody_neither_comes_to_the_other_s_patient(site: Site) -> None:
    parties = [_clinician(site, FIRST, 101), _clinician(site, SECOND, 202)]
    require_strangers(site, *parties, least=60)


def _clinician(site: Site, one: Instance, number: int) -> Party:
    """Do at a desk what can be done with a study."""
    login = f"clinic-{number}"
    ada = signed_in(site, login, "clinic")
    whom = Whom(study=UID(one.study))
    people_of(site).care.give(SHELL, login, whom, ground="treating", days=7)
    site.archive.corrections.correct(
        SHELL, UID(one.study), {"AccessionNumber": f"ACC{number}x"}, reason="Wrong entry"
    )
    found = party(ada.client, one, number)
    study = f"/study/{one.study}"
    for path in (
        study,
        *(f"{study}/{page}" for page in ("share", "consents", "opened", "account")),
    ):
        ada.get(path)
    for path in (f"/view/{one.study}", f"/view/{one.study}/{one.series}", "/", "/shares", "/discs"):
        ada.get(path)
    looks(ada, one, "/dicom-web")
    disc = number_in(ada.post(f"{study}/disc", study), r"/disc/(\d+)")
    for page in ("", "/image.iso", "/label.pdf"):
        ada.get(f"/disc/{disc}{page}")
    made = offered(site, one, **coded(), purpose=Purpose.PATIENT_REQUEST)
    where = f"/share/{made.share_id}"
    ada.get(where)
    token = ada.token(where)
    asked = [
        (f"{where}/{act}", {"grant": str(made.grant_id), "until": in_days(60), "reason": "Over"})
        for act in ("revoke", "renew", "extend", "test", "disc", "retry", "sheet.pdf")
    ]
    asked += [(f"/disc/{disc}/{act}", {}) for act in ("retry", "without", "cancel")]
    asked += [(f"{study}/share", {"recipient": "Dr Kim", f"series.{one.series}": "on"})]
    asked += [(f"{study}/account", {"act": "code", "compared.name": "on", "compared.birth": "on"})]
    for path, more in asked:
        data = {"form": token, **more}
        found.sent.append(ada.client.build_request("POST", site.address.url + path, data=data))
    found.known |= {"disc": disc, "share": str(made.share_id), "grant": str(made.grant_id)}
    return found


def test_of_two_guests_neither_comes_to_what_the_other_was_sent(site: Site) -> None:
    parties = []
    for one, number in ((FIRST, 101), (SECOND, 202)):
        series = SeriesRef(UID(one.study), UID(one.series))
        share = offered(site, one, studies=frozenset(), series=frozenset({series}))
        guest = inside(site, share)
        base = guest.base(one.study)
        found = party(guest.client, one, number)
        guest.get(f"/s/view/{one.study}")
        guest.get(f"/s/view/{one.study}/{one.series}")
        looks(Surfer(site, guest.client), one, base)
        parties.append(found)
    require_strangers(site, *parties, least=30)


def require_strangers(site: Site, ours: Party, theirs: Party, *, least: int) -> None:
    """Send every request of ours with identifiers that are not ours."""
    recorded = list(ours.sent)
    before = kept(site, theirs)
    tried = 0
    nobody = {
        name: NOBODY if name in PLACES else f"{ours.known['study']}.{NOBODY}" for name in ours.known
    }
    for request in recorded:
        text = str(request.url) + "\n" + request.content.decode()
        names = names_in(text, ours.known)
        for count in {1, len(names)} if names else ():
            for some in itertools.combinations(names, count):
                tried += 1
                asked = [
                    again(ours, request, {name: whose[name] for name in some})
                    for whose in (theirs.known, nobody)
                ]
                about = (request.method, request.url.path, some)
                assert asked[0].status_code == asked[1].status_code, about
                told = [plain(one, theirs.known, nobody) for one in asked]
                assert told[0] == told[1], about
                for secret in theirs.secrets:
                    assert secret.encode() not in asked[0].content, about
    print(f"{len(recorded)} recorded, {tried} swapped")
    assert tried >= least
    assert kept(site, theirs) == before


def again(ours: Party, request: httpx.Request, whose: Mapping[str, str]) -> httpx.Response:
    """Send a request once more, with the identifiers of another."""
    known = {name: ours.known[name] for name in whose}
    url = swapped(str(request.url), known, whose)
    content = swapped(request.content.decode(), known, whose)
    headers = {k: v for k, v in request.headers.items() if k not in ("content-length", "cookie")}
    return ours.client.request(request.method, url, content=content.encode(), headers=headers)


def plain(answer: httpx.Response, *known: Mapping[str, str]) -> bytes:
    """Take out of an answer what differs from page to page, and what was asked for itself."""
    told = PER_PAGE.sub(b"", answer.content)
    for one in known:
        for value in one.values():
            told = told.replace(value.encode(), b"*")
    return told


def kept(site: Site, theirs: Party) -> list[Any]:
    """Read all that a request could have changed of somebody's."""
    names = ("study", *PLACES)
    theirs_only = {name: theirs.known.get(name) for name in names}
    with site.archive.database.reading() as conn:
        return [
            conn.execute(statement, theirs_only).fetchall()
            for statement in (
                "SELECT * FROM share WHERE share_id = %(share)s",
                "SELECT * FROM share_grant WHERE share_id = %(share)s ORDER BY 1",
                "SELECT * FROM share_draft WHERE draft_id = %(draft)s",
                "SELECT * FROM patient_request WHERE request_id = %(request)s",
                "SELECT job_id, state FROM job WHERE job_id = %(disc)s",
                "SELECT * FROM correction WHERE study_uid = %(study)s ORDER BY 1",
                "SELECT * FROM person_account ORDER BY 1",
                "SELECT * FROM desk_code ORDER BY 1",
            )
        ]
