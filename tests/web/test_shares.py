"""Sharing at the desk: from a study to a share, the board, one share with all that happened."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.jobs.conftest import worker_of
from tests.web.conftest import Site, serving
from tests.web.people import Surfer, in_days, signed_in, surfer
from vna.access.sessions import Browser
from vna.blobs.journal import Journal
from vna.delivery.messages import State
from vna.ingest.outcome import Source, Stored

STUDY = ct(1).study
MAIL, PHONE = "kim@example.org", "+44 20 7946 0018"
ALL = [ct(1, 1).series, ct(1, 2).series]
PERSON = {"00100020": "P-1", "00100030": "19700102", "00100010": "Adams^Ada"}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    url = {"url": "https://images.example.org"}
    with serving(postgres, tmp_path_factory.mktemp("site"), sharing=url) as site:
        for study, series, number in ((1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)):
            assert site.store(ct(study, series, number, values=PERSON).part10()).status_code == 200
        assert site.store(ct(3, values={**PERSON, "00100020": "P-2"}).part10()).status_code == 200
        yield site


@pytest.fixture
def browser(site: Site) -> Surfer:
    found = surfer(site)
    found.get("/")  # takes a cookie
    return found


def typed(**differs: str) -> dict[str, str]:
    """What a clerk types; an empty value is a box that is not ticked."""
    fields = {
        "confirmed.name": "on",
        "confirmed.birth-date": "on",
        "recipient": "Dr Kim",
        "organisation": "Elsewhere",
        "to": MAIL,
        "by": PHONE,
        "purpose": "treatment",
        "basis": "legal:treatment",
        "until": in_days(60),
        "language": "en",
        "reports": "on",
        "download": "on",
        **{f"series.{series}": "on" for series in ALL},
        **{name.replace("__", "."): value for name, value in differs.items()},
    }
    return {name: value for name, value in fields.items() if value}


def shared(browser: Surfer, **differs: str) -> tuple[str, str]:
    """Share; return the path of the share, and the page that was shown."""
    answer = browser.post(f"/study/{STUDY}/share", **typed(**differs))
    assert answer.status_code == 200, answer.text
    found = re.search(r"/share/\d+", answer.text)
    assert found is not None
    return found[0], answer.text


def test_the_form_of_a_new_share_is_filled_in(browser: Surfer) -> None:
    page = browser.get(f"/study/{STUDY}/share").text
    assert page.count("thumbnail") == 2
    assert len(re.findall(r'name="series\.[0-9.]+" checked', page)) == 2
    assert 'name="recipient" value="Adams, Ada"' in page
    assert re.search(r'name="until" value="\d{4}-\d\d-\d\d"', page)
    assert 'name="confirmed.name">' in page  # nobody is confirmed before it was done
    assert f'name="study.{ct(2).study}"' in page
    assert ct(3).study not in page  # of another patient


def test_the_same_patient_id_of_another_issuer_is_somebody_else_and_not_shared_along(
    site: Site, browser: Surfer
) -> None:
    other = ct(77, values={**PERSON, "00100010": "Baker^Ben"})
    receiving = site.engines.ingest.receive(
        site.archive.who, Source(proto="stow", issuer="ELSEWHERE")
    )
    receiving.feed(other.part10())
    assert isinstance(receiving.finish(), Stored)
    assert other.study not in browser.get(f"/study/{STUDY}/share").text
    path, _ = shared(browser, **{f"study.{other.study}": "on"})
    assert "3 objects" in browser.get(path).text


def test_a_share_is_made_and_its_link_sent(site: Site, browser: Surfer) -> None:
    path, page = shared(browser)
    assert "k…@example.org" in page
    assert "…18" in page
    assert MAIL not in page
    posted = site.archive.posted.messages[-1]
    assert (posted.to.value, posted.template) == (MAIL, "invitation")
    assert posted.values["link"].startswith("https://images.example.org/s#")
    assert posted.values["link"].partition("#")[2] not in page
    detail = browser.get(path).text
    assert "Dr Kim, Elsewhere" in detail
    assert "3 objects" in detail
    assert "Shared" in detail
    assert path in browser.get("/shares").text
    assert path in browser.get(f"/study/{STUDY}").text


def written(site: Site) -> tuple[int, int, int]:
    """Count messages, shares and entries of the journal."""
    with site.archive.database.reading() as conn:
        row = conn.execute("SELECT (SELECT count(*) FROM message), count(*) FROM share").fetchone()
    assert row is not None
    return row[0], row[1], sum(1 for _ in Journal(site.archive.store).replay())


def test_a_form_that_is_sent_again_makes_no_second_share(site: Site, browser: Surfer) -> None:
    """A page that is loaded again sends its form again; the browser asks, and people say yes."""
    form = re.search(r'name="once" value="(\d+)"', browser.get(f"/study/{STUDY}/share").text)
    assert form is not None
    refused = browser.post(f"/study/{STUDY}/share", **typed(once=form[1], to="nobody"))
    assert refused.status_code == 400
    assert f'name="once" value="{form[1]}"' in refused.text  # mended and sent, it is still the one
    path, _ = shared(browser, once=form[1])
    before = written(site)
    again = browser.post(f"/study/{STUDY}/share", **typed(once=form[1], recipient="Dr Lee"))
    assert again.status_code == 409
    assert "This was sent before" in again.text
    assert 'value="Dr Lee"' in again.text
    assert written(site) == before
    anew = re.search(r'name="once" value="(\d+)"', again.text)
    assert anew is not None
    assert anew[1] != form[1]  # who reads that, and sends it all the same, means it
    assert shared(browser, once=anew[1], recipient="Dr Lee")[0] != path
    other, _ = shared(browser)  # without a number, as a program may
    assert other != path
    assert browser.post(f"/study/{STUDY}/share", **typed(once="x")).status_code == 400


def test_the_patient_is_told_that_it_was_shared_and_opened(site: Site, browser: Surfer) -> None:
    shared(browser, notify="ada@example.org")
    posted = site.archive.posted
    assert posted.last("shared").to.value == "ada@example.org"
    here = Browser(address="198.51.100.7")
    opened = site.archive.sharing.open(posted.secret(), here)
    assert isinstance(opened, tuple)
    session, guest = opened
    site.archive.sharing.send_code(session, guest.needs[0])
    site.archive.sharing.prove(session, guest.needs[0], posted.code())
    assert posted.last("opened").to.value == "ada@example.org"


def test_a_passcode_is_shown_once(browser: Surfer) -> None:
    path, page = shared(browser, passcode="on", by="")
    found = re.search(r'class="shown-once">([^<]+)<', page)
    assert found is not None
    assert found[1] not in browser.get(path).text


def test_a_link_that_is_handed_over_opens(site: Site, browser: Surfer) -> None:
    _, page = shared(browser, to="", printed="on")
    link = re.search(r"<code>https://images\.example\.org/s#([\w-]+)</code>", page)
    code = re.findall(r'class="shown-once">([^<]+)<', page)
    assert link is not None
    assert len(code) == 1
    here = Browser(address="198.51.100.7")
    assert isinstance(site.archive.sharing.open(link[1], here), tuple)
    assert isinstance(site.archive.sharing.open_printed(code[0], here), tuple)


def test_link_and_passcode_are_printed_on_sheets_of_their_own(browser: Surfer) -> None:
    answer = browser.post(f"/study/{STUDY}/share", **typed(to="", passcode="on", printed="on"))
    page = answer.text
    path = re.search(r"/share/\d+", page)
    assert path is not None

    def hidden(name: str) -> str:
        found = re.search(rf'name="{name}" value="([^"]+)"', page)
        assert found is not None
        return found[1]

    link = {"grant": hidden("grant"), "secret": hidden("secret"), "code": hidden("code")}
    sheet = browser.post(f"{path[0]}/sheet.pdf", path[0], **link)
    assert sheet.headers["content-type"] == "application/pdf"
    assert sheet.content.startswith(b"%PDF-")
    own = {"grant": hidden("grant"), "passcode": hidden("passcode")}
    assert browser.post(f"{path[0]}/passcode.pdf", path[0], **own).content.startswith(b"%PDF-")
    for name, wrong in (
        ("sheet.pdf", {**link, "secret": "x"}),
        ("sheet.pdf", {**link, "code": "<b>"}),
        ("passcode.pdf", {**own, "passcode": "a word"}),
    ):
        assert browser.post(f"{path[0]}/{name}", path[0], **wrong).status_code == 400
    other = {**own, "grant": "1"}
    assert browser.post(f"{path[0]}/passcode.pdf", path[0], **other).status_code == 404


def test_only_what_is_ticked_is_shared(site: Site, browser: Surfer) -> None:
    path, _ = shared(browser, **{f"series__{ALL[1].replace('.', '__')}": ""})
    shown = site.archive.sharing.shown(site.archive.who, int(path.rpartition("/")[2]))
    assert {getattr(ref, "series", None) for ref in shown} == {ALL[0]}


def test_other_studies_of_the_patient_come_along_when_ticked(site: Site, browser: Surfer) -> None:
    path, _ = shared(browser, **{f"study__{ct(2).study.replace('.', '__')}": "on"})
    shown = site.archive.sharing.shown(site.archive.who, int(path.rpartition("/")[2]))
    assert {ref.study for ref in shown} == {STUDY, ct(2).study}


@pytest.mark.parametrize(
    ("differs", "status", "told"),
    [
        ({"confirmed__name": ""}, 400, "Compare two things"),
        ({"by": "Kim+x@example.org"}, 400, "same mailbox"),
        ({"by": ""}, 400, "A link alone is no protection"),
        ({"to": "kim@"}, 400, "e-mail address is written"),
        ({"by": "030 123456"}, 400, "with its country"),
        ({"until": "tomorrow"}, 400, "year-month-day"),
        ({"until": "2001-01-01"}, 400, "The day until which it can be opened is over"),
        ({"until": "9000-01-01"}, 400, "A share ends within"),
        ({"purpose": "fun"}, 400, "what the images are given on for"),
        ({"basis": "none"}, 400, "rests on a consent or on a legal basis"),
        ({"basis": "consent:1"}, 409, "not one of this person"),
        ({"recipient": " "}, 400, "to whom"),
        ({"max_opens": "often"}, 400, "is a number"),
        ({f"series__{s.replace('.', '__')}": "" for s in ALL}, 400, "Choose at least one"),
    ],
)
def test_what_is_not_right_is_said_and_nothing_typed_is_lost(
    site: Site, browser: Surfer, differs: dict[str, str], status: int, told: str
) -> None:
    before = len(site.archive.posted.messages)
    answer = browser.post(f"/study/{STUDY}/share", **typed(organisation="Kept", **differs))
    assert answer.status_code == status
    assert told in answer.text
    assert 'role="alert"' in answer.text
    assert 'value="Kept"' in answer.text
    assert len(site.archive.posted.messages) == before


def test_a_message_that_failed_is_on_the_board_and_tried_again(site: Site, browser: Surfer) -> None:
    path, _ = shared(browser)
    share_id = int(path.rpartition("/")[2])
    with site.archive.database.transaction() as tx:
        tx.execute(
            "UPDATE message SET state = 'dead', cause = 'address', told = '550 5.1.1',"
            " attempts = 1, next_at = NULL WHERE share_id = %s",
            (share_id,),
        )
    page = browser.get("/shares?tab=failed").text
    assert "There is nobody at this address." in page
    assert path in page
    assert site.archive.sharing.detail(site.archive.who, share_id).summary.number in page
    assert "k…@example.org" in page
    message = re.search(r'name="message" value="(\d+)"', browser.get(path).text)
    assert message is not None
    answer = browser.post(f"{path}/retry", path, message=message[1])
    assert answer.status_code == 303
    found = site.archive.messages.listed(site.archive.who, share_id=share_id)
    assert [one.state for one in found] == [State.QUEUED]
    other, _ = shared(browser)
    assert browser.post(f"{other}/retry", path, message=message[1]).status_code == 404


def test_all_that_failed_is_tried_again_at_once(site: Site, browser: Surfer) -> None:
    for _ in range(2):
        shared(browser)
    with site.archive.database.transaction() as tx:
        tx.execute(
            "UPDATE message SET state = 'dead', cause = 'network', next_at = NULL"
            " WHERE state = 'queued'"
        )
    assert browser.post("/shares/retry", "/shares?tab=failed").status_code == 303
    assert "Nothing failed." in browser.get("/shares?tab=failed").text


def test_a_share_is_stopped_renewed_and_extended(site: Site, browser: Surfer) -> None:
    path, _ = shared(browser)
    grant = re.search(r'name="grant" value="(\d+)"', browser.get(path).text)
    assert grant is not None
    renewed = browser.post(f"{path}/renew", path, grant=grant[1])
    assert renewed.status_code == 200
    assert "k…@example.org" in renewed.text
    assert site.archive.posted.messages[-1].template == "renewed"
    assert browser.post(f"{path}/extend", path, until=in_days(80)).status_code == 303
    assert in_days(80) in browser.get(path).text
    assert browser.post(f"{path}/extend", path, until="never").status_code == 400
    assert browser.post(f"{path}/revoke", path, reason="Wrong person").status_code == 303
    page = browser.get(path).text
    assert "Stopped" in page
    assert "Wrong person" in page
    assert browser.post(f"{path}/revoke", f"/study/{STUDY}/share", reason="x").status_code == 409


def test_a_lost_telephone_is_replaced_after_two_things_were_compared(
    site: Site, browser: Surfer
) -> None:
    path, _ = shared(browser)
    grant = re.search(r'name="grant" value="(\d+)"', browser.get(path).text)
    assert grant is not None
    compared = {"confirmed.name": "on", "confirmed.birth-date": "on"}
    before = len(site.archive.posted.messages)
    for said, fields in (
        ("Compare two things", {"by": "+44 20 7946 0019", "confirmed.name": "on"}),
        ("Say where the code is to go", {"by": " ", **compared}),
        ("No code of this grant goes that way", {"by": MAIL, **compared}),
        ("number with its country", {"by": "0170 1", **compared}),
    ):
        answer = browser.post(f"{path}/renew", path, grant=grant[1], **fields)
        assert (answer.status_code, "Nothing was changed" in answer.text) == (400, True)
        assert said in answer.text, answer.text
        assert "<details open" in answer.text
    assert len(site.archive.posted.messages) == before
    answer = browser.post(f"{path}/renew", path, grant=grant[1], by="+44 20 7946 0019", **compared)
    assert answer.status_code == 200
    assert "…19" in answer.text
    assert "…19" in browser.get(path).text
    assert site.archive.posted.messages[-1].values["way"] == "…19"


def test_a_test_says_what_a_stranger_will_see(browser: Surfer) -> None:
    path, _ = shared(browser)
    page = browser.post(f"{path}/test", path).text
    assert "3 images in 2 series" in page
    assert "the code by SMS" in page


def test_a_disc_is_made_of_the_same(site: Site, browser: Surfer) -> None:
    path, _ = shared(browser, **{f"series__{ALL[1].replace('.', '__')}": ""})
    answer = browser.post(f"{path}/disc", path)
    assert answer.status_code == 303
    disc = answer.headers["location"]
    while worker_of(site.archive).do_one():
        pass
    assert "2 objects" in browser.get(disc).text
    assert disc in browser.get(path).text


def test_every_list_of_the_board_is_there(browser: Surfer) -> None:
    path, _ = shared(browser)
    page = browser.get("/shares").text
    for tab in re.findall(r"/shares\?tab=(\w+)", page):
        assert browser.get(f"/shares?tab={tab}").status_code == 200
    assert path in browser.get("/shares?tab=waiting").text
    assert '<td data-of="Shares">0</td>' in browser.get("/shares?tab=figures").text
    assert path not in browser.get("/shares?tab=ended").text
    assert browser.get("/shares?tab=nothing").status_code == 400
    for number in ("x", "9223372036854775808", "9" * 5000):
        assert browser.get(f"/shares?before={number}").status_code == 400


@pytest.mark.parametrize(
    "path",
    ["/share/1", "/share/9223372036854775808", "/share/" + "9" * 5000, "/study/1.2.3/share"],
    ids=["small", "large", "endless", "study"],
)
def test_what_is_not_there_is_said_so(site: Site, path: str) -> None:
    assert site.client.get(f"{site.address.url}{path}").status_code == 404


def test_only_who_may_share_sees_shares(
    postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(postgres, tmp_path_factory.mktemp("closed"), dev=False) as site:
        for series in (1, 2):
            site.archive.take(ct(1, series, values=PERSON).part10())
        clerk = signed_in(site, "clerk", "records-clerk")
        path, _ = shared(clerk)
        assert "Share" in clerk.get(f"/study/{STUDY}").text
        officer = signed_in(site, "officer", "privacy-officer")
        for page in (path, "/shares", "/shares?tab=failed", f"/study/{STUDY}/share"):
            assert officer.get(page).status_code == 403
        assert f"/study/{STUDY}/share" not in officer.get("/").text
        doctor = signed_in(site, "doctor", "referring")
        assert doctor.get(path).status_code == 403
