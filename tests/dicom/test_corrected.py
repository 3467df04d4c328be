"""Corrections laid over data sets: pydicom reads what was asked for, and all else as it was."""

from __future__ import annotations

import datetime as dt
import io

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from tests.dicom.corpus import scan_bare
from tests.factories import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    Instance,
    compressed,
    ct,
    jpeg,
)
from vna.config import Limits
from vna.dicom.corrected import Overlay, check, corrected, corrected_members, elements
from vna.dicom.part10 import file_head, group2_for
from vna.dicom.scan import Scanner
from vna.errors import InvalidRequest, NotAcceptable

AT = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
CHANGES = {
    "PatientName": "Right^Name",
    "PatientID": "P-77",
    "IssuerOfPatientID": "CITY",
    "PatientBirthDate": "19800203",
    "PatientSex": "M",
    "AccessionNumber": "",
    "StudyDescription": "Knee",
}


def overlay(**changes: str) -> Overlay:
    return Overlay(version=b"v", at=AT, changes=check(changes))


def given_out(made: Instance, over: Overlay, *, chunk: int = 1 << 16) -> Dataset:
    """Lay it over, and have pydicom read what comes out as a file."""
    data = made.dataset()
    pieces = [data[at : at + chunk] for at in range(0, len(data), chunk)]
    out = b"".join(corrected(pieces, made.transfer_syntax, Limits(), over, system="VNA"))
    return dcmread(io.BytesIO(_meta(made) + out))


def _meta(made: Instance) -> bytes:
    group2 = group2_for(
        sop_class=made.sop_class,
        sop_instance=made.instance,
        transfer_syntax=made.transfer_syntax,
        source_ae="VNA",
    )
    return file_head(group2=group2, preamble=b"")


def without(ds: Dataset, over: Overlay) -> Dataset:
    """The attributes a correction leaves alone."""
    left = Dataset()
    for element in ds:
        if element.keyword not in {*over.changes, "OriginalAttributesSequence"}:
            left[element.tag] = element
    return left


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED])
@pytest.mark.parametrize("endless", [False, True])
def test_what_is_asked_for_stands_and_all_else_is_as_it_was(syntax: str, endless: bool) -> None:
    made = ct(transfer_syntax=syntax, endless=endless)
    over = overlay(**CHANGES)
    before = dcmread(io.BytesIO(made.part10()))
    after = given_out(made, over, chunk=977)
    assert {keyword: str(after[keyword].value or "") for keyword in CHANGES} == CHANGES
    assert without(after, over) == without(before, over)
    assert after.PixelData == before.PixelData


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("twice", [False, True])
def test_what_stands_out_of_order_or_twice_is_corrected_as_well(syntax: str, twice: bool) -> None:
    """Readers take the last one: it must not be what was wrong."""
    made, over = ct(transfer_syntax=syntax), overlay(PatientName="Right^Name")
    data = made.dataset()
    name, rows = (_element_at(data, tag) for tag in (b"\x10\0\x10\0", b"\x28\0\x10\0"))
    wrong = data[name : name + 8 + len("Doe^Jane")]
    ahead = data[:rows] if twice else data[:rows].replace(wrong, b"")
    out = b"".join(corrected([ahead + wrong + data[rows:]], syntax, Limits(), over, system="VNA"))
    after = dcmread(io.BytesIO(_meta(made) + out))
    assert after.PatientName == "Right^Name"
    (item,) = after.OriginalAttributesSequence
    assert item.ModifiedAttributesSequence[0].PatientName == "Doe^Jane"


def _element_at(data: bytes, tag: bytes) -> int:
    assert data.count(tag) == 1
    return data.index(tag)


def test_compressed_frames_stay_as_they_are() -> None:
    made = compressed([[jpeg(1)], [jpeg(2), jpeg(3)]], transfer_syntax=JPEG)
    over = overlay(PatientID="P-77")
    before, after = dcmread(io.BytesIO(made.part10())), given_out(made, over)
    assert after.PatientID == "P-77"
    assert after.PixelData == before.PixelData


