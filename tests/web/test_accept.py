"""Content negotiation: the table of tests/vectors/accept.toml, and what holds for any header."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.errors import InvalidRequest, NotAcceptable
from vna.web.dicomweb.accept import Acceptable, Resource, Wanted, negotiate
from vna.web.media import media_list, media_type

VECTORS = Path(__file__).parents[1] / "vectors" / "accept.toml"
CASES = tomllib.loads(VECTORS.read_text(encoding="utf-8"))["case"]


@pytest.mark.parametrize("case", CASES, ids=[c["why"] for c in CASES])
def test_vector(case: dict[str, Any]) -> None:
    def ask() -> Acceptable:
        return negotiate(
            Resource[case["resource"].upper()],
            case.get("header", "").replace("\n", "") if "header" in case else None,
            tuple(case.get("accept", ())),
            strict=case.get("strict", False),
        )

    if "status" in case:
        with pytest.raises(NotAcceptable if case["status"] == 406 else InvalidRequest):
            ask()
        return
    best = ask().best
    assert f"{'multipart ' if best.multipart else ''}{best.media}" == case["best"]
    syntaxes = ask().syntaxes
    assert (None if syntaxes is None else list(syntaxes)) == case.get("syntaxes")


def test_a_refusal_lists_what_is_possible() -> None:
    with pytest.raises(NotAcceptable, match=r"application/dicom\+json.*application/dicom\+xml"):
        negotiate(Resource.METADATA, "image/png")


@pytest.mark.parametrize(
    ("media", "syntax", "multipart"),
    [
        ("image/jls", "1.2.840.10008.1.2.4.80", False),
        ("image/jls", "1.2.840.10008.1.2.4.81", True),
        ("application/octet-stream", "1.2.840.10008.1.2.1", True),
    ],
)
def test_the_form_is_that_of_the_entry_which_named_the_syntax(
    media: str, syntax: str, multipart: bool
) -> None:
    acceptable = negotiate(
        Resource.FRAME,
        "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80,"
        'multipart/related; type="image/jls",'
        'multipart/related; type="application/octet-stream"',
    )
    assert acceptable.form(media, syntax).multipart is multipart


def test_as_stored_in_a_multipart_takes_any_media_type() -> None:
    header = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    wanted = negotiate(Resource.FRAME, header).form("image/jls", "1.2.840.10008.1.2.4.80")
    assert wanted == Wanted("application/octet-stream", True, ("*",))


TOKENS = st.sampled_from(
    (
        *("application/dicom+json", "*/*", "multipart/related", "text/html", "image/*"),
        *(";", ",", "q=0.5", "q=", "type=", '"', " ", "=", "\\"),
        *('type="application/dicom+xml"', "transfer-syntax=*"),
    )
)


@settings(max_examples=300, deadline=None)
@given(header=st.one_of(st.text(max_size=40), st.lists(TOKENS, max_size=12).map("".join)))
def test_any_header_is_understood_or_refused(header: str) -> None:
    for resource in Resource:
        try:
            assert negotiate(resource, header).wanted
        except (NotAcceptable, InvalidRequest):
            continue


@given(st.text(alphabet='ab/;="\\, *', max_size=60))
@settings(max_examples=200, deadline=None)
def test_media_lists_never_break(text: str) -> None:
    for entry in media_list(text):
        assert "/" in entry.name


def test_a_media_type_keeps_quoted_characters() -> None:
    parsed = media_type('a/b; X="c\\"d; e, f";y=z')
    assert parsed.name == "a/b"
    assert parsed.parameters == (("x", 'c"d; e, f'), ("y", "z"))


@pytest.mark.parametrize("text", ["", "a", "a/", "/b", "a/b c", "a/b, c/d", 'a/b; x="'])
def test_what_is_no_media_type_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        media_type(text)
