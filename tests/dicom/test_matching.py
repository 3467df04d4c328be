"""The grammar of matching keys, and what each kind of matching means (PS3.4 C.2.2.2)."""

from __future__ import annotations

import datetime as dt
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.dicom.evaluate import key_matches, matches, wild
from vna.dicom.matching import (
    AllOf,
    AnyOf,
    Condition,
    DateRange,
    Empty,
    Item,
    MatchingKey,
    MomentRange,
    Name,
    Number,
    Query,
    Single,
    TimeRange,
    UidList,
    Wildcard,
)
from vna.dicom.matchkeys import Options, condition, keys_of, paths_of
from vna.dicom.refs import Level
from vna.errors import InvalidQuery

dates = st.dates(dt.date(1000, 1, 1))
times = st.times()
moments = st.builds(dt.datetime.combine, dates, times)


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def holds(vr: str, text: str, *values: Any, **options: bool) -> bool:
    """Tell whether an attribute with these values matches the text."""
    asked = condition(vr, text, **options)
    if asked is None:
        return True
    return key_matches(MatchingKey("00100020", asked), {"00100020": element(vr, *values)})


# --- the grammar has an inverse ---


def date_text(value: dt.date) -> str:
    return f"{value.year:04}{value.month:02}{value.day:02}"


def time_text(value: dt.time) -> str:
    return f"{value.hour:02}{value.minute:02}{value.second:02}.{value.microsecond:06}"


def moment_text(value: dt.datetime) -> str:
    return date_text(value.date()) + time_text(value.time()) + ("+0000" if value.tzinfo else "")


def written(asked: Condition | None) -> tuple[str, str]:
    """Write a condition as VR and text."""
    match asked:
        case None:
            return "LO", ""
        case Single(value):
            return "LO", value
        case Wildcard(value):
            return "LO", value
        case UidList(values):
            return "UI", "\\".join(values)
        case Name(pattern, _):
            return "PN", pattern
        case Number(number):
            return "DS", repr(number)
        case Empty():
            return "LO", '""'
        case AllOf(values):
            return "LO", "\\".join(values)
        case DateRange(first, last):
            return "DA", ends(first, last, date_text)
        case TimeRange(first, last):
            return "TM", ends(first, last, time_text)
        case MomentRange(first, last):
            return "DT", ends(first, last, moment_text)
        case Item() | AnyOf():
            raise AssertionError("items are written by their own tests")


def ends(first: Any, last: Any, write: Any) -> str:
    return f"{write(first) if first else ''}-{write(last) if last else ''}"


@st.composite
def ranges(draw: st.DrawFn, kind: Any, values: st.SearchStrategy[Any]) -> Any:
    first, last = sorted((draw(values), draw(values)))
    shape = draw(st.sampled_from(("both", "first", "last")))
    return kind(None if shape == "last" else first, None if shape == "first" else last)


plain = st.text("abcXYZ 019^", min_size=1, max_size=12).map(str.strip).filter(bool)
conditions = st.one_of(
    st.none(),
    plain.map(Single),
    st.text("ab?*", min_size=1, max_size=8)
    .filter(lambda t: "**" not in t and t.strip("*") and ("*" in t or "?" in t))
    .map(Wildcard),
    st.lists(st.from_regex(r"[1-9]\.[0-9]{1,9}", fullmatch=True), min_size=2, unique=True).map(
        lambda uids: UidList(tuple(uids))
    ),
    st.from_regex(r"[a-z]{1,9}\^[a-z]{1,9}\*?", fullmatch=True).map(Name),
    st.integers(-(10**9), 10**9).map(lambda n: Number(n / 8)),
    st.just(Empty()),
    st.lists(plain, min_size=2, max_size=4).map(lambda v: AllOf(tuple(v))),
    ranges(DateRange, dates),
    ranges(TimeRange, times),
    ranges(MomentRange, moments),
    ranges(MomentRange, moments.map(lambda m: m.replace(tzinfo=dt.UTC))),
)


