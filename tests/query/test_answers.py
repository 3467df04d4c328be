"""vna/query/answers.py: what of a row goes into an answer."""

from __future__ import annotations

from typing import Any

from vna.dicom.matching import Item, MatchingKey, Query, Single
from vna.dicom.refs import Level
from vna.query.answers import shaper

ROW: dict[str, Any] = {
    "00080020": {"vr": "DA", "Value": ["20240101"]},
    "00080050": {"vr": "SH"},
    "00080060": {"vr": "CS", "Value": ["CT"]},
    "00080201": {"vr": "SH"},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}]},
    "0020000E": {"vr": "UI", "Value": ["1.2"]},
    "00201209": {"vr": "IS", "Value": [3]},
    "00400275": {
        "vr": "SQ",
        "Value": [
            {"00400007": {"vr": "LO", "Value": ["x"]}, "00400009": {"vr": "SH", "Value": ["S1"]}},
            {"00400009": {"vr": "SH", "Value": ["S2"]}, "00401001": {"vr": "SH", "Value": ["P2"]}},
        ],
    },
}


def shape(**asked: Any) -> dict[str, Any]:
    return shaper(Query(level=Level.SERIES, **asked))(ROW)


def test_only_what_was_asked_is_answered_in_order() -> None:
    answer = shape(returns=frozenset({("00201209",), ("00080060",)}))
    assert list(answer.items()) == [("00080060", ROW["00080060"]), ("00201209", ROW["00201209"])]


def test_an_attribute_without_a_value_is_of_zero_length() -> None:
    answer = shape(returns=frozenset({("00080050",), ("0008103E",)}))
    assert answer == {"00080050": {"vr": "SH"}, "0008103E": {"vr": "LO"}}


def test_what_is_answered_if_known_is_left_out_otherwise() -> None:
    answer = shape(if_known=frozenset({("00080201",), ("0008103E",), ("00080020",)}))
    assert answer == {"00080020": ROW["00080020"]}


def test_the_level_is_answered_when_asked() -> None:
    answer = shape(returns=frozenset({("00080052",)}))
    assert answer == {"00080052": {"vr": "CS", "Value": ["SERIES"]}}


def test_everything_is_all_of_the_level_and_what_was_asked() -> None:
    answer = shape(everything=True, returns=frozenset({("00100010",)}))
    assert list(answer) == [
        *("00080060", "00080201", "00100010", "0020000E", "00201209", "00400275")
    ]


def test_items_hold_only_what_was_asked() -> None:
    answer = shape(returns=frozenset({("00400275", "00400009"), ("00400275", "00401001")}))
    assert answer["00400275"]["Value"] == [
        {"00400009": {"vr": "SH", "Value": ["S1"]}, "00401001": {"vr": "SH"}},
        {"00400009": {"vr": "SH", "Value": ["S2"]}, "00401001": {"vr": "SH", "Value": ["P2"]}},
    ]


def test_a_sequence_asked_for_as_a_whole_is_answered_as_a_whole() -> None:
    paths = frozenset({("00400275",), ("00400275", "00400009")})
    assert shape(returns=paths)["00400275"] == ROW["00400275"]


def test_only_items_that_match_are_answered() -> None:
    key = MatchingKey("00400275", Item((MatchingKey("00401001", Single("P2")),)))
    answer = shape(keys=(key,), returns=frozenset({("00400275", "00400009")}))
    assert answer["00400275"]["Value"] == [{"00400009": {"vr": "SH", "Value": ["S2"]}}]


def test_a_sequence_that_is_not_there_is_of_zero_length() -> None:
    query = Query(level=Level.SERIES, returns=frozenset({("00400275", "00400009")}))
    assert shaper(query)({}) == {"00400275": {"vr": "SQ"}}
    unknown = Query(level=Level.SERIES, if_known=frozenset({("00400275", "00400009")}))
    assert shaper(unknown)({"00400275": {"vr": "SQ"}}) == {}
