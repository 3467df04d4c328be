"""The rendering pipeline against pydicom's own processing, pixel by pixel."""

from __future__ import annotations

import base64
import copy
import io
import math
import warnings
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import orjson
import PIL.Image
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import (
    apply_color_lut,
    apply_modality_lut,
    apply_voi_lut,
    convert_color_space,
)

from tests.pixels.images import Image, expected, image, paths
from vna.pixels.colour import to_rgb
from vna.pixels.decoders import decoded
from vna.pixels.description import FrameSource, PixelDescription
from vna.pixels.faults import Fault
from vna.pixels.grey import stored_window
from vna.pixels.looks import Looks, for_image, looks, state_of, under
from vna.pixels.render import rendered, shown
from vna.pixels.rendering import Function, Profile, Rendering, Window

Array = NDArray[Any]
EXPLICIT = "1.2.840.10008.1.2.1"
HOW = Rendering()


def looks_of(found: Image) -> Looks:
    """What decides the looks of a sample, its large values as pydicom has them."""
    dataset = found.dataset()

    def fetch(uri: str) -> bytes:
        inside: Any = dataset
        for step in uri.removeprefix("bulkdata/").split("."):
            inside = inside[int(step) - 1] if len(step) < 8 else inside[int(step, 16)].value
        if isinstance(inside, bytes) and not dataset.original_encoding[1]:
            inside = np.frombuffer(inside, ">u2").astype("<u2").tobytes()
        return bytes(inside)

    return looks(found.members, fetch)


def picture(found: Image, number: int, window: Window | None = None) -> Array:
    frame = found.frames[number - 1]
    array, photometric = decoded(frame)
    members = looks_of(found).of_frame(number)
    return shown(array, photometric, frame, members, Rendering(window=window))


def flat(found: Image, number: int) -> Dataset:
    """The data set with the functional groups of one frame at its top, as pydicom wants it."""
    dataset = copy.deepcopy(found.dataset())
    for group in (
        *dataset.get("SharedFunctionalGroupsSequence", []),
        *dataset.get("PerFrameFunctionalGroupsSequence", [])[number - 1 : number],
    ):
        for name in ("FrameVOILUTSequence", "PixelValueTransformationSequence"):
            for item in group.get(name, []):
                dataset.update(item)
    return dataset


def close_to(got: Array, level: Array) -> None:
    """Compare 8 bits with exact levels: what lies on the border of two may be either."""
    wanted = np.floor(level + 0.5)
    on_border = np.abs(level + 0.5 - np.round(level + 0.5)) < 1e-6
    differs = got.astype(int) != wanted.astype(int)
    assert not (differs & ~on_border).any()
    assert np.abs(got.astype(int) - wanted)[on_border].max(initial=0) <= 1


GREY = ("MONOCHROME1", "MONOCHROME2")


def grey_paths() -> list[Path]:
    found = [opened(path) for path in paths()]
    grey = [one for one in found if one.description.photometric in GREY]
    return [one.path for one in grey if "00281101" not in one.members]


def opened(path: Path) -> Image:
    found = image(path)
    assert found is not None
    return found


def by_pydicom(found: Image, array: Array, dataset: Dataset) -> tuple[Array, float, float] | None:
    """What pydicom makes of grey values, and between which ends they lie."""
    if dataset.get("VOILUTSequence") is None and stored_window(found.members) is None:
        first = looks_of(found).of_frame(1)
        if stored_window(orjson.loads(first)) is None:
            return None
    values = apply_modality_lut(array, dataset)
    if sequence := dataset.get("VOILUTSequence"):
        top = 2 ** sequence[0].LUTDescriptor[2] - 1
        return apply_voi_lut(values, dataset), 0.0, float(top)
    bits, signed = dataset.BitsStored, dataset.PixelRepresentation
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    ends = [float(low), float(high)]
    if dataset.get("ModalityLUTSequence"):
        ends = [0.0, float(2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1)]
    if "RescaleSlope" in dataset and "RescaleIntercept" in dataset:
        ends = [end * dataset.RescaleSlope + dataset.RescaleIntercept for end in ends]
    return apply_voi_lut(values, dataset), ends[0], ends[1]