@given(conditions)
@settings(max_examples=300, deadline=None)
def test_reading_what_was_written_gives_the_same_condition(asked: Condition | None) -> None:
    vr, text = written(asked)
    assert condition(vr, text, empty_value=True, multiple_value=True) == asked


@given(
    st.text(max_size=40), st.sampled_from(("DA", "TM", "DT", "UI", "IS", "AS", "AT", "PN", "LO"))
)
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused_without_naming_it(text: str, vr: str) -> None:
    sentence = ""
    try:
        condition(vr, text, name="StudyDate")
    except InvalidQuery as refused:
        sentence = str(refused)
    assert sentence.startswith(("StudyDate ", "The range of StudyDate ")) or not sentence
    assert len(text) < 8 or text not in sentence


# --- each kind of matching at its borders ---


def test_single_value_matching_is_exact_but_for_outer_spaces() -> None:
    assert holds("LO", "ABC", "ABC ")
    assert holds("LO", " ABC", "ABC")
    assert not holds("LO", "abc", "ABC")
    assert not holds("LO", "AB", "ABC")


def test_an_attribute_tag_matches_whatever_the_case_of_its_digits() -> None:
    assert holds("AT", "0018106a", "0018106A")
    assert not holds("AT", "0018106b", "0018106A")


def test_one_of_several_values_is_enough() -> None:
    assert holds("CS", "PT", "CT", "PT")
    assert not holds("CS", "MR", "CT", "PT")


@pytest.mark.parametrize("text", ["", " ", "*", "***"])
def test_universal_matching_matches_what_is_absent(text: str) -> None:
    assert condition("LO", text) is None
    assert condition("DA", text) is None


def test_wild_cards() -> None:
    assert holds("LO", "A*C", "ABBBC")
    assert holds("LO", "A*", "A")
    assert holds("LO", "A?C", "ABC")
    assert not holds("LO", "A?C", "AC")
    assert not holds("LO", "a*", "ABC")
    assert not holds("LO", "A*")
    assert holds("LO", "A.*", "A.B")
    assert not holds("LO", "A.*", "AXB")


