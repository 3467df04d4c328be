"""Over real sockets into a real archive: store, find, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE

from tests.archive import Archive, open_archive
from tests.dimse import wire
from tests.dimse.edge import Edge, wait_for
from tests.dimse.test_peers import run
from tests.factories import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    SECONDARY_CAPTURE,
    Instance,
    compressed,
    ct,
    ct_of_bytes,
    deflate_bomb,
    jpeg,
    nested,
)
from vna.db.pool import Database
from vna.dicom.refs import UID, InstanceRef
from vna.dimse.scps import services
from vna.dimse.scu import Requestor
from vna.errors import VNAError

Serve = Callable[..., Edge]
SAMPLES = Path(pydicom.data.__file__).parent / "test_files"
CT_FILE, MR_FILE = SAMPLES / "CT_small.dcm", SAMPLES / "MR_small.dcm"


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        yield archive


@pytest.fixture
def edge(archive: Archive, serve: Serve) -> Edge:
    engines: Any = SimpleNamespace(ingest=archive.ingest, query=archive.query)
    return serve(services(engines, archive.settings), workers=2)


def find(edge: Edge, **keys: str) -> list[Dataset]:
    """Ask as pynetdicom asks, by the Study Root."""
    ae = AE(ae_title="ASKER")
    ae.add_requested_context(wire.STUDY_FIND)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    assoc = ae.associate("127.0.0.1", edge.port)
    assert assoc.is_established
    answers = list(assoc.send_c_find(ds, wire.STUDY_FIND))
    assoc.release()
    assert [status.Status for status, _ in answers if status.Status not in (0xFF00, 0xFF01)] == [0]
    return [found for _, found in answers if found is not None]


def associated(edge: Edge, *instances: Instance) -> Requestor:
    pairs = sorted({(one.sop_class, one.transfer_syntax) for one in instances})
    contexts = [(name, [syntax]) for name, syntax in pairs]
    return Requestor("127.0.0.1", edge.port, calling="SENDER", called="VNA", contexts=contexts)


def send(edge: Edge, *instances: Instance) -> list[int]:
    """Store them on one association; return the statuses."""
    with associated(edge, *instances) as remote:
        return [
            remote.store(one.sop_class, one.instance, one.transfer_syntax, [one.dataset()]).code
            for one in instances
        ]


def test_storescu_stores_and_findscu_finds(edge: Edge) -> None:
    port = str(edge.port)
    stored = run("/usr/bin/storescu", "-aec", "VNA", "127.0.0.1", port, str(CT_FILE), str(MR_FILE))
    assert stored.returncode == 0, stored.stderr
    ct = dcmread(CT_FILE)
    found = run(
        *("/usr/bin/findscu", "-S", "-aec", "VNA", "-k", "QueryRetrieveLevel=STUDY"),
        *("-k", f"PatientName={str(ct.PatientName).lower()[:6]}*", "-k", "StudyInstanceUID"),
        *("127.0.0.1", port),
    )
    assert found.returncode == 0, found.stderr
    assert ct.StudyInstanceUID in found.stdout + found.stderr


def test_what_was_stored_is_found_at_every_level(edge: Edge) -> None:
    instances = [ct(1, series, number) for series in (1, 2) for number in (1, 2, 3)]
    assert send(edge, *instances) == [0] * 6
    (study,) = find(edge, QueryRetrieveLevel="STUDY", StudyInstanceUID="", PatientName="DOE*")
    assert study.StudyInstanceUID == instances[0].study
    assert (study.RetrieveAETitle, study.QueryRetrieveLevel) == ("VNA", "STUDY")
    assert study.InstanceAvailability == "ONLINE"
    series = find(
        edge,
        QueryRetrieveLevel="SERIES",
        StudyInstanceUID=study.StudyInstanceUID,
        SeriesInstanceUID="",
        NumberOfSeriesRelatedInstances="",
    )
    assert [one.NumberOfSeriesRelatedInstances for one in series] == [3, 3]
    images = find(
        edge,
        QueryRetrieveLevel="IMAGE",
        StudyInstanceUID=study.StudyInstanceUID,
        SeriesInstanceUID=series[0].SeriesInstanceUID,
        SOPInstanceUID="",
        InstanceNumber="",
    )
    assert [one.InstanceNumber for one in images] == [1, 2, 3]


def test_no_match_is_one_success(edge: Edge) -> None:
    assert find(edge, QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3.4") == []


def test_the_same_again_is_a_success_and_other_content_a_warning(edge: Edge) -> None:
    one, other = ct(1), ct(1, values={"SeriesDescription": "Other"})
    assert send(edge, one, one, other) == [0x0000, 0x0000, 0xB000]
    assert len(find(edge, QueryRetrieveLevel="STUDY", StudyInstanceUID="")) == 1


def test_every_encoding_is_stored_as_it_came(edge: Edge, archive: Archive) -> None:
    syntaxes = (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED)
    instances = [ct(number, transfer_syntax=syntax) for number, syntax in enumerate(syntaxes, 1)]
    instances += [compressed([[jpeg(1)], [jpeg(2), jpeg(3)]], study=9)]
    assert send(edge, *instances) == [0] * len(instances)
    for one in instances:
        ref = InstanceRef(UID(one.study), UID(one.series), UID(one.instance))
        (located,) = archive.retrieve.instances(archive.who, ref)
        assert located.transfer_syntax == one.transfer_syntax
        assert b"".join(archive.store.reader(located.blob_id).chunks()) == one.dataset()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xa7\x13" * 700, 0xA900),
        (b"\x08\0\x18\0UI\x10\x001.2.3", 0xC000),
        (b"", 0xC000),
        (ct(1).dataset()[:-100], 0xC000),
        (nested(40), 0xA700),
        (ct(1, instance=2).dataset(), 0xA900),
        (ct(1, sop_class=SECONDARY_CAPTURE).dataset(), 0xA900),
        (ct(1, values={"StudyInstanceUID": None}).dataset(), 0xA900),
        (ct(1, values={"SeriesInstanceUID": "../../etc"}).dataset(), 0xA900),
    ],
    ids=[
        "garbage",
        "head",
        "nothing",
        "cut",
        "deep",
        "other instance",
        "other class",
        "no study",
        "path",
    ],
)
def test_a_bad_object_is_refused_and_nothing_is_kept(
    edge: Edge, archive: Archive, data: bytes, code: int
) -> None:
    good = ct(1)
    with associated(edge, good) as remote:
        status = remote.store(good.sop_class, good.instance, good.transfer_syntax, [data])
        assert status.code == code
        assert status.comment
        after = ct(2)
        assert remote.store(after.sop_class, after.instance, EXPLICIT, [after.dataset()]).code == 0
    assert len(list(archive.store.blob_ids())) == 1
    assert len(find(edge, QueryRetrieveLevel="STUDY", StudyInstanceUID="")) == 1


def test_a_bomb_is_refused_at_the_cap(edge: Edge) -> None:
    bomb = ct(1, transfer_syntax=DEFLATED)
    with associated(edge, bomb) as remote:
        status = remote.store(bomb.sop_class, bomb.instance, DEFLATED, [deflate_bomb()])
    assert status.code == 0xA700


def test_a_sender_that_vanishes_halfway_leaves_nothing(edge: Edge, archive: Archive) -> None:
    one = ct_of_bytes(3 << 20)

    def breaks_off() -> Iterator[bytes]:
        yield one.dataset()[: 2 << 20]
        raise VNAError

    with pytest.raises(VNAError), associated(edge, one) as remote:
        remote.store(one.sop_class, one.instance, one.transfer_syntax, breaks_off())
    wait_for(lambda: len(edge.acceptor) == 0)
    assert list(archive.store.blob_ids()) == []
    assert find(edge, QueryRetrieveLevel="STUDY", StudyInstanceUID="") == []
    assert send(edge, one) == [0]


def test_eight_senders_at_once_are_all_found(edge: Edge) -> None:
    codes: list[list[int]] = []

    def work(number: int) -> None:
        codes.append(send(edge, *(ct(number, 1, n) for n in range(1, 11))))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [[0] * 10] * 8
    found = find(
        edge,
        QueryRetrieveLevel="STUDY",
        StudyInstanceUID="",
        NumberOfStudyRelatedInstances="",
    )
    assert [one.NumberOfStudyRelatedInstances for one in found] == [10] * 8


def test_a_full_disk_is_a700_and_searches_go_on(
    tmp_path: Path, database: Database, serve: Serve
) -> None:
    with open_archive(tmp_path, database, blobs={"free_percent": 100.0}) as archive:
        engines: Any = SimpleNamespace(ingest=archive.ingest, query=archive.query)
        edge = serve(services(engines, archive.settings))
        assert send(edge, ct(1), ct(2)) == [0xA700, 0xA700]
        assert find(edge, QueryRetrieveLevel="STUDY", StudyInstanceUID="") == []
        edge.close()


def test_an_object_larger_than_the_limit_is_refused(
    tmp_path: Path, database: Database, serve: Serve
) -> None:
    one = ct_of_bytes(1 << 20)
    size = len(one.dataset())
    for limit, code in ((size - 1, 0xA700), (size, 0x0000)):
        with open_archive(tmp_path, database, limits={"object_bytes": limit}) as archive:
            engines: Any = SimpleNamespace(ingest=archive.ingest, query=archive.query)
            edge = serve(services(engines, archive.settings))
            assert send(edge, one) == [code]
            edge.close()
