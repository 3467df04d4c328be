"""Every sample file through the archive: in by STOW-RS and C-STORE, out by WADO-RS, nothing lost.

The files are pydicom's own and, where they are, the shared ones. Of several files with one SOP
Instance UID each gets a UID of its own, of the same length, so that nothing else changes.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pydicom
import pytest

from tests.conformance.holdings import dicom_edge
from tests.conftest import TestPostgres
from tests.dicom.corpus import Read, files, read, shared
from tests.dicom.test_corpus import PYDICOM_CANNOT, REFUSED, inflated, theirs_of, unlike
from tests.pixels.images import Image, expected, image
from tests.web.conftest import Site, parts_of, serving
from vna.dicom.uids import syntax
from vna.dimse.scu import Requestor

JSON = "application/dicom+json"
FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1'
DEFLATED = "1.2.840.10008.1.2.1.99"
FILE_SET = "1.2.840.10008.1.3.10"
SHARED = (shared() / "data" / "dicom").is_dir()
LOSSY = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 53, 55, 81, 91, 93, 112, 203)}
TOLERANCE = 2  # steps two decoders of a lossy stream may round apart, colours among them
MANY = 1 << 20  # bytes of decoded frames: of larger images the long test compares every frame


@dataclass(slots=True)
class Sample:
    """One file as it is stored: its bytes, what our reading says of it, and where it then lies."""

    file: Path
    data: bytes
    reading: Read
    path: str = ""

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def uid(self) -> str:
        return str(self.reading.scan.sop_instance)


@dataclass(slots=True)
class Library:
    """An archive with every sample that can be stored in it, and what it refused."""

    site: Site
    kept: list[Sample] = field(default_factory=list)
    refused: list[Sample] = field(default_factory=list)


def samples() -> Iterator[Sample]:
    """Every file outside `bad` that our reading understands, each with a UID of its own."""
    numbers = itertools.count(100)  # all of three digits: none ends as another does
    read_already = [
        (file, file.read_bytes())
        for file in files()
        if file.name not in REFUSED and "bad" not in file.parts
    ]
    theirs = {str(read(data).scan.sop_instance) for _, data in read_already}
    seen: set[str] = set()
    for file, whole in read_already:
        data, reading = whole, read(whole)
        uid = reading.scan.sop_instance
        if uid in seen and reading.meta.transfer_syntax != DEFLATED:
            free = next(new for n in numbers if (new := renumbered(uid, n)) not in theirs | seen)
            data = data.replace(uid.encode(), free.encode())
            reading = read(data)
        seen.add(str(reading.scan.sop_instance))
        yield Sample(file, data, reading)


def renumbered(uid: str, number: int) -> str:
    """Put a number at the end of a UID's longest component; the length stays."""
    longest = max(re.finditer(r"\d+", uid), key=lambda found: len(found[0]))
    at, digits = longest.end(), str(number)
    return uid[: at - len(digits)] + digits + uid[at:]


def test_renumbering_keeps_the_length() -> None:
    assert renumbered("1.2.840.100.12345.1", 17) == "1.2.840.100.12317.1"


def by_stow(site: Site, sample: Sample) -> bool:
    answer = site.store(sample.data)
    assert answer.status_code in (200, 202, 400, 409), (sample.name, answer.text)
    return "00081199" in answer.json()


def by_c_store(port: int, sample: Sample) -> bool:
    meta, scan = sample.reading.meta, sample.reading.scan
    if scan.sop_instance is None or scan.sop_class is None:
        return False  # no command can name it
    sop_class, sop_instance = str(scan.sop_class), str(scan.sop_instance)
    contexts = [(sop_class, [meta.transfer_syntax])]
    with Requestor("127.0.0.1", port, calling="S", called="VNA", contexts=contexts) as remote:
        if not remote.accepted:
            return False
        status = remote.store(
            sop_class, sop_instance, meta.transfer_syntax, [sample.reading.dataset]
        )
    assert status.code in (0x0000, 0xB000, 0xB006, 0xB007, 0xA900, 0xC000), sample.name
    return status.code in (0x0000, 0xB000, 0xB006, 0xB007)


def filled(site: Site, store: Callable[[Sample], bool]) -> Library:
    found = Library(site)
    for sample in samples():
        (found.kept if store(sample) else found.refused).append(sample)
    locate(found)
    return found