@given(st.text("ab*?[.", max_size=6), st.text("ab[.\n", max_size=6))
@settings(max_examples=200, deadline=None)
def test_wild_cards_agree_with_a_plain_search(pattern: str, text: str) -> None:
    def plain_search(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(plain_search(pattern[1:], text[at:]) for at in range(len(text) + 1))
        return bool(text) and pattern[0] in ("?", text[0]) and plain_search(pattern[1:], text[1:])

    assert wild(pattern, text) == plain_search(pattern, text)


@pytest.mark.parametrize("many", ["*?", "*t", "*t?", "?*"])
def test_a_pattern_of_many_wild_cards_costs_little(many: str) -> None:
    text = "Computed tomography of the thorax, contrast twenty ml, late phase" * 20
    begun = process_time()
    assert not wild(f"{many * 20}*!", text)
    assert wild(f"{many * 5}*phase", text)
    assert process_time() - begun < 1.0


def test_uid_lists_take_backslash_and_comma() -> None:
    assert condition("UI", "1.2\\1.3,1.4") == UidList(("1.2", "1.3", "1.4"))
    assert condition("UI", "1.2\0") == Single("1.2")
    assert holds("UI", "1.2\\1.3", "1.3")
    assert not holds("UI", "1.2\\1.3", "1.30")


@pytest.mark.parametrize("text", ["1.2,", "1.2*", "x", "1.2\\\\1.3", "1" * 65])
def test_what_is_no_uid_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuery, match="StudyInstanceUID must be a UID"):
        condition("UI", text, name="StudyInstanceUID")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("20240110", ["20240110", "2024.01.10"], ["20240109", "20240111", "2024011", ""]),
        ("20240110-20240112", ["20240110", "20240112"], ["20240109", "20240113", "garbage"]),
        ("20240110 - 20240112", ["20240111"], ["20240113"]),
        ("-20240110", ["20240110", "00010101"], ["20240111"]),
        ("20240110-", ["20240110", "99991231"], ["20240109"]),
    ],
)
def test_date_ranges_are_inclusive(text: str, inside: list[str], outside: list[str]) -> None:
    assert all(holds("DA", text, value) for value in inside)
    assert not any(holds("DA", text, value) for value in outside)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("2230", ["2230", "223000", "223059.999999", "22:30:10"], ["2229", "2231", "223100"]),
        ("1000-1800", ["10", "100000", "180059.9"], ["095959.999999", "1801", "180100"]),
        ("10-11", ["1159"], ["12"]),
        ("-1800", ["00", "180059"], ["1801"]),
        ("1000-", ["1000", "235959.999999"], ["0959"]),
    ],
)
def test_time_ranges_cover_the_precision_given(
    text: str, inside: list[str], outside: list[str]
) -> None:
    assert all(holds("TM", text, value) for value in inside)
    assert not any(holds("TM", text, value) for value in outside)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("19980128103000.0000", ["19980128103000"], ["19980128103001"]),
        ("2024", ["20240101", "20241231235959.999999"], ["2023", "2025"]),
        ("20240101-20240102", ["20240102235959"], ["20240103"]),
        ("20240101120000+0200-", ["20240101100000+0000", "2024010110"], ["20240101095959+0000"]),
        ("-20240101120000-0500", ["20240101170000+0000"], ["20240101170001+0000"]),
        ("20240101-0500", ["20240101120000-0500"], ["20240101000000+0000"]),
        ("20240101000000-0500-20240102000000-0500", ["20240101050000"], ["20240101045959"]),
    ],
)
def test_moments_are_compared_in_utc(text: str, inside: list[str], outside: list[str]) -> None:
    assert all(holds("DT", text, value) for value in inside)
    assert not any(holds("DT", text, value) for value in outside)


def test_a_moment_without_a_zone_is_in_the_data_sets_own() -> None:
    key = MatchingKey("0040A13A", condition("DT", "20240101120000+0000") or Empty())
    query = Query(level=Level.STUDY, keys=(key,))
    held = {"0040A13A": element("DT", "20240101130000"), "00080201": element("SH", "+0100")}
    assert matches(query, held)
    assert not matches(query, {"0040A13A": held["0040A13A"]})
    assert matches(query, {"0040A13A": held["0040A13A"]}, zone=dt.timezone(dt.timedelta(hours=1)))


@pytest.mark.parametrize(
    ("vr", "text"),
    [
        ("DA", "-"),
        ("DA", "2024-01-01"),
        ("DA", "20240102-20240101"),
        ("DA", "202401*"),
        ("TM", "1800-1000"),
        ("TM", "25"),
        ("DT", "20240101-20230101"),
        ("DT", "yesterday"),
        ("IS", "1x"),
        ("DS", "1*"),
        ("DS", "NaN"),
        ("FD", "1e999"),
        ("AS", "45"),
        ("AT", "PatientName"),
        ("OB", "x"),
        ("LO", "x" * 4097),
    ],
)
def test_a_value_the_vr_does_not_allow_is_refused(vr: str, text: str) -> None:
    with pytest.raises(InvalidQuery):
        condition(vr, text)


def test_numbers_match_by_value() -> None:
    assert holds("IS", "007", 7)
    assert holds("IS", "7", "7 ")
    assert holds("DS", "1.50", 1.5)
    assert holds("US", "512", 512)
    assert not holds("IS", "7", 70)
    assert not holds("IS", "7", "seven")


PATIENT = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}


@pytest.mark.parametrize(
    "text",
    [
        "YAMADA^TAROU",
        "yamada*",
        "*tarou",
        "山田^太郎",
        "山田*",
        "やまだ^たろう",
        "Yamada^T?rou",
        "Yamada^Tarou^^",
        "yamada*^*",
        "yamada^tarou=山田^太郎",
        "=山田*",
        "YAMADA^TAROU=山田^太郎=やまだ^たろう",
    ],
)
def test_a_name_matches_in_any_group_whatever_its_case(text: str) -> None:
    assert holds("PN", text, PATIENT)


