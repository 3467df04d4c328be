"""Every sample file through the archive: its metadata, its bulk data, and what is bad on purpose.

The files are pydicom's own and, where they are, the shared ones. Of several files with one SOP
Instance UID each gets a UID of its own, of the same length, so that nothing else changes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.conformance.holdings import dicom_edge
from tests.conftest import TestPostgres
from tests.dicom.corpus import Read, files, read
from tests.dicom.test_corpus import PYDICOM_CANNOT, REFUSED, inflated, theirs_of, unlike
from tests.web.conftest import Site, serving
from vna.dicom.uids import syntax
from vna.dimse.scu import Requestor

JSON = "application/dicom+json"
DEFLATED = "1.2.840.10008.1.2.1.99"


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


def locate(library: Library) -> None:
    for sample in library.kept:
        scan = sample.reading.scan
        sample.path = f"/studies/{scan.study}/series/{scan.series}/instances/{scan.sop_instance}"


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
