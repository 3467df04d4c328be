"""Links that wait for a second person, in browsers: two colleagues, and nobody twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.conftest import TestPostgres
from tests.factories import ct
from tests.web.conftest import Site, serving
from tests.web.guests import offered
from tests.web.people import SHELL, signed_in
from tests.web.test_patients import pair_in


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site"), dev=False) as found:
        yield found


def test_two_of_whom_one_is_shared_are_linked_by_two_colleagues(site: Site) -> None:
    shared = ct(7, patient_id="S-1", patient_name="Moe^Mia")
    for made in (shared, ct(8, patient_id="S-2", patient_name="Moe^Mia")):
        site.archive.take(made.part10())
    offered(site, shared)
    ann = signed_in(site, "ann", "records-clerk")
    bob = signed_in(site, "bob", "records-clerk")
    with site.archive.database.transaction() as tx:
        tx.execute("UPDATE session SET proven_at = now() - interval '6 minutes'")  # of both
    page = ann.get("/patients").text
    pair = pair_in(page[page.index("Moe Mia") :])

    def persons() -> int:
        known = [site.archive.identities.views.named(SHELL, "LOCAL", one) for one in ("S-1", "S-2")]
        return len({found.person for some in known for found in some})

    told = ann.post("/patients", **pair, verdict="link", reason="Asked <b>her")
    assert (told.status_code, "a colleague has to agree" in told.text) == (200, True)
    assert "They are one person" not in told.text
    assert 'value="agree"' not in told.text  # it is her own
    assert "You have proposed this yourself" in told.text
    again = bob.post("/patients", **pair, verdict="link", reason="I, too")
    assert (again.status_code, "has proposed this already" in again.text) == (409, True)
    assert persons() == 2

    seen = bob.get("/patients").text
    assert "One person, says ann, " in seen
    assert "Asked &lt;b&gt;her" in seen
    silent = bob.post("/patients", **pair, verdict="refuse", reason=" ")
    assert (silent.status_code, "Say why" in silent.text) == (400, True)
    match = re.search(r'name="proposal" value="(\d+)"', seen)
    assert match is not None
    agreed = {**pair, "verdict": "agree", "proposal": match[1]}
    stale = bob.post("/patients", **agreed)
    assert (stale.status_code, stale.headers["location"]) == (303, "/confirm?next=/patients")
    assert persons() == 2
    cleo = signed_in(site, "cleo", "records-clerk")
    for number, status in (("", 400), ("x", 400), (str(int(match[1]) + 1), 404)):
        assert cleo.post("/patients", **agreed | {"proposal": number}).status_code == status
    done = cleo.post("/patients", **agreed)
    assert (done.status_code, "They are one person now" in done.text) == (200, True)
    assert persons() == 1
    assert "Said by ann and cleo, " in done.text
    assert cleo.post("/patients", **agreed).status_code == 404
    german = cleo.client.get(f"{site.address.url}/patients", headers={"accept-language": "de"})
    assert "Gesagt von ann und cleo, " in german.text


def test_what_is_refused_is_open_again(site: Site) -> None:
    shared = ct(11, patient_id="T-1", patient_name="Poe^Pia")
    for made in (shared, ct(12, patient_id="T-2", patient_name="Poe^Pia")):
        site.archive.take(made.part10())
    offered(site, shared)
    eve, kim = (signed_in(site, one, "records-clerk") for one in ("eve", "kim"))
    page = eve.get("/patients").text
    pair = pair_in(page[page.index("Poe Pia") :])
    assert eve.post("/patients", **pair, verdict="link", reason="Asked her").status_code == 200
    match = re.search(r'name="proposal" value="(\d+)"', kim.get("/patients").text)
    assert match is not None
    agreed = {**pair, "verdict": "agree", "proposal": match[1]}
    own = eve.post("/patients", **agreed)
    assert (own.status_code, "You have proposed this yourself" in own.text) == (409, True)
    page = kim.client.get(f"{site.address.url}/patients", headers={"accept-language": "de"}).text
    assert "Diese warten auf eine zweite Person" in page
    assert kim.post("/patients", **pair, verdict="refuse", reason="Twins").status_code == 303
    page = eve.get("/patients").text
    assert "wait for a second person" not in page
    assert "eve proposed that they are one person; kim refused, " in page
    assert eve.post("/patients", **agreed).status_code == 404
    assert eve.post("/patients", **pair, verdict="refuse", reason="Again").status_code == 404