@pytest.mark.parametrize("path", grey_paths(), ids=lambda path: path.name)
def test_grey_values_are_shown_as_pydicom_computes_them(path: Path) -> None:
    found = opened(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = expected(found, 1, raw=True)
        try:
            dataset = flat(found, 1)
            computed = None if raw is None else by_pydicom(found, raw[0], dataset)
        except (OSError, ValueError, NotImplementedError, KeyError, AttributeError):
            computed = None  # a window or table pydicom does not take
    if raw is None or computed is None:
        pytest.skip("pydicom does not decode it, or it says nothing of its looks")
    values, low, high = computed
    level = np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255
    got = picture(found, 1)
    padding = dataset.get("PixelPaddingValue")
    if found.description.photometric == "MONOCHROME1":
        got = 255 - got
    if padding is not None:
        mask = found.dataset().BitsAllocated
        inside = raw[0].astype(int) % 2**mask != int(padding) % 2**mask
        assert (picture(found, 1)[~inside] == 0).all()
        got, level = got[inside], level[inside]
    close_to(got, level)


COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "PALETTE COLOR")


@pytest.mark.parametrize(
    "path",
    [p for p in paths() if opened(p).description.photometric in COLOUR],
    ids=lambda path: path.name,
)
def test_colours_are_shown_as_pydicom_computes_them(path: Path) -> None:
    found = opened(path)
    wanted = expected(found, 1, raw=False)
    if wanted is None:
        pytest.skip("pydicom does not decode it")
    array = wanted[0]
    if found.description.photometric == "PALETTE COLOR":
        dataset = found.dataset()
        if not dataset.original_encoding[1]:  # pydicom reads palettes in the machine's byte order
            for colour in ("Red", "Green", "Blue"):
                name = f"{colour}PaletteColorLookupTableData"
                if name in dataset:
                    turned = np.frombuffer(dataset[name].value, ">u2").astype("<u2")
                    setattr(dataset, name, turned.tobytes())
        array = apply_color_lut(array, dataset)
        spare = array.dtype.itemsize * 8 - 8
    else:
        spare = max(found.description.bits_stored - 8, 0)
    np.testing.assert_array_equal(picture(found, 1), (array >> spare).astype(np.uint8))


# ---- what no sample has: made by hand ----------------------------------------------------------


def made(array: Array, bits_stored: int | None = None, **more: Any) -> FrameSource:
    size = array.dtype.itemsize * 8
    description = PixelDescription(
        rows=array.shape[0],
        columns=array.shape[1],
        bits_allocated=size,
        bits_stored=bits_stored or size,
        is_signed=array.dtype.kind == "i",
        floating=array.dtype.kind == "f",
        **more,
    )
    return FrameSource(transfer_syntax=EXPLICIT, data=array.tobytes(), description=description)


def dataset_of(frame: FrameSource, **values: Any) -> Dataset:
    dataset = Dataset()
    about = frame.description
    dataset.BitsStored, dataset.BitsAllocated = about.bits_stored, about.bits_allocated
    dataset.PixelRepresentation = int(about.is_signed)
    dataset.PhotometricInterpretation = about.photometric
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def show(frame: FrameSource, dataset: Dataset, window: Window | None = None) -> Array:
    members = looks(dataset.to_json_dict(), lambda uri: b"").of_frame(1)
    array, photometric = decoded(frame)
    return shown(array, photometric, frame, members, Rendering(window=window))


RAMPS = {
    "unsigned 16": np.arange(65536, dtype="<u2").reshape(256, 256),
    "signed 16": np.arange(65536, dtype="<u2").view("<i2").reshape(256, 256),
    "unsigned 8": np.arange(256, dtype="u1").reshape(16, 16),
    "signed 8": np.arange(256, dtype="u1").view("i1").reshape(16, 16),
    "unsigned 32": np.arange(0, 40000 * 100003, 100003, dtype="<u4").reshape(200, 200),
    "signed 32": (np.arange(40000, dtype="<i4") - 20000).reshape(200, 200),
}


