"""The light viewer: what its page shows without scripts, and the list its script gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import TestPostgres
from tests.factories import ct, multi_frame, uid
from tests.web.conftest import Site, serving
from tests.web.pictures import PDF, opened
from vna.errors import NotFound
from vna.web.portal.viewing import Item, Reel

SR = "1.2.840.10008.5.1.4.1.1.88.11"
STUDY = uid(1)
WINDOW = {"WindowCenter": ["40", "300"], "WindowWidth": ["400", "1500"]}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("site")) as site:
        series = [ct(instance=n, rows=64, columns=64, values=WINDOW) for n in range(1, 6)]
        report = ct(series=2, sop_class=SR, modality="SR", pixel_element=b"", values=NO_IMAGE)
        movie = multi_frame(3, study=2, patient_name="<b>^Bold")
        assert site.store(*(one.part10() for one in (*series, report, movie))).status_code == 200
        yield site


NO_IMAGE = dict.fromkeys(
    (
        *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "PixelSpacing"),
        *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
        *("RescaleIntercept", "RescaleSlope"),
    )
)


def page(site: Site, path: str) -> str:
    answer = site.client.get(f"{site.address.url}{path}")
    assert answer.status_code == 200, answer.text
    return answer.text


def attribute(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, pattern
    return unescape(found[1])


def test_whose_the_image_is_of_which_day_and_what_it_is_for_always_stand_on_the_page(
    site: Site,
) -> None:
    text = page(site, f"/view/{STUDY}")
    head = text.partition("<header>")[2].partition("</header>")[0]
    for told in ("Doe, Jane", "1970-01-01", "2024-01-02", "Chest", "Not for diagnosis"):
        assert told in head


def test_staff_tell_namesakes_apart_by_their_patient_ids(site: Site) -> None:
    """Without a birth date two of one name were the same on every page of the viewer."""
    for number, patient in ((91, "000123"), (92, "123")):
        unborn = ct(number, patient_id=patient, values={"PatientBirthDate": ""})
        assert site.store(unborn.part10()).status_code == 200
        text = page(site, f"/view/{uid(number)}")
        head = text.partition("<header>")[2].partition("</header>")[0]
        assert f"<span>ID {patient}</span>" in head


def test_the_page_shows_an_image_and_says_in_words_which_one(site: Site) -> None:
    text = page(site, f"/view/{STUDY}?at=2")
    found = site.client.get(site.address.url + attribute(text, r'<img data-first src="([^"]+)"'))
    assert opened(found.content).size == (64, 64)
    assert attribute(text, r'<img data-first [^>]*alt="([^"]+)"') == (
        "Chest, series 1 of 2, Image 2 of 5"
    )


def test_a_switch_of_the_viewer_is_off_before_anybody_presses_it(site: Site) -> None:
    text = page(site, f"/view/{STUDY}")
    for name in ("play", "invert", "measure"):
        assert re.search(f'<button [^>]*data-do="{name}"[^>]* aria-pressed="false">', text)


def test_without_scripts_links_lead_to_the_next_and_the_previous_image(site: Site) -> None:
    text = page(site, f"/view/{STUDY}?at=2")
    assert attribute(text, r'data-do="next" href="([^"]+)"').endswith("&at=3")
    assert attribute(text, r'data-do="prev" href="([^"]+)"').endswith("&at=1")
    last = page(site, f"/view/{STUDY}?at=5")
    assert attribute(last, r'data-do="next" href="([^"]+)"').endswith("&at=5")


def test_a_report_is_shown_in_a_frame_that_may_do_nothing(site: Site) -> None:
    text = page(site, f"/view/{STUDY}?series={uid(1, 2)}")
    assert re.search(r'<iframe src="[^"]+accept=text/html" title="Report" sandbox>', text)


def test_a_page_may_frame_what_is_ours_and_nothing_else(site: Site) -> None:
    answer = site.client.get(f"{site.address.url}/view/{STUDY}")
    policy = answer.headers["content-security-policy"]
    assert "frame-src 'self'" in policy
    assert "default-src 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    other = site.client.get(site.address.url).headers["content-security-policy"]
    assert "frame-src" not in other


def test_the_first_sight_of_a_series_weighs_less_than_200_kb(site: Site) -> None:
    text = page(site, f"/view/{STUDY}")
    parts = [text]
    for path in re.findall(r'(?:src|href)="(/(?:static|dicom-web)/[^"]+)"', text):
        answer = site.client.get(site.address.url + unescape(path))
        assert answer.status_code == 200
        parts.append(answer.text)
    assert sum(map(len, parts)) < 200_000


def test_the_script_gets_every_place_of_a_series_and_the_window_it_begins_with(
    site: Site,
) -> None:
    told = site.client.get(f"{site.address.url}/view/{STUDY}/{uid(1, 1)}").json()
    found = [told["common"] + tail for tail, _ in told["items"]]
    assert found == [uid(1, 1, n) for n in range(1, 6)]
    assert [frames for _, frames in told["items"]] == [1] * 5
    assert (told["grey"], told["window"], told["rows"]) == (True, [40, 400], 64)


def test_pixels_that_are_not_square_are_counted_as_square_ones(site: Site) -> None:
    """PS3.3 C.7.6.3.1.7: what is asked for is as large as the picture is to be."""
    tall = ct(97, values={"PixelSpacing": ["2", "1"]}, rows=64, columns=32)
    assert site.store(tall.part10()).status_code == 200
    told = site.client.get(f"{site.address.url}/view/{uid(97)}/{uid(97, 1)}").json()
    assert (told["rows"], told["columns"]) == (128, 32)
    text = page(site, f"/view/{uid(97)}")
    drawn = site.client.get(site.address.url + attribute(text, r'<img data-first src="([^"]+)"'))
    assert opened(drawn.content).size == (32, 128)


def test_frames_are_places_and_documents_are_one(site: Site) -> None:
    movie = site.client.get(f"{site.address.url}/view/{uid(2)}/{uid(2, 1)}").json()
    assert [item[1:] for item in movie["items"]] == [[3]]
    report = site.client.get(f"{site.address.url}/view/{STUDY}/{uid(1, 2)}").json()
    assert [item[1:] for item in report["items"]] == [[1, "report"]]
    third = page(site, f"/view/{uid(2)}?at=3")
    assert "/frames/3/rendered" in third


@pytest.mark.parametrize("tag", ["52009229", "52009230"])
def test_functional_groups_that_are_no_sequence_have_no_window(site: Site, tag: str) -> None:
    """PS3.3 C.7.6.16 has items there; what a sender wrote instead is not looked into."""
    odd = ct(95 + int(tag, 16) % 2, values={"PatientName": "Odd^One"}, extra=[(tag, "LO", "text")])
    assert site.store(odd.part10()).status_code == 200
    found = site.client.get(f"{site.address.url}/view/{odd.study}")
    assert found.status_code == 200
    assert "Odd" in found.text


def test_what_a_patient_is_called_is_never_markup(site: Site) -> None:
    text = page(site, f"/view/{uid(2)}")
    assert "<b>" not in text
    assert "&lt;b&gt;, Bold" in text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/view/{STUDY}?at=0", 400),
        (f"/view/{STUDY}?at=two", 400),
        (f"/view/{STUDY}?at=99999999999999", 400),
        (f"/view/{STUDY}?at=6", 404),
        (f"/view/{STUDY}?series=9.9", 404),
        ("/view/9.9.9", 404),
        ("/view/what-is-this", 400),
        (f"/view/{STUDY}/9.9", 404),
        (f"/view/{STUDY}/x", 400),
    ],
)
def test_what_is_not_there_gets_a_page_that_says_so(site: Site, path: str, status: int) -> None:
    answer = site.client.get(f"{site.address.url}{path}")
    assert answer.status_code == status
    assert 'role="alert"' in answer.text


ITEMS = st.lists(
    st.tuples(st.integers(1, 999), st.integers(1, 40)), min_size=1, max_size=20, unique=True
)


@given(ITEMS)
def test_places_run_through_all_frames_of_all_items_in_order(items: list[tuple[int, int]]) -> None:
    reel = Reel(items=tuple(Item(f"1.2.{n}", "image", frames) for n, frames in items))
    seen = [(item.uid, frame) for item, frame in map(reel.at, range(1, reel.places + 1))]
    assert seen == [(one.uid, n) for one in reel.items for n in range(1, one.frames + 1)]
    with pytest.raises(NotFound):
        reel.at(reel.places + 1)
    told = reel.told()
    assert [told["common"] + tail for tail, _ in told["items"]] == [one.uid for one in reel.items]


def test_a_document_is_offered_as_a_link_of_its_own(site: Site) -> None:
    document = ct(
        3,
        sop_class=PDF,
        modality="DOC",
        pixel_element=b"",
        values={**NO_IMAGE, "MIMETypeOfEncapsulatedDocument": "application/pdf"},
        extra=[("00420011", "OB", b"%PDF-1.4\n")],
    )
    assert site.store(document.part10()).status_code == 200
    text = page(site, f"/view/{document.study}")
    link = attribute(text, r'<a class="button" href="([^"]+)" target="_blank" rel="noopener">')
    answer = site.client.get(site.address.url + link)
    assert answer.headers["content-type"] == "application/pdf"
