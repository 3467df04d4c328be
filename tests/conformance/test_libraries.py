"""What other libraries make and read: highdicom's segmentations and reports, wsidicom's slides."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid
from wsidicom import WsiDicom, WsiDicomWebClient

from tests.conftest import TestPostgres
from tests.dicom.corpus import read, shared
from tests.web.conftest import Site, serving

SLIDES = shared() / "data" / "dicom" / "wsi"
MAKER: dict[str, Any] = {
    "series_number": 9,
    "instance_number": 1,
    "manufacturer": "Maker",
}


@pytest.fixture(scope="module")
def site(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(postgres, tmp_path_factory.mktemp("archive")) as found:
        yield found


def slices(count: int) -> list[pydicom.Dataset]:
    """A CT series of new UIDs from pydicom's own slice, 5 mm apart, as tomography is."""
    path = get_testdata_file("CT_small.dcm", download=False)
    assert path is not None
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    made = []
    for number in range(count):
        ds = pydicom.dcmread(str(path))
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.InstanceNumber = number + 1
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-100.0, -100.0, 5.0 * number]
        made.append(ds)
    return made


def stored_and_back(site: Site, source: list[pydicom.Dataset], made: Any) -> bytes:
    """Store the images and what was made of them; give the latter as it comes back."""
    client = DICOMwebClient(site.root)
    answer = client.store_instances([*source, made])
    assert len(answer.ReferencedSOPSequence) == len(source) + 1
    found = client.search_for_instances(
        search_filters={"StudyInstanceUID": made.StudyInstanceUID, "SOPClassUID": made.SOPClassUID}
    )
    assert [one["00080018"]["Value"] for one in found] == [[made.SOPInstanceUID]]
    path = f"/studies/{made.StudyInstanceUID}/series/{made.SeriesInstanceUID}"
    back = site.get(
        f"{path}/instances/{made.SOPInstanceUID}", "application/dicom; transfer-syntax=*"
    )
    assert back.status_code == 200, back.text
    written = io.BytesIO()
    made.save_as(written)
    assert read(back.content).dataset == read(written.getvalue()).dataset
    return back.content


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        ("BINARY", "1.2.840.10008.1.2.1"),
        ("FRACTIONAL", "1.2.840.10008.1.2.1"),
        ("FRACTIONAL", "1.2.840.10008.1.2.5"),
        ("FRACTIONAL", "1.2.840.10008.1.2.4.90"),
        ("LABELMAP", "1.2.840.10008.1.2.1"),
    ],
)
def test_a_segmentation_of_highdicom_goes_round(site: Site, kind: str, syntax: str) -> None:
    source = slices(4)
    rows, columns = source[0].Rows, source[0].Columns
    mask = np.zeros((len(source), rows, columns), np.uint8)
    mask[1:3, 10:30, 20:50] = 1
    pixels = mask.astype(np.float32) * 0.5 if kind == "FRACTIONAL" else mask
    described = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="liver",
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type="MANUAL",
    )
    made = hd.seg.Segmentation(
        source_images=source,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[described],
        series_instance_uid=generate_uid(),
        sop_instance_uid=generate_uid(),
        manufacturer_model_name="Model",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=syntax,
        **MAKER,
    )
    back = hd.seg.segread(io.BytesIO(stored_and_back(site, source, made)))
    uids = [one.SOPInstanceUID for one in source]
    how: dict[str, Any] = {"combine_segments": False, "ignore_spatial_locations": True}
    theirs, ours = (
        seg.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True, **how)
        for seg in (made, back)
    )
    np.testing.assert_array_equal(ours, theirs)
    assert ours.any()
    assert back.get_segment_description(1).segment_label == "liver"
    assert sorted(uid for *_, uid in back.get_source_image_uids()) == sorted(uids)