@pytest.mark.parametrize("function", list(Function))
@pytest.mark.parametrize("slope", [1.0, 0.1, 7.25, -2.0])
@pytest.mark.parametrize("ramp", RAMPS)
def test_windows_of_every_function_are_pydicoms(ramp: str, slope: float, function: str) -> None:
    frame = made(RAMPS[ramp].copy())
    for center, width in ((40.0, 400.0), (-10.5, 1.0), (127.25, 2.5), (30000.0, 65535.0)):
        dataset = dataset_of(
            frame,
            RescaleSlope=slope,
            RescaleIntercept=-1024.0,
            WindowCenter=center,
            WindowWidth=width,
            VOILUTFunction=str(function),
        )
        with np.errstate(over="ignore"):
            values = apply_voi_lut(apply_modality_lut(RAMPS[ramp], dataset), dataset)
        bits, signed = frame.description.bits_stored, frame.description.is_signed
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        low, high = low * slope - 1024, high * slope - 1024
        close_to(show(frame, dataset), np.clip((values - low) / (high - low), 0, 1) * 255)
        asked = Window(center=center, width=width, function=Function(function))
        bare = dataset_of(frame, RescaleSlope=slope, RescaleIntercept=-1024.0)
        np.testing.assert_array_equal(show(frame, bare, asked), show(frame, dataset))


def lut(first: int, bits: int, entries: list[int]) -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return [item]


@pytest.mark.parametrize("first", [0, 100, -100])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_modality_and_voi_tables_are_pydicoms(first: int, bits: int) -> None:
    ramp = RAMPS["signed 16" if first < 0 else "unsigned 16"]
    frame = made(ramp.copy())
    entries = [(n * n) % 2**bits for n in range(500)]
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        depth = bits if name == "VOILUTSequence" or bits in (8, 16) else 16
        dataset = dataset_of(frame, **{name: lut(first, depth, entries)})
        if name == "ModalityLUTSequence":
            values = apply_modality_lut(np.clip(ramp, -32000, 32000), dataset)
            top = 2**depth - 1
            dataset.WindowCenter, dataset.WindowWidth = top / 2 + 0.5, top + 1.0
        else:
            # past the table pydicom counts in 16 bits and wraps round: only the table is compared
            values = apply_voi_lut(ramp, dataset)
            top = 2**bits - 1
        near = (ramp >= first) & (ramp < first + 500)
        close_to(show(frame, dataset)[near], values[near].astype(float) / top * 255)
        past = show(frame, dataset)[ramp >= first + 500]
        assert len(np.unique(past)) == 1


@pytest.mark.parametrize("name", ["ModalityLUTSequence", "VOILUTSequence"])
def test_the_first_value_of_a_table_is_signed_only_where_the_pixels_are(name: str) -> None:
    """PS3.3 C.11.1.1.1, C.11.2.1.1: of unsigned pixels it may lie beyond 32767."""
    frame = made(np.arange(39999, 40004, dtype="<u2").reshape(1, 5))
    dataset = dataset_of(frame, **{name: lut(40000, 8, [10, 200, 30, 255])})
    window = Window(center=128, width=256) if name == "ModalityLUTSequence" else None
    assert show(frame, dataset, window).tolist() == [[10, 10, 200, 30, 255]]


def test_the_first_of_several_windows_is_used_and_a_bad_one_is_passed_over() -> None:
    frame = made(RAMPS["unsigned 16"].copy())
    several = dataset_of(frame, WindowCenter=[100, 200], WindowWidth=[50, 60])
    first = Window(center=100, width=50)
    np.testing.assert_array_equal(show(frame, several), show(frame, dataset_of(frame), first))
    bad = dataset_of(frame, WindowCenter=[100, 200], WindowWidth=[0, 60])
    second = Window(center=200, width=60)
    np.testing.assert_array_equal(show(frame, bad), show(frame, dataset_of(frame), second))


