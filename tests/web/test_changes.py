"""GET changefeed over HTTP: pages, waiting, caching, what is wrong with a request."""

from __future__ import annotations

import itertools
import threading
import time

import httpx
import pytest

from tests import factories
from tests.web.conftest import Site
from tests.web.guests import offered
from vna.web.dicomweb.changes import WAIT_MOST_S

_numbers = itertools.count(1)


def stored(site: Site) -> factories.Instance:
    made = factories.ct(next(_numbers))
    assert site.store(made.part10()).status_code == 200
    return made


def end(site: Site) -> str:
    """The address of what comes next."""
    page = site.get("/changefeed?limit=0").json()
    return f"/changefeed?feed={page['feed']}&after={page['last']}"


def test_a_change_is_told_with_what_and_when(site: Site) -> None:
    at = end(site)
    made = stored(site)
    site.client.delete(f"{site.root}/studies/{made.study}")
    answer = site.get(at)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    first, second = answer.json()["changes"]
    assert first.pop("at") <= second.pop("at")
    place = first.pop("sequence")
    assert second.pop("sequence") == place + 1
    assert first == {
        "action": "stored",
        "study": made.study,
        "series": made.series,
        "instance": made.instance,
    }
    assert second == {"action": "deleted", "study": made.study}


def test_a_share_is_told_by_the_numbers_webhooks_are_told(site: Site) -> None:
    made = stored(site)
    at = end(site)
    share = offered(site, made)
    site.archive.sharing.revoke(site.archive.who, share.share_id, reason="a test")
    first, second = site.get(at).json()["changes"]
    assert first.pop("at") <= second.pop("at")
    assert first.pop("sequence") + 1 == second.pop("sequence")
    assert first == {
        "action": "share.offered",
        "study": made.study,
        "share": str(share.share_id),
        "grant": str(share.grant_id),
    }
    assert second == {"action": "share.revoked", "share": str(share.share_id)}


def test_pages_follow_each_other_by_their_own_address(site: Site) -> None:
    at = end(site)
    made = [stored(site) for _ in range(5)]
    answer = site.get(f"{at}&limit=2")
    seen = []
    while changes := answer.json()["changes"]:
        seen += [change["study"] for change in changes]
        following = answer.json()["next"]
        assert f'<{following}>; rel="next"' == answer.headers["link"]
        assert ("warning" in answer.headers) == (len(seen) < 5)
        answer = site.client.get(following)
    assert seen == [one.study for one in made]


def test_an_answer_that_is_known_is_not_sent_again(site: Site) -> None:
    stored(site)
    first = site.get("/changefeed")
    again = site.get("/changefeed", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    stored(site)
    assert site.get("/changefeed", if_none_match=first.headers["etag"]).status_code == 200


def test_waiting_ends_with_the_change(site: Site) -> None:
    at = end(site)
    answers: list[httpx.Response] = []
    begun = time.monotonic()
    waiting = threading.Thread(target=lambda: answers.append(site.get(f"{at}&wait={WAIT_MOST_S}")))
    waiting.start()
    made = stored(site)
    waiting.join()
    (change,) = answers[0].json()["changes"]
    assert change["instance"] == made.instance
    assert time.monotonic() - begun < WAIT_MOST_S


def test_waiting_in_vain_is_an_empty_answer(site: Site) -> None:
    at = end(site)
    begun = time.monotonic()
    answer = site.get(f"{at}&wait=1")
    assert answer.json()["changes"] == []
    assert time.monotonic() - begun >= 1


def test_a_client_that_leaves_is_not_waited_for(site: Site) -> None:
    with site.address.connect() as sock:
        sock.sendall(
            f"GET /dicom-web{end(site)}&wait=1 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
    assert site.get("/changefeed?limit=1").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "after=x",
        "after=",
        "after=1&after=2",
        "after=9999999999999999999999",
        "limit=1001",
        "limit=ten",
        f"wait={WAIT_MOST_S + 1}",
        "feed=mine",
        "since=3",
        "after=%FF",
    ],
)
def test_what_is_wrong_is_400_with_the_parameter(site: Site, query: str) -> None:
    answer = site.get(f"/changefeed?{query}")
    assert answer.status_code == 400
    name = query.partition("=")[0]
    if "%" not in query:
        assert name in answer.json()["message"]


def test_a_place_of_another_feed_is_gone(site: Site) -> None:
    other = "7a2e9c7e-94ab-4d8c-9f0a-2f4dbd3a4a11"
    assert site.get(f"/changefeed?feed={other}").status_code == 410
    assert site.get("/changefeed?after=999999").status_code == 410


def test_it_is_json_only(site: Site) -> None:
    assert site.get("/changefeed", "application/dicom+xml").status_code == 406
    assert site.client.post(f"{site.root}/changefeed").status_code == 405