@pytest.mark.parametrize(
    "text", ["Yamada", "tarou^yamada", "山田", "*山田^tarou*", "yamada*=suzuki*"]
)
def test_another_name_does_not_match(text: str) -> None:
    assert not holds("PN", text, PATIENT)


@pytest.mark.parametrize(
    ("text", "stored"), [("muller*", "Müller^Jörg"), ("MÜLLER^JÖRG", "muller^jorg")]
)
def test_names_match_without_accents(text: str, stored: str) -> None:
    assert holds("PN", text, {"Alphabetic": stored})


@pytest.mark.parametrize("text", ["SMITH^*", "smith^*^*", "Smith^^*", "smith^*=*", "*mith^*"])
@pytest.mark.parametrize("stored", ["Smith", "SMITH^", "Smith^^^^"])
def test_trailing_components_that_are_null_may_be_omitted(text: str, stored: str) -> None:
    """PS3.5 6.2 PN: `Smith`, `Smith^` and `Smith^^^^` are one name."""
    assert holds("PN", text, {"Alphabetic": stored})
    assert not holds("PN", text, {"Alphabetic": "Smithson^John"})


def test_components_that_are_asked_for_must_be_there() -> None:
    assert holds("PN", "smith^*", {"Alphabetic": "Smith^John"})
    assert not holds("PN", "smith^*^q", {"Alphabetic": "Smith"})
    assert not holds("PN", "smith^j*", {"Alphabetic": "Smith"})
    assert holds("PN", "smith^*=山田^*", {"Alphabetic": "Smith", "Ideographic": "山田"})
    assert not holds("PN", "smith^*=山田^*", {"Alphabetic": "Smith", "Ideographic": "山"})
    assert not holds("PN", "a^*=b^*=c^*=d^*", {"Alphabetic": "A"})


@pytest.mark.parametrize("text", ["*", "*^*", "^^", "*=*"])
def test_a_name_of_wild_cards_alone_is_universal(text: str) -> None:
    assert condition("PN", text) is None


def test_fuzzy_names_match_in_any_order_and_by_sound() -> None:
    assert holds("PN", "Tarou^Yamada", PATIENT, fuzzy=True)
    assert holds("PN", "Smith", {"Alphabetic": "Smyth^Mary"}, fuzzy=True)
    assert not holds("PN", "Jones", {"Alphabetic": "Smyth^Mary"}, fuzzy=True)
    assert not holds("PN", "Smith", {"Alphabetic": "Smyth^Mary"})


def test_empty_value_matching_only_when_agreed() -> None:
    assert condition("LO", '""', empty_value=True) == Empty()
    assert condition("LO", '""') == Single('""')
    assert holds("LO", '""', empty_value=True)
    assert holds("LO", '""', "", empty_value=True)
    assert not holds("LO", '""', "X", empty_value=True)
    key = MatchingKey("00100020", Empty())
    assert key_matches(key, {})


def test_multiple_values_must_all_be_present() -> None:
    assert holds("CS", "CT\\PT", "PT", "SR", "CT", multiple_value=True)
    assert not holds("CS", "CT\\PT", "CT", multiple_value=True)
    with pytest.raises(InvalidQuery):
        condition("CS", "CT\\P*", multiple_value=True)
    with pytest.raises(InvalidQuery):
        condition("CS", "CT\\\\PT", multiple_value=True)


def test_several_values_without_agreement_mean_any_of_them() -> None:
    assert condition("CS", "CT\\M*") == AnyOf((Single("CT"), Wildcard("M*")))
    assert holds("CS", "CT\\M*", "MR")
    assert not holds("CS", "CT\\M*", "PT")
    assert holds("DA", "20240101\\20240201-20240203", "20240202", multiple_value=True)
    assert condition("CS", "CT\\*") is None
    assert condition("LO", "A\\") is None