@pytest.mark.parametrize("function", [Function.LINEAR_EXACT, Function.SIGMOID])
def test_a_window_narrower_than_one_is_used_where_its_function_allows_it(function: str) -> None:
    """PS3.3 C.11.2.1.3: greater than 0; only LINEAR wants 1 (C.11.2.1.2.1)."""
    frame = made(np.arange(1000, dtype="<u2").reshape(20, 50), bits_stored=10)
    scale = {"RescaleSlope": 0.001, "RescaleIntercept": 0.0}
    window = {"WindowCenter": 0.5, "WindowWidth": 0.25, "VOILUTFunction": str(function)}
    asked = Window(center=0.5, width=0.25, function=Function(function))
    wanted = show(frame, dataset_of(frame, **scale), asked)
    np.testing.assert_array_equal(show(frame, dataset_of(frame, **scale, **window)), wanted)
    narrow = dataset_of(frame, **scale, **window | {"VOILUTFunction": "LINEAR"})
    np.testing.assert_array_equal(show(frame, narrow), show(frame, dataset_of(frame, **scale)))


def test_without_a_window_deep_images_are_spread_from_least_to_largest() -> None:
    ramp = np.linspace(500, 1500, 64 * 64).astype("<u2").reshape(64, 64)
    frame = made(ramp, bits_stored=12)
    got = show(frame, dataset_of(frame))
    level = (ramp.astype(float) - ramp.min()) / (ramp.max() - ramp.min()) * 255
    close_to(got, level)
    padded = dataset_of(frame, PixelPaddingValue=1500)
    rest = ramp < 1500
    level = (ramp.astype(float) - 500) / (ramp[rest].max() - 500) * 255
    got = show(frame, padded)
    close_to(got[rest], level[rest])
    assert (got[~rest] == 0).all()


def test_what_lies_in_the_unused_bits_does_not_stretch_a_deep_image() -> None:
    """PS3.5 8.1.1: they may hold overlays, and are no part of the value."""
    ramp = np.linspace(500, 1500, 64 * 64).astype("<u2").reshape(64, 64)
    drawn = ramp | (np.arange(64 * 64) % 2 << 15).astype("<u2").reshape(64, 64)
    plain, marked = made(ramp, bits_stored=12), made(drawn, bits_stored=12)
    wanted = show(plain, dataset_of(plain))
    np.testing.assert_array_equal(show(marked, dataset_of(marked)), wanted)


def test_a_modality_table_is_spread_between_its_least_and_largest_value_in_the_image() -> None:
    """They need not be those of the least and the largest stored value (PS3.3 C.11.1.1)."""
    frame = made(np.array([[0, 1, 2]], "<u2"))
    dataset = dataset_of(frame, ModalityLUTSequence=lut(0, 16, [0, 1000, 100]))
    assert show(frame, dataset).tolist() == [[0, 255, 26]]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", ["IDENTITY", "INVERSE"])
def test_the_shape_of_a_presentation_state_alone_decides_what_is_white(
    photometric: str, shape: str
) -> None:
    """PS3.4 N.2.1.4: MONOCHROME1 of the image is not turned a second time."""
    ramp = RAMPS["unsigned 8"]
    frame = made(ramp, photometric=photometric)
    state = {"20500020": {"vr": "CS", "Value": [shape]}}
    members = orjson.dumps(under(dataset_of(frame).to_json_dict(), state))
    got = shown(ramp, photometric, frame, members, Rendering())
    np.testing.assert_array_equal(got, ramp if shape == "IDENTITY" else 255 - ramp)


def test_eight_bits_without_a_window_are_shown_as_they_are() -> None:
    ramp = RAMPS["unsigned 8"]
    np.testing.assert_array_equal(show(made(ramp), dataset_of(made(ramp))), ramp)


