"""DCMTK's programs over twelve Transfer Syntaxes, PDU sizes and TLS: in, found and out again."""

from __future__ import annotations

import io
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.archive import Archive, open_archive
from tests.dimse.certificates import Authority, Signed
from tests.dimse.edge import Edge
from tests.dimse.holding import fill, of_every_syntax, served
from tests.dimse.test_move_scp import register, storescp
from tests.factories import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, RLE, Instance, ct
from vna.db.pool import Database
from vna.dicom.refs import InstanceRef, uid

Serve = Callable[..., Edge]
SMALL, LARGE = "4096", "131072"  # the least and the most DCMTK knows; larger ones: test_get_scp.py

# Transfer Syntax -> what storescu, getscu and storescp are told to propose or to prefer it
TOLD = {
    IMPLICIT: "i",
    EXPLICIT: "e",
    BIG_ENDIAN: "b",
    DEFLATED: "d",
    "1.2.840.10008.1.2.4.50": "y",
    "1.2.840.10008.1.2.4.70": "s",
    "1.2.840.10008.1.2.4.80": "t",
    "1.2.840.10008.1.2.4.90": "v",
    "1.2.840.10008.1.2.4.91": "w",
    RLE: "r",
    "1.2.840.10008.1.2.4.102": "n",
}
SYNTAXES = {letter: syntax for syntax, letter in TOLD.items()}
HTJ2K = "1.2.840.10008.1.2.4.201"  # DCMTK 3.6 does not know it
REWRITTEN = (
    HTJ2K,
    IMPLICIT,
    BIG_ENDIAN,
    DEFLATED,
)  # where it proposes several, Explicit VR is taken


@pytest.fixture
def archive(tmp_path: Path, database: Database) -> Iterator[Archive]:
    with open_archive(tmp_path, database) as archive:
        yield archive


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def ours(authority: Authority) -> Signed:
    return authority.sign("archive")


@pytest.fixture(params=["plain", "tls"])
def peer(
    request: pytest.FixtureRequest,
    archive: Archive,
    serve: Serve,
    authority: Authority,
    ours: Signed,
) -> Peer:
    """DCMTK's programs, and how they reach the archive."""
    if request.param == "plain":
        return Peer(["127.0.0.1", str(served(archive, serve).port)], [])
    edge = served(archive, serve, tls=authority.settings(ours))
    secured = ["+tls", str(ours.key), str(ours.certificate), "+cf", str(authority.path)]
    return Peer(["localhost", str(edge.secured)], secured)


