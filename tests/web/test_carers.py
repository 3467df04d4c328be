"""Carers over HTTP: their pages, what they see of whom, and nothing once it is over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import httpx
import pytest

from tests.conftest import TestPostgres
from tests.web.conftest import Site
from tests.web.guests import caller
from tests.web.patients import hospital, without_limits
from tests.web.people import PASSPHRASE, Surfer, patient_of, signed_in, surfer
from tests.web.test_matrix import NEEDED
from tests.web.test_own import image
from tests.web.test_own_shares import CODE, KIM, checked, share_of
from tests.web.test_reach import LISTS, LOOKED_AT, path_of
from tests.web.test_writing import Kept
from tests.web.writing import PATIENTS

JANES, SECRET, ANNS = (
    image(1),
    image(2),
    image(3, patient_id="P-9", patient_name="Roe^Ann"),
)
GIVE = {"act": "give", "called": "My sister", "until": "", "may_view": "on", "may_share": "on"}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with hospital(postgres, tmp_path_factory.mktemp("site"), JANES, SECRET, ANNS) as found:
        yield found


@pytest.fixture(autouse=True)
def fresh(site: Site) -> None:
    without_limits(site)
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM carer")


@pytest.fixture
def jane(site: Site) -> Surfer:
    return patient_of(site, JANES.study)


@pytest.fixture
def ann(site: Site) -> Surfer:
    return patient_of(site, ANNS.study)


def text(answer: httpx.Response) -> str:
    return unescape(answer.text)


def login_of(who: Surfer) -> str:
    found = re.search(r"p-[0-9a-z]{4}-[0-9a-z]{4}", who.get("/my/account").text)
    assert found is not None
    return found[0]


def last_day(who: Surfer) -> str:
    found = re.search(r'name="until"[^>]* max="([\d-]+)"', who.get("/my/carers").text)
    assert found is not None
    return found[1]


def act(who: Surfer, name: str = "") -> httpx.Response:
    """Act for whoever is called so on the page, or for oneself."""
    page = text(who.get("/my/carers"))
    numbers = re.findall(r'name="carer" value="(\d*)"><button>[^<]*<span[^>]*> ([^<]*)<', page)
    number = next(number for number, shown in [*numbers, ("", "")] if shown == name)
    answer = who.post("/my/acting", "/my/carers", carer=number)
    assert answer.status_code == 303
    return answer


def trust(jane: Surfer, ann: Surfer, **changed: str) -> None:
    """Let Ann act for Jane, by Jane's own pages."""
    asked = {**GIVE, "login": login_of(ann), "until": last_day(jane), **changed}
    answer = jane.post("/my/carers", **{k: v for k, v in asked.items() if v})
    assert answer.status_code == 303, text(answer)


def test_a_patient_lets_somebody_act_who_is_told_for_whom_on_every_page(
    site: Site, jane: Surfer, ann: Surfer
) -> None:
    stale = ann.token("/my/carers")
    trust(jane, ann)
    assert "You act for" not in ann.get("/my").text
    act(ann, "Doe, Jane")
    for path in ("/my", "/my/access", "/my/account", "/my/shares", f"/my/view/{JANES.study}"):
        assert "You act for Doe, Jane." in text(ann.get(path)), path
    assert "Images of Doe, Jane" in text(ann.get("/my"))
    # a form that stood open before is not sent for somebody else
    sent = {"form": stale, "language": "de"}
    url = site.address.url
    assert ann.client.post(f"{url}/my/account/language", data=sent).status_code == 403
    assert ann.get(f"/my/study/{ANNS.study}").status_code == 404
    german = ann.client.get(f"{url}/my", headers={"accept-language": "de"})
    assert "Sie handeln für Doe, Jane." in text(german)
    # whoever acts decides nothing about who acts, nor about consents
    assert ann.post("/my/carers", act="give").status_code == 403
    assert ann.get("/my/consents").status_code == 403
    site.archive.audit.flush()
    page = text(jane.get("/my/access"))
    assert "My sister, for you" in page
    assert "My sister" in text(jane.get(f"/my/study/{JANES.study}"))
    assert "You" in text(ann.get("/my/access"))
    act(ann)
    assert "You act for" not in ann.get("/my").text
    assert ann.get(f"/my/study/{ANNS.study}").status_code == 200
    with site.archive.database.reading() as conn:
        rows = conn.execute(
            "SELECT DISTINCT principal FROM audit"
            " WHERE kind = 'read' AND position('#for-' IN principal) > 0"
        ).fetchall()
    assert login_of(ann) in {row[0].partition("#")[0] for row in rows}