def test_the_least_value_of_monochrome1_is_white_and_its_padding_black() -> None:
    ramp = RAMPS["unsigned 8"]
    frame = made(ramp, photometric="MONOCHROME1")
    dataset = dataset_of(frame, PixelPaddingValue=0, PixelPaddingRangeLimit=9)
    got = show(frame, dataset).reshape(-1)
    assert got[:10].tolist() == [0] * 10
    np.testing.assert_array_equal(got[10:], 255 - ramp.reshape(-1)[10:])


def test_padding_of_signed_pixels_may_be_told_unsigned() -> None:
    ramp = np.array([[-2000, -1999, 0, 2000]], "<i2")
    frame = made(ramp)
    members = {"00280120": {"vr": "US", "Value": [63536]}, "00281050": {"vr": "DS", "Value": [0]}}
    members["00281051"] = {"vr": "DS", "Value": [10.0]}
    array, photometric = decoded(frame)
    got = shown(array, photometric, frame, orjson.dumps(members), HOW)
    assert got.tolist()[0][0] == 0


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
def test_floating_pixels_are_spread_and_what_is_no_number_is_black(kind: str) -> None:
    values = np.array([[0.0, 0.5, 1.0, math.nan, math.inf]], kind)
    frame = made(values)
    got = show(frame, dataset_of(frame))
    assert got.tolist()[0][:4] == [0, 128, 255, 0]
    windowed = show(
        frame, dataset_of(frame), Window(center=0.5, width=1, function=Function.LINEAR_EXACT)
    )
    assert windowed.tolist()[0][:3] == [0, 128, 255]


@pytest.mark.parametrize("vr", ["OW", "US", "SS"])
def test_c_11_2_1_1_a_table_whose_vr_is_signed_has_unsigned_entries(vr: str) -> None:
    frame = made(np.array([[-20000, -10000, 0, 19999]], "<i2"))
    entries = np.linspace(65535, 0, 40000).astype("<u2")
    data = {"vr": vr, "Value": entries.view("<i2" if vr == "SS" else "<u2").tolist()}
    if vr == "OW":
        data = {"vr": vr, "InlineBinary": base64.b64encode(entries.tobytes()).decode()}
    item = {
        "00283002": {"vr": "SS", "Value": [40000 - (1 << 16), -20000, 16]},
        "00283006": data,
    }
    array, photometric = decoded(frame)
    members = orjson.dumps({"00283010": {"vr": "SQ", "Value": [item]}})
    got = shown(array, photometric, frame, members, HOW)
    assert got.tolist() == [[255, 191, 127, 0]]


@pytest.mark.parametrize(
    ("kind", "tags"), [("<f4", ("00280122", "00280124")), ("<f8", ("00280123", "00280125"))]
)
def test_c_7_6_24_padding_of_floating_pixels_is_black_and_spreads_nothing(
    kind: str, tags: tuple[str, str]
) -> None:
    frame = made(np.array([[-9999.5, -9000.0, 1.0, 1.5, 2.0]], kind))
    ends = dict(zip(tags, (-9999.5, -9000.0), strict=True))
    padding = {tag: {"vr": "FD", "Value": [end]} for tag, end in ends.items()}
    other = {"00280120": {"vr": "US", "Value": [2]}}  # of integers
    array, photometric = decoded(frame)
    members = looks(padding | other, lambda _: b"").of_frame(1)
    got = shown(array, photometric, frame, members, HOW)
    assert got.tolist() == [[0, 0, 0, 128, 255]]


def test_c_7_5_1_1_2_padding_of_wide_pixels_spreads_nothing() -> None:
    frame = made(np.array([[60000, 100, 200, 300]], "<u4"))
    got = show(frame, dataset_of(frame, PixelPaddingValue=60000))
    assert got.tolist() == [[0, 0, 128, 255]]


