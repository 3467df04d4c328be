"""Emergency access, care relations and labels in a browser and over DICOMweb."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, serving
from tests.web.guests import offered
from tests.web.people import SHELL, Surfer, bearer, enrolled, people_of, signed_in, token_of
from vna.access import labels as access_labels
from vna.access.care import Whom
from vna.access.principal import Label
from vna.dicom.refs import uid
from vna.web import identity

FILE, OTHER = ct(1, patient_id="E1"), ct(2, patient_id="E2")
STUDY = FILE.study
ZONE = "Asia/Kolkata"  # half an hour beside the full ones
NOTE = "Brought in by ambulance without papers."


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    access = {"privacy_mail": "privacy@example.org"}
    folder, place = tmp_path_factory.mktemp("site"), {"timezone": ZONE}
    with serving(postgres, folder, dev=False, access=access, site=place) as site:
        for one in (FILE, OTHER):
            site.archive.take(one.part10())
        yield site


@pytest.fixture(autouse=True)
def at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is slowed down by another, and what is changed is seen by the next request."""
    monkeypatch.setattr(identity, "BELIEVED_S", -1.0)
    monkeypatch.setattr(access_labels, "LOOK_S", -1.0)
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM rate")


def studies(who: Surfer) -> set[str]:
    found = who.get("/dicom-web/studies").json()
    return {one["0020000D"]["Value"][0] for one in found}


def stale(site: Site, login: str) -> None:
    with site.archive.database.transaction() as tx:
        tx.execute(
            "UPDATE session s SET proven_at = now() - interval '6 minutes'"
            " FROM account a WHERE a.account_id = s.account_id AND a.login = %s",
            (login,),
        )


def begin(who: Surfer, patient: str = "E1", **more: str) -> int:
    fields = {"patient": patient, "reason": "treatment", "note": NOTE, **more}
    return who.post("/emergency", **fields).status_code


def test_emergency_access_from_the_page_to_the_picture_and_its_end(site: Site) -> None:
    ref = signed_in(site, "ref1", "referring")
    where = f"/dicom-web/studies/{STUDY}"
    assert (studies(ref), ref.get(where).status_code) == (set(), 404)
    assert "30 minutes" in ref.get("/emergency").text
    assert begin(ref) == 303
    assert (studies(ref), ref.get(where).status_code) == ({STUDY}, 200)
    page = ref.get("/").text
    assert "Emergency access" in page
    assert "Everything you open is reviewed" in page
    for of in ("", "/rendered", f"/series/{FILE.series}/rendered"):
        zip_ = ref.client.get(
            f"{site.address.url}{where}{of}", headers={"accept": "application/zip"}
        )
        assert (of, zip_.status_code) == (of, 403)
    assert ref.get(f"/dicom-web/studies/{OTHER.study}").status_code == 404
    assert ref.post("/emergency/end", page="/").status_code == 303
    assert (studies(ref), ref.get(where).status_code) == (set(), 404)
    assert "Emergency access" not in ref.get("/").text


def test_it_ends_at_a_time_the_clock_on_the_wall_shows(site: Site) -> None:
    """Who reads UTC in an emergency believes that it is over, or that hours are left."""
    ref = signed_in(site, "clock", "referring")
    before = dt.datetime.now(ZoneInfo(ZONE))
    assert begin(ref) == 303
    found = re.search(r"until (\d\d:\d\d) \+0530\. Everything", ref.get("/").text)
    assert found is not None
    ends = {f"{before + dt.timedelta(minutes=least):%H:%M}" for least in (30, 31)}
    assert found[1] in ends
    since = re.search(r"since ([^<]+), a browser", ref.get("/account").text)
    assert since is not None
    assert since[1].endswith("+0530")
    assert ref.post("/emergency/end", page="/").status_code == 303


def test_it_asks_for_the_second_factor_again(site: Site) -> None:
    ref = signed_in(site, "ref2", "referring")
    stale(site, "ref2")
    led = ref.get("/emergency")
    assert (led.status_code, led.headers["location"]) == (303, "/confirm?next=/emergency")
    page = "/confirm?next=/emergency"
    assert "Is it still you" in ref.get(page).text
    wrong = ref.post("/confirm", page=page, code="ABCD", next="/emergency")
    assert (wrong.status_code, "not right" in wrong.text) == (401, True)
    account = people_of(site).accounts.find("ref2").account_id
    with site.archive.database.transaction() as tx:
        (code, *_) = people_of(site).signing._factors.renew_recovery_codes(tx, account)
    right = ref.post("/confirm", page=page, code=code, next="https://evil.example/")
    assert right.headers["location"] == "/account"
    assert ref.get("/emergency").status_code == 200