class Peer:
    """One program after the other against one address."""

    def __init__(self, address: list[str], secured: list[str]) -> None:
        self._address = address
        self._secured = secured

    def run(self, program: str, *options: str, files: list[Path] | None = None) -> str:
        """Run a program to its end; give what it said."""
        command = [f"/usr/bin/{program}", *self._secured, "-v", "-aec", "VNA", *options]
        done = subprocess.run(
            [*command, *self._address, *map(str, files or [])],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def written(made: list[Instance], folder: Path) -> dict[str, Path]:
    """Write them as files: Transfer Syntax -> file."""
    folder.mkdir()
    files = {}
    for one in made:
        files[one.transfer_syntax] = folder / f"{one.transfer_syntax}.dcm"
        files[one.transfer_syntax].write_bytes(one.part10())
    return files


def kept(archive: Archive, one: Instance) -> tuple[str, bytes]:
    """The Transfer Syntax and the data set an instance is stored as."""
    ref = InstanceRef(uid(one.study), uid(one.series), uid(one.instance))
    (located,) = archive.retrieve.instances(archive.who, ref)
    return located.transfer_syntax, b"".join(archive.store.reader(located.blob_id).chunks())


def by_uid(folder: Path) -> dict[str, bytes]:
    return {str(dcmread(path).SOPInstanceUID): path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("pdu", [SMALL, LARGE])
def test_storescu_sends_every_syntax_it_knows(peer: Peer, archive: Archive, pdu: str) -> None:
    made = [one for one in of_every_syntax() if one.transfer_syntax != HTJ2K]
    files = written(made, archive.settings.data / "in")
    for one in made:
        letter = TOLD[one.transfer_syntax]
        sizes = ("-pdu", pdu, "--max-send-pdu", pdu)
        peer.run("storescu", f"-x{letter}", *sizes, files=[files[one.transfer_syntax]])
        assert kept(archive, one) == (one.transfer_syntax, one.dataset())


@pytest.fixture
def plain(archive: Archive, serve: Serve) -> Peer:
    """DCMTK's programs without TLS, which dcmsend, getscu and movescu do not know."""
    return Peer(["127.0.0.1", str(served(archive, serve).port)], [])


@pytest.mark.parametrize("pdu", [SMALL, LARGE])
def test_getscu_takes_what_is_stored(plain: Peer, archive: Archive, pdu: str) -> None:
    made = [one for one in of_every_syntax() if one.transfer_syntax == EXPLICIT]
    fill(archive, *made)
    for one in made:
        out = archive.settings.data / f"out-{one.transfer_syntax}"
        out.mkdir()
        said = plain.run(
            "getscu",
            *("-S", "-B", "-od", str(out), "-pdu", pdu, f"+x{TOLD[one.transfer_syntax]}"),
            *("-k", "0008,0052=SERIES", "-k", f"0020,000D={one.study}"),
            *("-k", f"0020,000E={one.series}"),
        )
        found = by_uid(out)
        assert list(found) == [one.instance], said
        assert found[one.instance].endswith(one.dataset())


@pytest.mark.parametrize("pdu", [SMALL, LARGE])
def test_dcmsend_and_movescu_carry_a_study(plain: Peer, archive: Archive, pdu: str) -> None:
    """dcmsend writes what is uncompressed as Explicit VR; storescp takes whatever is proposed."""
    made = [one for one in of_every_syntax() if one.transfer_syntax not in REWRITTEN]
    files = written(made, archive.settings.data / "in")
    plain.run("dcmsend", "-dn", "-pdu", pdu, "--max-send-pdu", pdu, files=[*files.values()])
    for one in made:
        assert kept(archive, one) == (one.transfer_syntax, one.dataset())
    out = archive.settings.data / "out"
    with storescp(out, "-B", "+xa", "-pdu", pdu) as port:
        register(archive, "STORESCP", port)
        plain.run(
            *("movescu", "-S", "-pdu", pdu, "-aem", "STORESCP"),
            *("-k", "0008,0052=STUDY", "-k", f"0020,000D={made[0].study}"),
        )
    found = by_uid(out)
    assert sorted(found) == sorted(one.instance for one in made)
    assert all(found[one.instance].endswith(one.dataset()) for one in made)


@pytest.mark.parametrize(
    ("root", "level", "keys", "wanted"),
    [
        ("-S", "STUDY", {"PatientName": "doe*"}, {1, 2, 3}),
        ("-S", "STUDY", {"PatientID": "P-000?"}, {1, 2, 3}),
        ("-S", "STUDY", {"StudyDate": "20240101-20240131"}, {1}),
        ("-S", "STUDY", {"StudyDate": "-20240131"}, {1}),
        ("-S", "STUDY", {"StudyDate": "20240201-"}, {2, 3}),
        ("-S", "STUDY", {"StudyInstanceUID": f"{ct(1).study}\\{ct(3).study}"}, {1, 3}),
        ("-S", "STUDY", {"AccessionNumber": "A2"}, {2}),
        ("-S", "STUDY", {"ModalitiesInStudy": "CT"}, {1, 2, 3}),
        ("-S", "STUDY", {"AccessionNumber": "nothing"}, set()),
        ("-P", "STUDY", {"PatientID": "P-0001"}, {1, 2, 3}),
        ("-P", "PATIENT", {"PatientID": "P-0001"}, {0}),
        ("-O", "STUDY", {"PatientID": "P-0001", "StudyID": ""}, {1, 2, 3}),
    ],
)
def test_findscu_matches_in_every_way(
    archive: Archive, plain: Peer, *, root: str, level: str, keys: dict[str, str], wanted: set[int]
) -> None:
    for number, date in enumerate(["20240105", "20240310", "20250101"], 1):
        fill(archive, ct(number, values={"StudyDate": date, "AccessionNumber": f"A{number}"}))
    asked = {
        "QueryRetrieveLevel": level,
        **({} if level == "PATIENT" else {"StudyInstanceUID": ""}),
    }
    said = plain.run(
        "findscu",
        root,
        *itertools.chain.from_iterable(("-k", f"{k}={v}") for k, v in (asked | keys).items()),
    )
    if level == "PATIENT":
        assert said.count("Find Response") == 2  # one match and the end
        return
    answers = said.partition("Find Response")[2]
    assert {n for n in (1, 2, 3) if f"[{ct(n).study}" in answers} == wanted, said


def test_echoscu_at_every_pdu_size(peer: Peer) -> None:
    for pdu in (SMALL, "16384", "65536", LARGE):
        peer.run("echoscu", "-pdu", pdu)


@pytest.mark.parametrize("syntax", ["i", "e"])
def test_storescp_is_sent_the_syntax_it_prefers(
    archive: Archive, plain: Peer, syntax: str, tmp_path: Path
) -> None:
    """PS3.4 B.4.1, PS3.5 10: what is uncompressed is rewritten for a destination."""
    one = ct(1, rows=50, columns=60)
    fill(archive, one)
    out = tmp_path / "out"
    with storescp(out, "-B", f"+x{syntax}") as port:
        register(archive, "STORESCP", port)
        plain.run(
            *("movescu", "-S", "-aem", "STORESCP"),
            *("-k", "0008,0052=STUDY", "-k", f"0020,000D={one.study}"),
        )
    (path,) = out.iterdir()
    sent, wanted = dcmread(path), dcmread(io.BytesIO(one.part10()))
    assert sent.file_meta.TransferSyntaxUID == SYNTAXES[syntax]
    assert (sent.pixel_array == wanted.pixel_array).all()
    assert sent.PatientName == wanted.PatientName


def test_the_programs_are_there() -> None:
    for program in ("echoscu", "storescu", "dcmsend", "findscu", "getscu", "movescu", "storescp"):
        assert shutil.which(program), f"{program} is missing: run `make tools`"