def test_luma_and_chroma_become_rgb_as_pydicom_rounds_but_for_ties() -> None:
    chroma = np.stack(np.meshgrid(np.arange(256), np.arange(256), indexing="ij"), -1)
    ties = 0
    for luma in range(0, 256, 17):
        cells = np.concatenate([np.full((256, 256, 1), luma), chroma], -1).astype("u1")
        differs = to_rgb(cells, "YBR_FULL").astype(int) - convert_color_space(
            cells, "YBR_FULL", "RGB"
        )
        assert np.abs(differs).max() <= 1
        ties += int((differs != 0).sum())
    assert ties < 10  # of three million


def test_a_supplemental_palette_lies_over_grey() -> None:
    ramp = np.array([[0, 100, 200, 201]], "u1")
    frame = made(ramp)
    dataset = dataset_of(frame, PixelPresentation="COLOR")
    for number, colour in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [2, 200, 16])
        data = np.array([0xFF00 * (number == 0), 0xFF00 * (number == 1)], "<u2").tobytes()
        setattr(dataset, f"{colour}PaletteColorLookupTableData", data)
    got = show(frame, dataset)
    assert got[0].tolist() == [[0, 0, 0], [100, 100, 100], [255, 0, 0], [0, 255, 0]]


def test_a_segmented_palette_is_expanded() -> None:
    ramp = np.arange(8, dtype="u1").reshape(1, 8)
    frame = made(ramp, photometric="PALETTE COLOR")
    dataset = dataset_of(frame)
    # two discrete entries, three on a line to 10, then the first segment again
    data = np.array([0, 2, 4 << 8, 6 << 8, 1, 3, 12 << 8, 2, 1, 0, 0, 0], "<u2")
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [7, 0, 16])
        setattr(dataset, f"Segmented{colour}PaletteColorLookupTableData", data[:10].tobytes())
    got = show(frame, dataset)
    wanted = [4, 6, 8, 10, 12, 4, 6, 6]
    assert got[0, :, 0].tolist() == wanted


@pytest.mark.parametrize("bits", [8, 16])
def test_an_indirect_segment_is_found_by_its_offset_in_bytes(bits: int) -> None:
    """PS3.3 C.7.9.2.3: 32 bits from the beginning of the table, whatever an entry takes."""
    frame = made(np.arange(6, dtype="u1").reshape(1, 6), photometric="PALETTE COLOR")
    dataset = dataset_of(frame)
    shift, first = bits - 8, [0, 2, 4, 6]
    second = [0, 2, 8, 10]
    cells = [*first[:2], *(n << shift for n in first[2:])]
    cells += [*second[:2], *(n << shift for n in second[2:])]
    cells += [2, 1, *([4, 0, 0, 0] if bits == 8 else [8, 0])]  # the second of them once more
    data = np.array(cells, f"<u{bits // 8}").tobytes()
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [6, 0, bits])
        setattr(dataset, f"Segmented{colour}PaletteColorLookupTableData", data)
    assert show(frame, dataset)[0, :, 0].tolist() == [4, 6, 8, 10, 8, 10]


def test_a_palette_of_a_grey_image_that_does_not_ask_for_it_is_not_laid_over_it() -> None:
    """Pixel Presentation (0008,9205) says whether colour is to be shown."""
    frame = made(np.array([[0, 100, 200, 201]], "u1"))
    dataset = dataset_of(frame, PixelPresentation="MONOCHROME")
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [2, 200, 16])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", b"\0\xff\0\0")
    assert show(frame, dataset).tolist() == [[0, 100, 200, 201]]