def test_a_form_that_grew_old_leads_to_the_second_factor_and_back_to_it(site: Site) -> None:
    ref = signed_in(site, "ref3", "referring")
    token = ref.token("/emergency")
    stale(site, "ref3")
    fields = {"form": token, "patient": "E1", "reason": "treatment", "note": NOTE}
    late = ref.client.post(site.address.url + "/emergency", data=fields)
    assert (late.status_code, late.headers["location"]) == (303, "/confirm?next=/emergency")
    assert studies(ref) == set()


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"patient": "nobody"}, 404, "Nobody here"),
        ({"note": "short"}, 400, "Say why"),
        ({"reason": "curiosity"}, 400, "Say why"),
    ],
)
def test_what_is_missing_is_told_and_what_was_typed_stays(
    site: Site, fields: dict[str, str], status: int, says: str
) -> None:
    ref = signed_in(site, f"ref-{'-'.join(fields)}", "referring")
    sent = {"patient": "E1", "reason": "treatment", "note": NOTE, **fields}
    answer = ref.post("/emergency", **sent)
    assert (answer.status_code, says in answer.text) == (status, True)
    assert sent["patient"] in answer.text


def test_what_is_refused_in_an_emergency_is_said_in_german(site: Site) -> None:
    ref = signed_in(site, "notdienst", "referring")
    ref.client.headers["accept-language"] = "de"
    short = ref.post("/emergency", patient="E1", reason="treatment", note="short")
    assert "einen der Gründe und dazu 10 bis 500 Zeichen" in short.text
    assert begin(ref) == 303
    sealed = ref.post(f"/study/{STUDY}/sealed", page="/")
    assert (sealed.status_code, "Kopien gibt er nicht heraus" in sealed.text) == (403, True)


def test_it_is_reviewed_on_a_page_and_not_by_oneself(site: Site) -> None:
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM emergency")
    both = signed_in(site, "both", "referring", "privacy-officer")
    assert begin(both) == 303
    assert "somebody else reviews it" in both.get("/emergencies").text
    officer = signed_in(site, "officer", "privacy-officer")
    page = officer.get("/emergencies").text
    assert "E1" in page
    assert NOTE in page
    number = page.split('name="emergency" value="')[1].partition('"')[0]
    done = officer.post("/emergencies", emergency=number, verdict="ok", remark="checked")
    assert done.status_code == 303
    assert "checked" in officer.get("/emergencies").text
    assert officer.post("/emergencies", page="/account", emergency="x").status_code == 400


def test_factors_are_changed_only_after_the_second_factor(site: Site) -> None:
    ada = signed_in(site, "ada", "radiologist")
    assert "Make new ones" in ada.get("/account").text
    token = ada.token("/account")
    stale(site, "ada")
    page = ada.get("/account").text
    assert "Make new ones" not in page
    assert "/confirm?next=/account" in page
    late = ada.client.post(site.address.url + "/account/recovery-codes", data={"form": token})
    assert (late.status_code, late.headers["location"]) == (303, "/confirm")


def test_a_relation_opens_a_study_and_its_end_closes_it(site: Site) -> None:
    secret = token_of(site, "clinic", "referring")
    where = f"{site.root}/studies/{STUDY}/metadata"
    get = lambda: site.client.get(where, headers=bearer(secret)).status_code  # noqa: E731
    assert get() == 404
    care = people_of(site).care
    number = care.give(
        SHELL, "clinic", Whom(patient_id="E1", issuer="LOCAL"), ground="referring", days=1
    )
    assert get() == 200
    care.end(SHELL, number)
    assert get() == 404