def test_the_frames_of_a_segmentation_are_its_bits(site: Site) -> None:
    """PS3.18 10.4.1.1.6: one-bit frames, each from bit 0 on."""
    source = slices(3)
    mask = np.random.default_rng(5).integers(0, 2, (3, 128, 128), np.uint8)
    described = hd.seg.SegmentDescription(
        1, "liver", codes.SCT.Organ, codes.SCT.Liver, algorithm_type="MANUAL"
    )
    made = hd.seg.Segmentation(
        source,
        mask,
        "BINARY",
        [described],
        generate_uid(),
        sop_instance_uid=generate_uid(),
        manufacturer_model_name="Model",
        software_versions="1",
        device_serial_number="1",
        **MAKER,
    )
    stored_and_back(site, source, made)
    client = DICOMwebClient(site.root)
    frames = client.retrieve_instance_frames(
        made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID, [1, 2, 3]
    )
    got = [np.unpackbits(np.frombuffer(one, np.uint8), bitorder="little") for one in frames]
    np.testing.assert_array_equal(np.reshape(got, (3, 128, 128)), made.pixel_array)


def test_a_report_of_highdicom_goes_round(site: Site) -> None:
    source = slices(2)
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(
            name="Reader^Ruth"
        ),
    )
    region = hd.sr.ImageRegion(
        graphic_type="CIRCLE",
        graphic_data=np.array([[50.0, 50.0], [60.0, 50.0]]),
        source_image=hd.sr.SourceImageForRegion(source[0].SOPClassUID, source[0].SOPInstanceUID),
    )
    tracking = generate_uid()
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=tracking, identifier="lesion 1"),
        referenced_region=region,
        finding_type=codes.SCT.Neoplasm,
        measurements=[
            hd.sr.Measurement(name=codes.SCT.Diameter, value=10.5, unit=codes.UCUM.Millimeter)
        ],
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
    )
    made = hd.sr.Comprehensive3DSR(
        evidence=source,
        content=report,
        series_instance_uid=generate_uid(),
        sop_instance_uid=generate_uid(),
        **MAKER,
    )
    back = hd.sr.srread(io.BytesIO(stored_and_back(site, source, made)))
    (found,) = back.content.get_planar_roi_measurement_groups(tracking_uid=tracking)
    (measured,) = found.get_measurements(name=codes.SCT.Diameter)
    assert (measured.value, measured.unit) == (10.5, codes.UCUM.Millimeter)
    np.testing.assert_array_equal(found.roi.value, region.value)
    page = site.get(
        f"/studies/{made.StudyInstanceUID}/series/{made.SeriesInstanceUID}"
        f"/instances/{made.SOPInstanceUID}/rendered",
        "text/html",
    )
    assert "10.5" in page.text


class Slides(WsiDicomWebClient):
    """wsidicom's client, its frames as bytes.

    dicomweb-client gives byte arrays, which pydicom takes for a list of numbers where it is given
    one as uncompressed Pixel Data.
    """

    def get_frames(self, *args: Any, **named: Any) -> Iterator[bytes]:
        return map(bytes, super().get_frames(*args, **named))


@pytest.mark.filterwarnings(
    "ignore:No bulk data URI handler"
)  # wsidicom asks for no bulk data here
@pytest.mark.parametrize(
    "name",
    [
        "sm_image_jpegls",
        "sm_image",
        "sm_image_numbers",
        "sm_image_grayscale",
        "sm_image_jpegls_nobot",
    ],
)
def test_a_slide_is_read_over_the_web_as_from_its_file(site: Site, name: str) -> None:
    path = SLIDES / f"{name}.dcm"
    if not path.is_file():
        pytest.skip("the shared samples are not here")
    assert site.store(path.read_bytes()).status_code in (200, 202)
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    address, _, prefix = site.root.removeprefix("http://").partition("/")
    client = Slides.create_client(f"http://{address}", qido_prefix=prefix, wado_prefix=prefix)
    with (
        WsiDicom.open(path) as file,
        WsiDicom.open_web(
            client,
            ds.StudyInstanceUID,
            ds.SeriesInstanceUID,
            requested_transfer_syntax=ds.file_meta.TransferSyntaxUID,
        ) as web,
    ):
        assert web.size == file.size
        for corner, size in [((0, 0), (50, 50)), ((7, 13), (21, 30))]:
            wanted = np.asarray(file.read_region(corner, 0, size))
            np.testing.assert_array_equal(np.asarray(web.read_region(corner, 0, size)), wanted)