@pytest.mark.parametrize(
    ("image", "number", "wanted"),
    [
        ("1.2", 1, ["of 1.2", "of all"]),
        ("1.3", 1, ["of all"]),
        ("1.3", 3, ["of 1.3", "of all"]),
        ("1.4", 3, ["of all"]),
    ],
)
def test_a_presentation_state_says_something_of_the_images_and_frames_it_names(
    image: str, number: int, wanted: list[str]
) -> None:
    """PS3.3 C.10.4, C.10.5, C.11.8: Referenced Image Sequence, and all of them without one."""

    def about(uid: str, *frames: int) -> dict[str, Any]:
        named = {"00081155": {"vr": "UI", "Value": [uid]}}
        if frames:
            named["00081160"] = {"vr": "IS", "Value": list(frames)}
        return {"00081140": {"vr": "SQ", "Value": [named]}, **marked(f"of {uid}")}

    def marked(text: str) -> dict[str, Any]:
        return {tag: {"vr": "LO", "Value": [text]} for tag in ("00700002", "00281056")}

    told = {"vr": "SQ", "Value": [about("1.2"), about("1.3", 2, 3), marked("of all")]}
    found = for_image(dict.fromkeys(("0070005A", "00700001", "00283110"), told), image, number)
    for tag in ("0070005A", "00700001"):
        assert [one["00700002"]["Value"][0] for one in found[tag]["Value"]] == wanted
    assert found["00281056"]["Value"] == wanted[:1]


def test_frames_have_the_windows_of_their_functional_groups() -> None:
    window = {"00281050": {"vr": "DS", "Value": [10]}, "00281051": {"vr": "DS", "Value": [20]}}
    own = {"00281050": {"vr": "DS", "Value": [100]}, "00281051": {"vr": "DS", "Value": [50]}}

    def group(inside: dict[str, Any]) -> dict[str, Any]:
        return {"00289132": {"vr": "SQ", "Value": [inside]}}

    members = {
        "52009229": {"vr": "SQ", "Value": [group(window)]},
        "52009230": {"vr": "SQ", "Value": [{}, group(own)]},
    }
    found = looks(members, lambda uri: b"")
    assert stored_window(orjson.loads(found.of_frame(1))) == Window(center=10, width=20)
    assert stored_window(orjson.loads(found.of_frame(2))) == Window(center=100, width=50)


def test_c_8_12_5_a_slide_has_the_colours_of_its_optical_path() -> None:
    profile = bytes(imagecodecs.cms_profile("adobergb"))
    uri = "bulkdata/00480105.1.00282000"
    path = {"00282000": {"vr": "OB", "BulkDataURI": uri}}
    members = looks(
        {"00480105": {"vr": "SQ", "Value": [path]}}, lambda asked: profile if asked == uri else b""
    ).of_frame(1)
    frame = made(np.full((4, 4, 3), (200, 20, 20), "u1"), photometric="RGB", samples=3)
    own = png(rendered(frame, Rendering(media="image/png", profile=Profile.YES), members, 1))
    converted = rendered(frame, Rendering(media="image/png", profile=Profile.SRGB), members, 1)
    assert own.info["icc_profile"] == profile
    assert own.getpixel((0, 0)) == (200, 20, 20)
    assert png(converted).getpixel((0, 0)) != (200, 20, 20)


def png(data: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(data))


def test_a_long_annotation_is_read_in_the_character_set_of_its_state() -> None:
    """PS3.3 C.10.5: 1024 characters of Unformatted Text Value can be more bytes."""
    text = "Ж" * 1000
    line = {"00700006": {"vr": "ST", "BulkDataURI": "bulkdata/1"}}
    annotation = {"00700008": {"vr": "SQ", "Value": [line]}}
    members = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00700001": {"vr": "SQ", "Value": [annotation]},
    }
    found = state_of(members, lambda _: text.encode())
    assert found["00700001"]["Value"][0]["00700008"]["Value"][0]["00700006"]["Value"] == [text]


def test_a_colour_nobody_can_show_is_a_fault() -> None:
    frame = made(np.zeros((2, 2), "u1"), photometric="HSV", samples=1)
    colour = PixelDescription(
        rows=1, columns=1, samples=3, photometric="HSV", bits_allocated=8, bits_stored=8
    )
    source = FrameSource(transfer_syntax=EXPLICIT, data=bytes(3), description=colour)
    assert show(frame, dataset_of(frame)).shape == (2, 2)
    array, photometric = decoded(source)
    with pytest.raises(Fault):
        to_rgb(array, photometric)