def test_a_label_hides_a_study_from_every_route_of_a_token(site: Site) -> None:
    secret = token_of(site, "pacs", "service")
    one = f"{STUDY}/series/{FILE.series}/instances/{FILE.instance}"
    paths = [
        f"/studies/{STUDY}",
        f"/studies/{STUDY}/metadata",
        f"/studies/{STUDY}/series/{FILE.series}",
        f"/studies/{one}",
        f"/studies/{one}/metadata",
        f"/studies/{one}/frames/1",
        f"/studies/{one}/rendered",
        f"/studies/{one}/thumbnail",
        f"/studies/{one}/bulkdata/7FE00010",
        f"/studies/{STUDY}/rendered",
        f"/studies/{STUDY}/thumbnail",
    ]

    def statuses() -> set[int]:
        return {site.get(path, authorization=f"Bearer {secret}").status_code for path in paths}

    def found() -> set[str]:
        answers = site.get("/instances", authorization=f"Bearer {secret}").json()
        return {one["0020000D"]["Value"][0] for one in answers}

    assert statuses() == {200}
    site.archive.labels.put(SHELL, uid(STUDY), Label.SENSITIVE, reason="a test")
    try:
        assert statuses() == {404}
        assert found() == {OTHER.study}
        feed = site.get("/changefeed", authorization=f"Bearer {secret}").text
        assert (STUDY in feed, OTHER.study in feed) == (False, True)
    finally:
        site.archive.labels.take(SHELL, uid(STUDY), Label.SENSITIVE)
    assert (statuses(), found()) == ({200}, {STUDY, OTHER.study})
    assert enrolled(site, "nobody-else")[1]


def test_a_second_person_opens_what_is_sensitive(site: Site) -> None:
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM emergency")
    ref, rad = signed_in(site, "ref8", "referring"), signed_in(site, "rad8", "radiologist")
    officer = signed_in(site, "officer8", "privacy-officer")
    site.archive.labels.put(SHELL, uid(STUDY), Label.SENSITIVE, reason="a test")
    try:
        sent = {"patient": "E1", "reason": "treatment", "note": NOTE}
        assert ref.post("/emergency", **sent).headers["location"] == "/emergency"
        assert "A second person has to agree" in ref.get("/emergency").text
        assert studies(ref) == set()
        assert "Agree as a second person" in rad.get("/emergency").text
        assert "Agree as a second person" in officer.get("/emergencies").text
        page = rad.get("/emergency/second").text
        assert NOTE in page
        number = page.split('name="emergency" value="')[1].partition('"')[0]
        assert rad.post("/emergency/second", emergency="x").status_code == 400
        assert rad.post("/emergency/second", emergency=number).status_code == 303
        assert studies(ref) == {STUDY}
        assert "Nobody asks" in rad.get("/emergency/second").text
        assert "Second person: rad8" in officer.get("/emergencies").text
        stale(site, "rad8")
        led = rad.get("/emergency/second")
        assert led.headers["location"] == "/confirm?next=/emergency/second"
    finally:
        site.archive.labels.take(SHELL, uid(STUDY), Label.SENSITIVE)


def test_the_privacy_officer_is_told_without_a_name(site: Site) -> None:
    ref = signed_in(site, "ref9", "referring")
    assert begin(ref) == 303
    (newest, *_) = site.archive.messages.listed(site.archive.who)
    assert (newest.template, newest.masked) == ("emergency", "p…@example.org")
    site.archive.messages.attempt(newest.message_id, most_s=5)
    text = repr(site.archive.messages.inbox.one(newest.message_id))
    assert "Emergency access was used" in text
    for canary in ("E1", "LOCAL", "ref9", NOTE, STUDY):
        assert canary not in text


def test_what_is_lent_to_who_may_share_is_shown_and_not_shared(site: Site) -> None:
    """A radiologist may share and see all but what is sensitive: that, an emergency shows only."""
    with site.archive.database.transaction() as tx:
        tx.execute("DELETE FROM emergency")
    given = offered(site, FILE)
    one, two = signed_in(site, "rad-a", "radiologist"), signed_in(site, "rad-b", "radiologist")
    site.archive.labels.put(SHELL, uid(STUDY), Label.SENSITIVE, reason="a test")
    try:
        assert begin(one) == 303
        number = two.get("/emergency/second").text.split('name="emergency" value="')[1]
        fields = {"emergency": number.partition('"')[0]}
        assert two.post("/emergency/second", **fields).status_code == 303
        page = one.get(f"/study/{STUDY}")
        assert (page.status_code, f"{STUDY}/share" in page.text) == (200, False)
        assert one.get(f"/view/{STUDY}").status_code == 200
        assert one.get(f"/share/{given.share_id}").status_code == 404
        renewed = one.post(
            f"/share/{given.share_id}/renew", page="/emergency", grant=str(given.grant_id)
        )
        assert renewed.status_code == 404
    finally:
        site.archive.labels.take(SHELL, uid(STUDY), Label.SENSITIVE)
