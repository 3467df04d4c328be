"""Whose images are these? Namesakes, the dead, and two taken for one, in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.flows.serving import ROOT
from tests.flows.test_inbox import browser, looked_at
from tests.flows.test_staff import Desk, awaited, desk, images, page, sent
from tests.flows.test_viewer import DESKTOP, PHONE, Told
from tests.web.conftest import Site, serving
from tests.web.guests import offered
from tests.web.people import signed_in

__all__ = ["browser", "desk", "page"]

DORA, EVE = "Canary^Dora", "Canary^Eve"


def study_of(number: int, patient_id: str, name: str, born: str, made: str) -> pydicom.Dataset:
    """One image of a study of somebody."""
    (ds,) = images(number, 1)
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = patient_id, name, born, "F"
    ds.StudyDate = made
    return ds


def vna(desk: Desk, *words: str) -> str:
    """Run a command beside the running archive."""
    done = subprocess.run(
        [sys.executable, "-m", "vna", *words, "--data", str(desk.serving.data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_namesake_of_the_dead_stays_apart_and_a_study_after_death_is_an_alert(
    desk: Desk, page: Page
) -> None:
    sent(desk.serving, [study_of(21, "D-1", DORA, "19400102", "20190301")])
    (person,) = json.loads(vna(desk, "patient", "show", "D-1", "--json"))
    died = ("deceased", person["identities"][0]["identity"], "20200101")
    vna(desk, "patient", *died, "--reason", "the register said so")
    sent(desk.serving, [study_of(22, "D-2", DORA, "19930405", "20240301")])
    page.goto(f"{desk.root}/patients")
    page.get_by_text("Nothing waits.").wait_for()  # the same name is no reason at all
    assert "D-2" not in page.content()

    sent(desk.serving, [study_of(23, "D-1", DORA, "19400102", "20240301")])
    page.goto(f"{desk.root}/patients")
    page.get_by_role("heading", name="Studies made after the patient died").wait_for()
    alerted = page.locator("main li", has_text="died 2020-01-01")
    assert alerted.count() == 1
    assert alerted.get_by_role("link").get_attribute("href") == "/study/2.25.81.23"
    looked_at(page, "patients-alert")


def clerk_at(site: Site, browser: Browser, login: str) -> Page:
    """Open a browser somebody is signed in with."""
    found = browser.new_context(base_url=site.address.url, viewport=DESKTOP)  # type: ignore[arg-type]  # a TypedDict of these keys
    cookie = signed_in(site, login, "records-clerk").cookie()
    found.add_cookies([{"name": "vna", "value": cookie, "url": site.address.url}])
    return found.new_page()


def test_two_colleagues_link_who_is_shared(
    postgres: TestPostgres, tmp_path: Path, browser: Browser
) -> None:
    with serving(postgres, tmp_path, dev=False) as site:
        shared = ct(41, patient_id="F-1", patient_name="Canary^Fay")
        for made in (shared, ct(42, patient_id="F-2", patient_name="Canary^Fay")):
            site.archive.take(made.part10())
        site.archive.take(ct(43, patient_id="F-3", patient_name="Canary^Fay").part10())
        offered(site, shared)
        ann, bob = (clerk_at(site, browser, login) for login in ("ann", "bob"))
        ann.goto("/patients")
        pair = ann.locator("section.twins", has_text="F-1").filter(has_text="F-2")
        pair.get_by_label("Why").fill("Showed us both cards")
        pair.get_by_role("button", name="One person").click()
        ann.get_by_text("a colleague has to agree. Nothing is linked before.").wait_for()
        assert ann.get_by_role("button", name="I have compared").count() == 0
        looked_at(ann, "patients-proposed-own")
        bob.goto("/patients")
        waits = bob.locator("section[aria-labelledby=proposed-1]")
        assert "One person, says ann, " in waits.inner_text()
        looked_at(bob, "patients-proposed")
        waits.get_by_role("button", name="I have compared: one person").press("Enter")
        bob.get_by_text("They are one person now.").wait_for()
        ann.goto("/patients")
        assert ann.get_by_role("heading", name="These wait for a second person").count() == 0
        ann.get_by_text("Who is one person already").click()
        ann.get_by_text("Said by ann and bob, ").wait_for()
        for page in (ann, bob):
            page.context.close()


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    found = browser.new_context(viewport=PHONE)  # type: ignore[arg-type]  # a TypedDict
    yield found.new_page()
    found.close()


def test_who_was_linked_by_mistake_is_apart_again_and_what_was_shared_is_frozen(
    desk: Desk, page: Page, phone: Page
) -> None:
    told = Told()
    told.watch(page)
    for number, patient_id in ((31, "E-1"), (32, "E-2")):
        sent(desk.serving, [study_of(number, patient_id, EVE, "19700102", "20240301")])
    page.goto(f"{desk.root}/patients")
    pair = page.locator("section.twins", has_text="E-1")
    pair.get_by_label("Why").fill("Asked at the desk")
    pair.get_by_role("button", name="One person").click()
    page.get_by_text("They are one person now.").wait_for()

    before = len(desk.relay.mails)
    page.goto(f"{desk.root}/study/2.25.81.32/share")
    page.get_by_label("Name Canary, Eve").check()
    page.get_by_label("Date of birth 1970-01-02").check()
    page.get_by_label("The link goes to").fill("kim@example.org")
    page.get_by_label("Also a passcode").check()
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name=re.compile("^Shared: ")).wait_for()
    known_as = page.get_by_role("heading", level=1).inner_text().partition(": ")[2]
    passcode = page.locator(".shown-once").first.inner_text()
    secret = re.search(r"/s#([\w-]{43})", awaited(desk, before + 1)[-1].part("plain"))
    assert secret is not None

    phone.goto(f"{desk.root}/s#{secret[1]}")
    phone.get_by_role("button", name="Open").click()
    phone.get_by_label("Passcode").fill(passcode)
    phone.get_by_role("button", name="Go on").click()
    phone.get_by_role("heading", name="Canary, Eve").wait_for()
    cookies = {one["name"]: one["value"] for one in phone.context.cookies()}

    page.goto(f"{desk.root}/patients")
    page.get_by_text("Who is one person already").click()
    linked = page.locator("section.twins", has_text="E-2")
    assert "Asked at the desk" in linked.inner_text()
    looked_at(page, "patients-linked")
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]  # a TypedDict of these keys
    linked.get_by_label("Why").fill("They are twins")
    linked.get_by_role("button", name="They are two people").click()
    page.get_by_text("They are two people.").wait_for()
    assert page.locator(".good li").count() == 2

    # who is looking is out, and staff see what is frozen
    with httpx.Client(base_url=desk.root, cookies=cookies) as client:
        assert client.get("/s/home").status_code in (401, 403)
    phone.goto("about:blank")
    phone.goto(f"{desk.root}/s#{secret[1]}")
    phone.get_by_role("button", name="Open").click()
    phone.get_by_text(f"Number of the share: {known_as}").wait_for()
    assert "Canary" not in phone.content()
    looked_at(phone, "patients-frozen")
    page.goto(f"{desk.root}/shares")
    row = page.locator("tbody tr", has_text=known_as)
    assert "suspended" in row.inner_text().lower()
    assert told.errors == []
