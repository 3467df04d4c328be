"""Strangers' DICOMweb clients against an archive as it is served: the npm and the Python one."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file

from tests.flows.serving import Serving

NPM = Path(__file__).parent / "npm"
BY_NPM = ("CT_small.dcm", "MR_small.dcm")
BY_PYTHON = ("examples_overlay.dcm",)


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    """One archive for both clients; each brings its own studies."""
    folder = Path(tempfile.mkdtemp(prefix="vna-clients-"))
    folder.chmod(0o755)
    serving = Serving(folder / "data", {"VNA_BLOBS_FREE_BYTES": "0"})
    try:
        serving.start()
        yield serving
    finally:
        serving.stop()
        shutil.rmtree(folder)


def own(name: str) -> Path:
    """One of pydicom's own files."""
    found = get_testdata_file(name, download=False)
    assert found is not None
    return Path(str(found))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_npm_client_stores_searches_retrieves_and_renders(served: Serving) -> None:
    node = shutil.which("node")
    assert node is not None, "the tests need Node: run `make tools`"
    assert (NPM / "node_modules").is_dir(), "the tests need the npm clients: run `make tools`"
    paths = [own(name) for name in BY_NPM]
    root = f"http://127.0.0.1:{served.http}/dicom-web"
    done = subprocess.run(
        [node, str(NPM / "client.mjs"), root, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    assert told["studies"] >= len(paths)
    assert (told["none"], told["refusal"]) == ([], 404)
    found = {one["uid"]: one for one in told["found"]}
    for path in paths:
        ds = pydicom.dcmread(path)
        one = found[ds.SOPInstanceUID]
        assert (one["inSeries"], one["inSeriesMetadata"]) == (1, 1)
        assert one["whole"] == sha256(path.read_bytes())
        assert one["frame"] == one["bulk"] == sha256(ds.PixelData)
        assert one["name"] == str(ds.PatientName)
        assert one["heads"][0] == "89504e47"  # PNG
        assert [head[:4] for head in one["heads"][1:]] == ["ffd8", "ffd8"]  # JPEG
        pixels = imagecodecs.jpegls_decode(b64decode(one["compressed"]))
        assert np.array_equal(pixels.view(ds.pixel_array.dtype), ds.pixel_array)


def test_the_python_client_stores_searches_retrieves_and_renders(served: Serving) -> None:
    datasets = [pydicom.dcmread(own(name)) for name in BY_PYTHON]
    client = DICOMwebClient(f"http://127.0.0.1:{served.http}/dicom-web")
    answer = client.store_instances(datasets)
    assert len(answer.ReferencedSOPSequence) == len(datasets)
    found = client.search_for_instances(fields=["StudyDescription"])
    assert {one["00080018"]["Value"][0] for one in found} >= {ds.SOPInstanceUID for ds in datasets}
    assert client.search_for_studies(search_filters={"PatientID": "nobody of that name"}) == []
    for ds in datasets:
        uids = ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID
        (listed,) = client.search_for_series(uids[0])
        assert listed["0020000E"]["Value"] == [uids[1]]
        back = client.retrieve_instance(*uids)
        assert back.keys() == ds.keys()
        assert (back.PatientName, back.PixelData) == (ds.PatientName, ds.PixelData)
        described = pydicom.Dataset.from_json(
            client.retrieve_instance_metadata(*uids), lambda *_: b""
        )
        assert described.PatientName == ds.PatientName
        assert client.retrieve_instance_frames(*uids, [1]) == [ds.pixel_array.tobytes()]
        picture = client.retrieve_instance_rendered(*uids, media_types=("image/png",))
        assert imagecodecs.png_decode(picture).shape[:2] == ds.pixel_array.shape[:2]
        copy = client.retrieve_instance(
            *uids, media_types=(("application/dicom", "1.2.840.10008.1.2.4.90"),)
        )
        assert copy.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.90"
        assert np.array_equal(copy.pixel_array, ds.pixel_array)
