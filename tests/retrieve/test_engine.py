"""The way out, on real stores: what comes back is what went in, in the form that was chosen."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import orjson
import pydicom
import pytest
from pydicom.data import get_testdata_file

from tests import factories
from tests.archive import Archive
from vna import telemetry
from vna.access.principal import Action, Kind, Principal, Scope
from vna.dicom.refs import InstanceRef, Level, Ref, SeriesRef, StudyRef, uid
from vna.errors import Corrupt, NotAcceptable, NotFound, NotPermitted
from vna.index.select import Selection
from vna.ingest.outcome import Stored
from vna.retrieve.payload import Payload

EXPLICIT = factories.EXPLICIT


def ref_of(made: factories.Instance) -> InstanceRef:
    return InstanceRef(uid(made.study), uid(made.series), uid(made.instance))


def data(payload: Payload) -> bytes:
    """All bytes of a payload; its length must have been true."""
    found = b"".join(payload.chunks)
    assert payload.length in (None, len(found))
    return found


def test_versions_are_for_who_has_the_action_and_leave_a_row(archive: Archive) -> None:
    ref = store(archive, factories.ct())
    (blob_id,) = archive.store.blob_ids()
    looks = Principal(
        kind=Kind.PERSON,
        name="looks",
        actions=frozenset({Action.RETRIEVE}),
        scope=archive.who.scope,
    )
    with pytest.raises(NotPermitted):
        archive.retrieve.version(looks, ref, blob_id)
    may = dataclasses.replace(looks, actions=looks.actions | {Action.RETRIEVE_VERSION})
    assert archive.retrieve.version(may, ref, blob_id).blob_id == blob_id
    elsewhere = dataclasses.replace(may, scope=Scope(studies=frozenset({uid("1.2.3")})))
    with pytest.raises(NotFound):
        archive.retrieve.version(elsewhere, ref, blob_id)
    with archive.database.reading() as conn:
        rows = conn.execute("SELECT study, detail FROM audit WHERE kind = 'read'").fetchall()
    assert [(study, detail["what"]) for study, detail in rows] == [(ref.study, "version")]


def bytes_sent(what: str) -> float:
    return float(telemetry.BYTES_SENT.labels(what)._value.get())


def test_bytes_of_whole_objects_and_of_bulk_data_are_counted(archive: Archive) -> None:
    """What leaves by WADO-RS, C-MOVE and C-GET is most of what leaves."""
    ref = store(archive, factories.ct())
    (located,) = archive.retrieve.instances(archive.who, StudyRef(ref.study))
    asked = {what: bytes_sent(what) for what in ("instances", "C-MOVE", "version", "bulkdata")}

    archive.retrieve.instances(archive.who, ref)
    keys = Selection(level=Level.STUDY, studies=frozenset([ref.study]))
    archive.retrieve.retrieval(archive.who, keys, what="C-MOVE")
    archive.retrieve.version(archive.who, ref, located.blob_id)
    (pixels,) = archive.retrieve.pieces.bulkdata(archive.who, ref, "7FE00010")

    told = {what: bytes_sent(what) - before for what, before in asked.items()}
    whole = float(located.size)
    assert told == {
        "instances": whole,
        "C-MOVE": whole,
        "version": whole,
        "bulkdata": float(len(data(pixels))),
    }


def store(archive: Archive, made: factories.Instance) -> InstanceRef:
    assert isinstance(archive.take(made.part10()), Stored)
    return ref_of(made)


def guest(**scope: frozenset[object]) -> Principal:
    return Principal(
        kind=Kind.SHARE,
        name="guest",
        actions=frozenset({Action.RETRIEVE, Action.QUERY}),
        scope=Scope(**scope),  # type: ignore[arg-type]  # the fields' own types
    )


@pytest.mark.parametrize(
    "syntax", [factories.IMPLICIT, factories.BIG_ENDIAN, factories.DEFLATED, EXPLICIT]
)
def test_every_native_syntax_goes_out_as_explicit_little_endian(
    archive: Archive, syntax: str
) -> None:
    made = factories.ct(transfer_syntax=syntax)
    ref = store(archive, made)
    (located,) = archive.retrieve.instances(archive.who, ref)
    chosen = archive.retrieve.forms.choose(located, None)
    file = data(archive.retrieve.forms.part10(located, chosen))
    read = pydicom.dcmread(io.BytesIO(file))
    sent = pydicom.dcmread(io.BytesIO(made.part10()))
    assert chosen == EXPLICIT
    assert read.file_meta.TransferSyntaxUID == EXPLICIT
    assert read.PatientName == sent.PatientName
    frames = archive.retrieve.pieces.frames(archive.who, ref, [1], None)
    assert data(frames[0]) == read.PixelData


def test_a_file_goes_out_with_the_head_it_came_with(archive: Archive) -> None:
    made = factories.ct()
    ref = store(archive, made)
    (located,) = archive.retrieve.instances(archive.who, ref)
    assert data(archive.retrieve.forms.part10(located, EXPLICIT)) == made.part10()


def test_what_cannot_be_decoded_goes_out_as_stored_or_not_at_all(archive: Archive) -> None:
    made = factories.compressed([[factories.jpeg(1)]], transfer_syntax=factories.MPEG_4)
    ref = store(archive, made)
    (located,) = archive.retrieve.instances(archive.who, ref)
    assert archive.retrieve.forms.choose(located, ["*"]) == made.transfer_syntax
    with pytest.raises(NotAcceptable, match=made.transfer_syntax):
        archive.retrieve.forms.choose(located, [EXPLICIT])
    assert archive.retrieve.forms.choose(located, None) == made.transfer_syntax


def test_a_video_is_given_as_its_one_stream_however_many_frames_it_counts(
    archive: Archive,
) -> None:
    stream = [bytes(range(200)), bytes(300)]
    made = factories.compressed([stream], transfer_syntax=factories.MPEG_4, table=False, count=250)
    ref, pieces = store(archive, made), archive.retrieve.pieces
    asked = (
        pieces.frames(archive.who, ref, [1], None),
        pieces.bulkdata(archive.who, ref, "7FE00010"),
        list(pieces.bulk(archive.who, ref, None).payloads),
    )
    assert [[data(one) for one in found] for found in asked] == [[b"".join(stream)]] * 3
    for number in (2, 250, 251):
        with pytest.raises(NotFound):
            pieces.frames(archive.who, ref, [number], None)


def test_a_frame_of_one_bit_pixels_holds_nothing_of_the_next(archive: Archive) -> None:
    values = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    made = factories.multi_frame(4, rows=5, columns=7, pixels=b"\xff" * 18, values=values)
    found = archive.retrieve.pieces.frames(archive.who, store(archive, made), [1, 2, 3, 4], None)
    assert [data(one) for one in found] == [b"\xff\xff\xff\xff\x07"] * 4


def test_lossy_goes_out_as_stored_when_nothing_is_said(archive: Archive) -> None:
    ref = store(archive, factories.compressed([[factories.jpeg(1)]]))
    (located,) = archive.retrieve.instances(archive.who, ref)
    assert archive.retrieve.forms.choose(located, None) == factories.JPEG


def test_native_frames_are_cut_where_they_lie(archive: Archive) -> None:
    size = 16 * 16 * 2
    pixels = bytes(i // 7 & 255 for i in range(size * 5))
    made = factories.multi_frame(5, pixels=pixels)
    ref = store(archive, made)
    found = archive.retrieve.pieces.frames(archive.who, ref, [5, 1, 3], None)
    wanted = [pixels[(n - 1) * size : n * size] for n in (5, 1, 3)]
    assert [data(p) for p in found] == wanted
    for acceptable in (None, [factories.RLE]):  # before the first byte, made or as stored
        with pytest.raises(NotFound, match="5 frames"):
            archive.retrieve.pieces.frames(archive.who, ref, [1, 6], acceptable)


def test_compressed_frames_are_joined_from_their_fragments(archive: Archive) -> None:
    fragments = [[factories.jpeg(1)], [factories.jpeg(2)[:20], factories.jpeg(2)[20:]]]
    made = factories.compressed(fragments)
    ref = store(archive, made)
    found = archive.retrieve.pieces.frames(archive.who, ref, [1, 2], ["*"])
    assert data(found[1]) == b"".join(fragments[1])
    assert found[0].media_type == "image/jpeg"


@pytest.mark.parametrize("number", [0, -1, 6, 1 << 40])
def test_a_frame_outside_is_not_found(archive: Archive, number: int) -> None:
    ref = store(archive, factories.multi_frame(5))
    with pytest.raises(NotFound):
        archive.retrieve.pieces.frames(archive.who, ref, [number], None)


def test_metadata_is_every_attribute_with_bulk_data_by_uri(archive: Archive) -> None:
    made = factories.ct(extra=[("00189999", "OB", bytes(5000))])
    ref = store(archive, made)
    (found,) = archive.retrieve.metadata(archive.who, ref)
    members = orjson.loads(found.json())
    assert found.ref == ref
    assert members["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}
    assert members["7FE00010"]["BulkDataURI"] == "bulkdata/7FE00010"
    base = "http://host/"
    assert orjson.loads(found.json(base))["7FE00010"]["BulkDataURI"] == f"{base}bulkdata/7FE00010"
    path = members["00189999"]["BulkDataURI"].removeprefix("bulkdata/")
    (value,) = archive.retrieve.pieces.bulkdata(archive.who, ref, path)
    assert data(value) == bytes(5000)
    assert value.stretch is not None
    assert b"".join(map(bytes, value.stretch.walk(10, 30))) == bytes(20)


def test_metadata_asked_for_again_follows_what_was_stored_since(archive: Archive) -> None:
    made = factories.ct()
    study = StudyRef(uid(made.study))
    store(archive, made)
    for _ in range(2):
        assert len(list(archive.retrieve.metadata(archive.who, study))) == 1
    store(archive, factories.ct(1, 1, 2))
    assert len(list(archive.retrieve.metadata(archive.who, study))) == 2


def test_the_revision_changes_when_an_instance_comes(archive: Archive) -> None:
    study = StudyRef(uid(factories.uid(1)))
    store(archive, factories.ct())
    first = archive.retrieve.revision(archive.who, study)
    assert archive.retrieve.revision(archive.who, study) == first
    store(archive, factories.ct(1, 2, 1))
    assert archive.retrieve.revision(archive.who, study) != first


def test_the_revision_of_a_series_is_its_own(archive: Archive) -> None:
    refs = [store(archive, factories.ct(1, series, 1)) for series in (1, 2)]
    both = [SeriesRef(ref.study, ref.series) for ref in refs]
    before = [archive.retrieve.revision(archive.who, one) for one in both]
    store(archive, factories.ct(1, 2, 2))
    after = [archive.retrieve.revision(archive.who, one) for one in both]
    assert before[0] == after[0]
    assert len({*before, *after}) == 3


def test_bulk_data_of_a_big_endian_object_is_little_endian(archive: Archive) -> None:
    made = factories.ct(transfer_syntax=factories.BIG_ENDIAN, pixels=bytes(range(256)) * 2)
    ref = store(archive, made)
    raw = pydicom.dcmread(io.BytesIO(made.part10())).PixelData
    little = bytearray(len(raw))
    little[0::2], little[1::2] = raw[1::2], raw[0::2]
    (value,) = archive.retrieve.pieces.bulkdata(archive.who, ref, "7FE00010")
    assert data(value) == bytes(little)
    assert data(archive.retrieve.pieces.frames(archive.who, ref, [1], None)[0]) == bytes(little)


def test_frames_of_an_odd_number_of_bytes_begin_inside_a_big_endian_word(archive: Archive) -> None:
    pixels = bytes(range(18))
    stored = bytearray(pixels)
    stored[0::2], stored[1::2] = pixels[1::2], pixels[0::2]
    made = factories.multi_frame(
        2,
        rows=3,
        columns=3,
        pixels=bytes(stored),
        transfer_syntax=factories.BIG_ENDIAN,
        values={"00280100": 8, "00280101": 8, "00280102": 7},
    )
    ref = store(archive, made)
    found = archive.retrieve.pieces.frames(archive.who, ref, [1, 2], None)
    assert [data(frame) for frame in found] == [pixels[:9], pixels[9:]]


@pytest.mark.parametrize("name", ["rtdose_expb.dcm", "MR_small_bigendian.dcm"])
def test_big_endian_pixels_are_turned_round_by_whole_cells(archive: Archive, name: str) -> None:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    outcome = archive.take(Path(path).read_bytes())
    assert isinstance(outcome, Stored)
    (located,) = archive.retrieve.instances(archive.who, outcome.ref)
    file = data(archive.retrieve.forms.part10(located, EXPLICIT))
    read = pydicom.dcmread(io.BytesIO(file))
    (value,) = archive.retrieve.pieces.bulkdata(archive.who, outcome.ref, "7FE00010")
    assert data(value) == read.PixelData
    frame = archive.retrieve.pieces.frames(archive.who, outcome.ref, [1], None)[0]
    assert read.PixelData.startswith(data(frame))


def test_outside_the_scope_looks_like_unknown(archive: Archive) -> None:
    mine, other = factories.ct(1), factories.ct(2)
    store(archive, mine)
    ref = store(archive, other)
    who = guest(studies=frozenset({uid(mine.study)}))
    assert len(archive.retrieve.instances(who, StudyRef(uid(mine.study)))) == 1
    questions: list[Ref] = [ref, StudyRef(ref.study), SeriesRef(ref.study, ref.series)]
    for question in questions:
        with pytest.raises(NotFound):
            archive.retrieve.instances(who, question)
        with pytest.raises(NotFound):
            archive.retrieve.metadata(who, question)
    with pytest.raises(NotFound):
        archive.retrieve.pieces.frames(who, ref, [1], None)


def test_the_whole_of_a_study_of_which_a_part_is_seen_is_not_permitted(archive: Archive) -> None:
    first = store(archive, factories.ct(1, 1, 1))
    store(archive, factories.ct(1, 2, 1))
    who = guest(series=frozenset({SeriesRef(first.study, first.series)}))
    with pytest.raises(NotPermitted):
        archive.retrieve.instances(who, StudyRef(first.study))
    with pytest.raises(NotPermitted):
        archive.retrieve.metadata(who, StudyRef(first.study))
    assert len(archive.retrieve.instances(who, SeriesRef(first.study, first.series))) == 1


def test_who_may_not_retrieve_is_told_so(archive: Archive) -> None:
    ref = store(archive, factories.ct())
    sender = dataclasses.replace(archive.who, actions=frozenset({Action.STORE}))
    with pytest.raises(NotPermitted):
        archive.retrieve.pieces.frames(sender, ref, [1], None)


def test_a_damaged_segment_is_never_served(archive: Archive) -> None:
    made = factories.ct(rows=300, columns=300)
    ref = store(archive, made)
    (path,) = archive.settings.data.glob("blobs/b/*/*/*.vnb")
    sealed = bytearray(path.read_bytes())
    sealed[len(sealed) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(sealed)
    with pytest.raises(Corrupt):
        data(archive.retrieve.pieces.frames(archive.who, ref, [1], None)[0])
    (located,) = archive.retrieve.instances(archive.who, ref)
    with pytest.raises(Corrupt):
        data(archive.retrieve.forms.part10(located, EXPLICIT))