@pytest.mark.parametrize("rights", ["view", "share", "both"])
def test_every_resource_is_for_who_acts_as_far_as_it_was_allowed(
    site: Site, jane: Surfer, ann: Surfer, rights: str
) -> None:
    off = {"view": {"may_share": ""}, "share": {"may_view": ""}, "both": {}}[rights]
    trust(jane, ann, **off)
    keep = {"form": jane.token("/my"), "kept": "yes"}
    where = f"{site.address.url}/my/study/{SECRET.study}/carers"
    assert jane.client.post(where, data=keep).status_code == 303
    act(ann, "Doe, Jane")
    root = f"{site.address.url}/dicom-web/"
    for which, sees in ((JANES, True), (SECRET, False), (ANNS, False)):
        for verb, names in LOOKED_AT:
            status = ann.client.get(root + path_of(which, names)).status_code
            action = NEEDED[verb, names].value
            if action == "query":
                assert status == 200
            elif rights == "share":
                assert status == 403
            else:
                assert status == (200 if sees else 404), names
    for names in LISTS[:3]:
        found = {one["0020000D"]["Value"][0] for one in ann.client.get(root + names).json()}
        assert found == {JANES.study}
    page = ann.get(f"/my/study/{JANES.study}")
    assert page.status_code == 200
    assert (">View<" in page.text) == (rights != "share")
    assert (">Share<" in page.text) == (rights != "view")
    for path in ("/my/share", "/my/shares", "/my/requests"):
        assert ann.get(path).status_code == (403 if rights == "view" else 200), path
    assert ann.get(f"/my/view/{JANES.study}").status_code == (403 if rights == "share" else 200)
    jane.client.post(where, data={**keep, "kept": "no"})


def test_who_may_share_and_not_look_shares_for_the_person_who_stops_it(
    site: Site, jane: Surfer, ann: Surfer
) -> None:
    trust(jane, ann, may_view="")
    act(ann, "Doe, Jane")
    site.archive.posted.messages.clear()
    draft = checked(ann, KIM, CODE, **{f"study.{JANES.study}": "on"})
    assert "images of Doe, Jane" in text(ann.post(f"{draft}/test", f"{draft}/check"))
    where = share_of(ann.post(f"{draft}/send", f"{draft}/check"))
    guest = caller(site)
    guest.open(site.archive.posted.secret())
    guest.get("/s/prove")
    guest.prove(site.archive.posted.code(), "sms")
    assert "Images of Doe, Jane" in text(guest.get("/s/home"))
    assert ann.post("/my/requests", kind="correct", words="The LEFT knee").status_code == 303
    assert "The LEFT knee" in text(jane.get("/my/requests"))
    page = text(jane.get(where))
    assert "My sister</strong>: shared" in page
    assert jane.post(f"{where}/stop", where).status_code == 303
    assert "Stopped" in jane.get("/my/shares").text
    act(ann)
    assert ann.get(where).status_code == 404  # not of her own pages