def test_what_stood_there_is_in_the_original_attributes() -> None:
    changes = {keyword: text for keyword, text in CHANGES.items() if keyword != "PatientID"}
    after = given_out(ct(), overlay(**changes))
    (item,) = after.OriginalAttributesSequence
    assert item.AttributeModificationDateTime == "20240506070809+0000"
    assert item.ModifyingSystem == "VNA"
    assert item.ReasonForTheAttributeModification == "CORRECT"
    assert "SourceOfPreviousValues" in item
    (old,) = item.ModifiedAttributesSequence
    assert {element.keyword: str(element.value) for element in old} == {
        "AccessionNumber": "A-0001",
        "StudyDescription": "Chest",
        "PatientName": "Doe^Jane",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
    }


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED])
def test_nothing_is_told_of_whom_another_patient_id_named(syntax: str) -> None:
    """Whoever is given a study that was moved is not given somebody else's identity."""
    made, over = ct(transfer_syntax=syntax), overlay(**CHANGES)
    (item,) = given_out(made, over).OriginalAttributesSequence
    (old,) = item.ModifiedAttributesSequence
    assert {element.keyword for element in old} == {"AccessionNumber", "StudyDescription"}
    members = scan_bare(ct().dataset())[1]
    told = corrected_members(members, over, system="VNA")["04000561"]["Value"]
    assert [set(one["04000550"]["Value"][0]) for one in told] == [{"00080050", "00081030"}]
    alone = overlay(PatientID="P-77", PatientName="Right^Name")
    assert "OriginalAttributesSequence" not in given_out(made, alone)
    assert "04000561" not in corrected_members(members, alone, system="VNA")


@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_an_item_of_earlier_changes_stays_and_ours_comes_behind(syntax: str, endless: bool) -> None:
    earlier = [("04000563", "LO", "GATEWAY"), ("04000565", "CS", "COERCE")]
    sequence = [("04000561", "SQ", [earlier]), ("04000600", "CS", "ORIGINAL")]
    made = ct(transfer_syntax=syntax, endless=endless, extra=sequence)
    after = given_out(made, overlay(PatientName="Right^Name"))
    systems = [item.ModifyingSystem for item in after.OriginalAttributesSequence]
    assert systems == ["GATEWAY", "VNA"]
    assert after[0x04000600].value == "ORIGINAL"


def test_earlier_changes_that_are_no_sequence_make_room_for_ours() -> None:
    made, over = ct(extra=[("04000561", "LO", "none")]), overlay(PatientName="Right^Name")
    (ours,) = given_out(made, over).OriginalAttributesSequence
    members = scan_bare(made.dataset())[1]
    told = corrected_members(members, over, system="VNA")
    (item,) = told["04000561"]["Value"]
    assert told["04000561"]["vr"] == "SQ"
    assert set(item) == {f"{element.tag:08X}" for element in ours}


def test_an_empty_sequence_of_earlier_changes_takes_our_item() -> None:
    made = ct(extra=[("04000561", "SQ", [])])
    assert len(given_out(made, overlay(PatientName="Right^Name")).OriginalAttributesSequence) == 1


def test_what_is_right_already_is_no_modification() -> None:
    after = given_out(ct(), overlay(PatientID="P-0001", PatientSex="F"))
    assert "OriginalAttributesSequence" not in after


def test_an_attribute_that_was_not_there_is_added() -> None:
    made = ct(values={"PatientSex": None, "SpecificCharacterSet": None})
    after = given_out(made, overlay(PatientSex="M"))
    assert after.PatientSex == "M"
    assert "OriginalAttributesSequence" not in after


@pytest.mark.parametrize(
    ("charset", "reads", "says"),
    [
        ("ISO_IR 100", "Müller^Jürgen", "ISO_IR 100"),
        (None, "Müller^Jürgen", "ISO_IR 100"),
        ("", "Müller^Jürgen", "ISO_IR 100"),
        (None, "Wałęsa^Lech", "ISO_IR 192"),
        ("ISO_IR 192", "Müller^Jürgen", "ISO_IR 192"),
        ("ISO_IR 101", "Mu?ller^A", "ISO_IR 101"),
    ],
)
def test_a_name_is_written_in_the_set_of_its_data_set(
    charset: str | None, reads: str, says: str
) -> None:
    name = reads.replace("?", "ø")
    after = given_out(ct(charset=charset), overlay(PatientName=name))
    assert (str(after.PatientName), after.SpecificCharacterSet) == (reads, says)