def test_several_ranges_are_not_joined_with_a_time() -> None:
    tree = {"00080020": ("DA", "20060705-\\20050101-"), "00080030": ("TM", "10-")}
    keys = keys_of(tree, Options(combined=True))
    assert [type(key.condition) for key in keys] == [AnyOf, TimeRange]


def test_a_zero_length_attribute_matches_no_key_with_a_value() -> None:
    for vr, text in (("LO", "A"), ("LO", "A*"), ("DA", "20240101-"), ("PN", "A*"), ("IS", "1")):
        assert not holds(vr, text)


# --- date and time as one moment ---

TREE = {"00080020": ("DA", "20060705-20060707"), "00080030": ("TM", "1000-1800")}


def study(date: str, time: str = "") -> dict[str, Any]:
    return {
        "00080020": element("DA", date),
        "00080030": element("TM", time) if time else element("TM"),
    }


def test_two_ranges_are_one_interval_when_agreed() -> None:
    asked = Query(level=Level.STUDY, keys=keys_of(TREE, Options(combined=True)))
    apart = Query(level=Level.STUDY, keys=keys_of(TREE, Options()))
    assert [key.time_tag for key in asked.keys] == ["00080030"]
    for day, time, one, two in (
        ("20060705", "0959", False, False),
        ("20060705", "1000", True, True),
        ("20060706", "0300", True, False),
        ("20060707", "180059", True, True),
        ("20060707", "1801", False, False),
    ):
        assert matches(asked, study(day, time)) is one
        assert matches(apart, study(day, time)) is two
    assert not matches(asked, study("20060706"))


@pytest.mark.parametrize(
    ("date", "time", "joined"),
    [
        ("20060705-", "1000-", True),
        ("-20060705", "-1000", True),
        ("20060705-", "-1000", False),
        ("20060705-20060706", "1000-", False),
        ("20060705", "1000-1100", False),
        ("20060705-20060706", "", False),
        ("20060705-20060705", "1000-1100", True),
    ],
)
def test_only_ranges_of_the_same_form_are_joined(date: str, time: str, joined: bool) -> None:
    tree = {"00080020": ("DA", date), "00080030": ("TM", time)}
    keys = keys_of(tree, Options(combined=True))
    assert any(isinstance(key.condition, MomentRange) for key in keys) is joined


def test_a_joined_range_may_begin_late_and_end_early_in_the_day() -> None:
    tree = {"00080020": ("DA", "20060705-20060706"), "00080030": ("TM", "1800-1000")}
    query = Query(level=Level.STUDY, keys=keys_of(tree, Options(combined=True)))
    assert matches(query, study("20060705", "2300"))
    assert matches(query, study("20060706", "0900"))
    assert not matches(query, study("20060706", "1200"))


# --- sequences ---


def requests(*items: tuple[str, str]) -> dict[str, Any]:
    held = [{"00400009": element("SH", a), "00401001": element("SH", b)} for a, b in items]
    return {"00400275": element("SQ", *held)}


def test_one_item_must_satisfy_all_keys_of_a_sequence() -> None:
    tree = {"00400275": ("SQ", {"00400009": ("SH", "S1"), "00401001": ("SH", "P1")})}
    query = Query(level=Level.SERIES, keys=keys_of(tree, Options()))
    assert matches(query, requests(("S0", "P0"), ("S1", "P1")))
    assert not matches(query, requests(("S1", "P0"), ("S0", "P1")))
    assert not matches(query, {})
    assert paths_of(tree) == {("00400275", "00400009"), ("00400275", "00401001")}


def test_an_empty_item_is_universal_and_returns_the_sequence() -> None:
    tree: dict[str, Any] = {"00400275": ("SQ", {})}
    assert keys_of(tree, Options()) == ()
    assert paths_of(tree) == {("00400275",)}