def test_who_may_look_alone_changes_nothing(site: Site, jane: Surfer, ann: Surfer) -> None:
    trust(jane, ann, may_share="")
    act(ann, "Doe, Jane")
    token, kept = ann.token("/my/access"), Kept(site.archive)
    names = {"study": JANES.study, "share": "7", "grant": "7", "mygrant": "7", "carer": "7"}
    names |= {"consent": "7", "soon": "2030-01-02", "series": JANES.series}
    for (verb, path), cases in PATIENTS.items():
        if path.startswith(("/my/account", "/my/acting")):
            continue  # the carer's own
        for case in cases:
            if case.is_telling:
                continue  # changes nothing: a download of what may be looked at
            where = path.replace("{study}", JANES.study)
            where = re.sub(r"{\w+:int}", "7", where)
            fields = {k.format(**names): v.format(**names) for k, v in case.fields.items()}
            url = site.address.url + where
            answer = ann.client.request(verb, url, data={"form": token, **fields})
            assert answer.status_code == 403, (path, case, answer.status_code)
    kept.require_same()


def test_what_is_taken_back_is_over_at_once_and_says_so(
    site: Site, jane: Surfer, ann: Surfer
) -> None:
    trust(jane, ann)
    act(ann, "Doe, Jane")
    number = re.search(r'name="carer" value="(\d+)"', jane.get("/my/carers").text)
    assert number is not None
    assert jane.post("/my/carers", act="end", carer=number[1]).status_code == 303
    assert jane.post("/my/carers", act="end", carer=number[1]).status_code == 404
    assert "ended on" in jane.get("/my/carers").text
    ann.post("/my/acting", "/my/carers", carer=number[1])  # looks anew, and is refused
    for path in ("/my", f"/my/study/{JANES.study}", "/my/shares"):
        answer = ann.get(path)
        assert (answer.status_code, answer.headers.get("location")) in (
            (303, "/my/carers"),
            (403, None),
        ), path
    assert "You may not act for this person any more." in ann.get("/my/carers").text
    act(ann)
    assert ann.get(f"/my/study/{ANNS.study}").status_code == 200


def test_a_desk_lets_a_guardian_act_who_has_no_images_here(site: Site) -> None:
    clerk = signed_in(site, "carla", "records-clerk")
    where = f"/study/{JANES.study}/carers"
    assert "born 1970-01-01" in text(clerk.get(where))  # as every page of the desk writes it
    asked = {**GIVE, "called": "Ned", "relation": "guardian", "until": ""}
    assert "Say what you were shown" in text(clerk.post(where, **asked))
    asked["shown.court-order"] = "on"
    assert clerk.post(where, **asked).status_code == 400  # until when?
    asked["until"] = last_day_of(site)
    made = clerk.post(where, **asked, language="de")
    code = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", made.text)
    login = re.search(r"p-[0-9a-z]{4}-[0-9a-z]{4}", made.text)
    assert code is not None
    assert login is not None
    paper = {"code": code[0], "login": login[0], "until": "2030-01-02", "carer": "yes"}
    sheet = clerk.post(f"/study/{JANES.study}/account.pdf", where, **paper)
    assert sheet.content.startswith(b"%PDF")
    page = text(clerk.get(where))
    assert "Ned" in page
    assert "An order of a court" in page
    ned = surfer(site)
    begun = ned.post("/my/start", link=code[0], born="1970-01-01")
    assert begun.headers["location"] == "/enrol/passphrase"
    ned.post("/enrol/passphrase", passphrase=PASSPHRASE, again=PASSPHRASE)
    assert ned.get("/my").status_code in (200, 303)
    number = re.search(r'name="carer" value="(\d+)"', clerk.get(where).text)
    assert number is not None
    ended = clerk.post(where, act="end", carer=number[1], reason="The court decided")
    assert "They act no more." in text(ended)
    for bad in ("x", "9" * 30, "7"):
        assert clerk.post(where, act="end", carer=bad, reason="why").status_code == 404
    assert clerk.post(where, act="dance").status_code == 400
    assert "Wer für diese Person handelt" in text(
        clerk.client.get(site.address.url + where, headers={"accept-language": "de"})
    )


def last_day_of(site: Site) -> str:
    import datetime as dt

    days = site.engines.settings.access.carer_days
    return str(dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days))