@pytest.fixture(scope="module")
def library(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """An archive that took every sample by STOW-RS."""
    with serving(postgres, tmp_path_factory.mktemp("library")) as site:
        yield filled(site, lambda sample: by_stow(site, sample))


@pytest.fixture(scope="module")
def pushed(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """An archive that took every sample by C-STORE."""
    with serving(postgres, tmp_path_factory.mktemp("pushed")) as site, dicom_edge(site) as edge:
        yield filled(site, lambda sample: by_c_store(edge.port, sample))


def locate(library: Library) -> None:
    for sample in library.kept:
        scan = sample.reading.scan
        sample.path = f"/studies/{scan.study}/series/{scan.series}/instances/{scan.sop_instance}"


@pytest.mark.parametrize("door", ["library", "pushed"])
def test_every_sample_comes_back_bit_by_bit(door: str, request: pytest.FixtureRequest) -> None:
    """PS3.18 8.7.3.4: `*` is the Transfer Syntax it is stored in, the data set as it came."""
    library: Library = request.getfixturevalue(door)
    only_what_is_no_sop_instance_is_refused(library)
    for sample in library.kept:
        answer = library.site.get(sample.path, "application/dicom; transfer-syntax=*")
        assert answer.status_code == 200, (sample.name, answer.text)
        got = read(answer.content)
        assert got.dataset == sample.reading.dataset, sample.name
        assert got.meta.transfer_syntax == sample.reading.meta.transfer_syntax, sample.name


def only_what_is_no_sop_instance_is_refused(library: Library) -> None:
    """PS3.4 B.2.3, PS3.5 9.1: a Composite SOP Instance names its study and series, by UIDs."""
    assert len(library.kept) > (250 if SHARED else 60)
    for sample in library.refused:
        scan = sample.reading.scan
        named = (scan.study, scan.series, scan.sop_instance, scan.sop_class)
        is_no_uid = any(len(str(uid)) > 64 for uid in named)
        is_file_set = sample.reading.meta.sop_class == FILE_SET
        assert None in named or is_no_uid or is_file_set, sample.name


def test_every_samples_metadata_is_pydicoms(library: Library) -> None:
    """PS3.18 10.4.1.1.2, Annex F."""
    site = library.site
    for sample in library.kept:
        if sample.name in PYDICOM_CANNOT:
            continue
        answer = site.get(f"{sample.path}/metadata", JSON)
        assert answer.status_code == 200, sample.name
        text = answer.content.replace(f"{site.root}{sample.path}/".encode(), b"")
        (ours,) = orjson.loads(text)
        assert unlike(theirs_of(sample.data), ours, sample.reading) == [], sample.name


def test_every_samples_bulk_data_is_behind_its_uri(library: Library) -> None:
    """PS3.18 10.4.1.1.4: what metadata leaves out is the value of the element."""
    site, asked = library.site, 0
    for sample in library.kept:
        (ours,) = site.get(f"{sample.path}/metadata", JSON).json()
        body = inflated(sample.reading)
        places = {bulk.path: bulk for bulk in sample.reading.scan.bulk}
        for uri in uris(ours):
            bulk = places.get(uri.partition("/bulkdata/")[2])
            if bulk is None:
                continue  # Pixel Data, which the frames are compared for
            asked += 1
            answer = site.client.get(uri, headers={"accept": "application/octet-stream"})
            assert answer.status_code == 200, (sample.name, bulk.path, answer.text)
            stored = body[bulk.offset : bulk.offset + bulk.length]
            if syntax(sample.reading.meta.transfer_syntax).little or bulk.vr in ("OB", "UN"):
                assert answer.content == stored, (sample.name, bulk.path)
            else:
                assert len(answer.content) == len(stored), (sample.name, bulk.path)
    assert asked > 0


def uris(values: dict[str, Any]) -> Iterator[str]:
    """Every BulkDataURI in a data set."""
    for element in values.values():
        if "BulkDataURI" in element:
            yield element["BulkDataURI"]
        if element["vr"] == "SQ":
            for item in element.get("Value", ()):
                yield from uris(item)


def test_every_samples_frames_are_pydicoms(library: Library) -> None:
    """PS3.18 10.4.1.1.6, 8.7.3.3: uncompressed frames, each pixel as pydicom has it."""
    compare_frames(library, every=False)


@pytest.mark.long
def test_every_frame_of_every_sample_is_pydicoms(library: Library) -> None:
    compare_frames(library, every=True)


def compare_frames(library: Library, *, every: bool) -> None:
    compared, images, wrong = 0, 0, []
    for sample in library.kept:
        found = image(sample.file)
        if found is None or sample.name in PYDICOM_CANNOT:
            continue
        images += 1
        table = sample.reading.scan.frames
        assert table is not None
        chosen = chosen_frames(found, table.count, every=every)
        wanted = [frame_of(found, number) for number in chosen]
        if any(one is None for one in wanted):
            continue  # pydicom cannot, or the file is damaged
        numbers = ",".join(map(str, chosen))
        answer = library.site.get(f"{sample.path}/frames/{numbers}", FRAMES)
        assert answer.status_code == 200, (sample.name, answer.text)
        parts = [content for _, content in parts_of(answer)]
        for number, theirs, ours in zip(chosen, wanted, parts, strict=True):
            if not same(found, theirs, ours):
                wrong.append(f"{sample.name} frame {number}: {apart(theirs, ours)}")
        compared += 1
    assert not wrong, wrong
    assert compared > images * 0.85, (compared, images)


def chosen_frames(found: Image, count: int, *, every: bool) -> list[int]:
    if every or found.description.decoded_bytes * count <= MANY:
        return list(range(1, count + 1))
    return sorted({1, (count + 1) // 2, count})


def frame_of(found: Image, number: int) -> Any:
    """A frame as pydicom has it: the bytes of an uncompressed one, else what is decoded."""
    transfer_syntax = found.transfer_syntax
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if pydicom.uid.UID(transfer_syntax).is_compressed and transfer_syntax != DEFLATED:
            decoded = expected(found, number, raw=False)
            return None if decoded is None else decoded[0]
        if found.description.bits_allocated == 1:
            decoded = expected(found, number, raw=True)
            return None if decoded is None else decoded[0]
        return stored_frame(found, number)


def stored_frame(found: Image, number: int) -> bytes | None:
    ds = found.dataset()
    about = found.description
    element = next(
        ds[k] for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if k in ds
    )
    value = element.value
    samples = 2 if about.photometric.endswith("_422") else about.samples
    size = about.rows * about.columns * samples * about.bits_allocated // 8
    cut = bytes(value[(number - 1) * size : number * size])
    if len(cut) < size:
        return None
    if syntax(found.transfer_syntax).little or element.VR == "OB":
        return cut
    width = max(about.bits_allocated // 8, 2)  # OW holds words, whatever a sample takes
    whole = bytes(value) + bytes(len(value) % width)
    turned = np.frombuffer(whole, f">u{width}").astype(f"<u{width}").tobytes()
    return turned[(number - 1) * size : number * size]


def same(found: Image, theirs: Any, ours: bytes) -> bool:
    if isinstance(theirs, bytes):
        return ours == theirs
    if found.description.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(ours, np.uint8), bitorder="little")
        return np.array_equal(bits[: theirs.size], theirs.reshape(-1))
    little = theirs.astype(theirs.dtype.newbyteorder("<"))
    if ours == little.tobytes():
        return True
    if found.transfer_syntax not in LOSSY or len(ours) != little.nbytes:
        return False
    away = np.frombuffer(ours, little.dtype).astype(np.int64) - little.reshape(-1)
    return bool(np.abs(away).max() <= TOLERANCE)


def apart(theirs: Any, ours: bytes) -> str:
    """Say how two frames differ."""
    size = len(theirs) if isinstance(theirs, bytes) else theirs.nbytes
    if size != len(ours) or isinstance(theirs, bytes):
        return f"{size} bytes, not {len(ours)}"
    away = np.frombuffer(ours, theirs.dtype).astype(np.int64) - theirs.reshape(-1)
    return f"up to {np.abs(away).max()} apart in {np.count_nonzero(away)} values"


# ---- what is bad on purpose ---------------------------------------------------------------------

BAD = [file for file in files() if "bad" in file.parts]


def test_what_is_bad_is_refused_or_kept_without_harm(
    postgres: TestPostgres, tmp_path: Path
) -> None:
    """PS3.18 8.5, 10.5.3.1: a client's fault is told as one; what was taken is given as it is."""
    with serving(postgres, tmp_path) as site, dicom_edge(site) as edge:
        for file in [*BAD, *(file for file in files() if file.name in REFUSED)]:
            data = file.read_bytes()
            answer = site.store(data)
            assert answer.status_code in (200, 202, 400, 409), (file.name, answer.text)
            sent(edge.port, data)
            if answer.status_code in (200, 202):
                asked(site, file, answer)
            elif answer.status_code == 409:
                failures = answer.json()
                assert "00081198" in failures or "0008119A" in failures, file.name
        assert site.get("/studies", JSON).status_code == 200


def sent(port: int, data: bytes) -> None:
    """C-STORE what stands behind the preamble under a name of its own: a status, no more."""
    sop_class = "1.2.840.10008.5.1.4.1.1.7"
    contexts = [(sop_class, ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])]
    with Requestor("127.0.0.1", port, calling="S", called="VNA", contexts=contexts) as remote:
        (_, agreed), *_ = remote.accepted
        assert remote.store(sop_class, "1.2.3.4.5", agreed, [data[132:]]).code in (0xA900, 0xC000)
    with Requestor(
        "127.0.0.1",
        port,
        calling="S",
        called="VNA",
        contexts=[("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])],
    ) as remote:
        assert remote.echo() == 0


def asked(site: Site, file: Path, stored: httpx.Response) -> None:
    """Everything that can be asked of one instance: an answer or a clear refusal."""
    (item,) = stored.json()["00081199"]["Value"]
    path = item["00081190"]["Value"][0].removeprefix(site.root)
    whole = site.get(path, "application/dicom; transfer-syntax=*")
    assert read(whole.content).dataset == read(file.read_bytes()).dataset, file.name
    assert site.get(f"{path}/metadata", JSON).status_code == 200, file.name
    for part in ("/frames/1", "/rendered", "/thumbnail", "/bulkdata", "/pixeldata"):
        answer = site.get(path + part)
        assert answer.status_code in (200, 404, 406), (file.name, part, answer.text)