@pytest.mark.parametrize(
    ("name", "says"), [("Müller^Jörg", ["ISO_IR 100"]), ("Wałęsa^Lech", ["ISO_IR 192"])]
)
def test_json_names_the_set_the_bytes_were_given(name: str, says: list[str]) -> None:
    """Who makes a data set of JSON again would lose letters no set is named for."""
    laid = corrected_members({}, overlay(PatientName=name), system="VNA")
    assert laid["00080005"] == {"vr": "CS", "Value": says}
    assert "00080005" not in corrected_members({}, overlay(PatientID="P-77"), system="VNA")


def test_letters_that_stood_there_undeclared_stay_what_they_were() -> None:
    """Many senders write Latin-1 and declare nothing."""
    made = ct(charset=None, codec="latin-1", values={"StudyDescription": "Schädel"})
    after = given_out(made, overlay(PatientName="Müller^Jürgen"))
    assert (str(after.PatientName), after.StudyDescription) == ("Müller^Jürgen", "Schädel")


def test_attributes_of_items_are_left_alone() -> None:
    inner = [("00100020", "LO", "INNER"), ("00080050", "SH", "INNER")]
    made = ct(extra=[("00400275", "SQ", [inner])])
    after = given_out(made, overlay(PatientID="P-77", AccessionNumber="A-2"))
    assert after.RequestAttributesSequence[0].PatientID == "INNER"
    assert after.RequestAttributesSequence[0].AccessionNumber == "INNER"


def test_big_endian_is_not_given() -> None:
    with pytest.raises(NotAcceptable):
        corrected([b""], BIG_ENDIAN, Limits(), overlay(PatientID="1"), system="VNA")


@settings(max_examples=40, deadline=None)
@given(
    chunk=st.integers(1, 500),
    changes=st.dictionaries(
        st.sampled_from(["PatientID", "AccessionNumber", "StudyDescription"]),
        st.text("abc XYZ-_1äé", max_size=16),
        min_size=1,
    ),
    syntax=st.sampled_from([IMPLICIT, EXPLICIT]),
    charset=st.sampled_from([None, "ISO_IR 6", "ISO_IR 100"]),
)
def test_bytes_and_json_say_the_same(
    chunk: int, changes: dict[str, str], syntax: str, charset: str | None
) -> None:
    made, over = ct(transfer_syntax=syntax, charset=charset), overlay(**changes)
    told: list[bytes] = []
    scanner = Scanner(syntax, Limits(), json=told.append)
    for piece in corrected([made.dataset()], syntax, Limits(), over, system="VNA"):
        scanner.feed(piece)
    scanner.finish()
    plain: list[bytes] = []
    received = Scanner(syntax, Limits(), json=plain.append)
    received.feed(made.dataset())
    received.finish()
    laid = corrected_members(_json(plain), over, system="VNA")
    assert _without_pixels(_json(told)) == _without_pixels(laid)
    assert given_out(made, over, chunk=chunk) == given_out(made, over)


def _json(pieces: list[bytes]) -> dict[str, object]:
    found: dict[str, object] = orjson.loads(b"".join(pieces))
    return found


def _without_pixels(members: dict[str, object]) -> dict[str, object]:
    return {tag: element for tag, element in members.items() if tag != "7FE00010"}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"StudyInstanceUID": "1.2"},
        {"PatientID": "a" * 65},
        {"AccessionNumber": "a" * 17},
        {"PatientID": "a\\b"},
        {"PatientName": "a\nb"},
        {"PatientName": "a=b=c=d"},
        {"PatientName": "a^b^c^d^e^f"},
        {"PatientBirthDate": "yesterday"},
        {"PatientSex": "W"},
        {"IssuerOfPatientID": " "},
    ],
)
def test_what_cannot_stand_is_refused_without_saying_it(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as told:
        check(wrong)
    for value in wrong.values():
        assert not value.strip() or len(value) < 2 or value not in str(told.value)


def test_a_name_of_three_groups_is_three_in_json() -> None:
    found = elements({"PatientName": "Yamada^Tarou=山田^太郎"})
    assert found["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}
    ]
