"""`vna demo`: a running archive, filled with sample objects over both protocols, and checked.

Everything goes over the sockets, as a modality, a PACS and a viewer would do it; nothing is looked
up behind the archive's back.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from vna.cli.demo_share import share
from vna.cli.running import Server, serving
from vna.cli.samples import Sample, samples
from vna.config import Limits, Settings
from vna.dicom.encode import decode_dataset, encode_dataset
from vna.dicom.part10 import Part10Reader
from vna.dimse.scu import Requestor
from vna.web.multipart import MultipartParser, PartData, boundary_of

_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_IMPLICIT = "1.2.840.10008.1.2"
_ROOT = "/dicom-web"


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--once", action="store_true", help="end when done; exit code 0 only if everything matched"
    )


@dataclass(slots=True)
class _Story:
    """What happened, step by step."""

    rows: list[tuple[str, str, str, bool]] = field(default_factory=list)
    link: str | None = None  # of the study that was shared

    def tell(self, what: str, work: Callable[[], tuple[bool, str]]) -> None:
        begun = time.perf_counter()
        good, result = work()
        took = (time.perf_counter() - begun) * 1000
        self.rows.append((what, result, f"{took:.0f} ms", good))

    @property
    def good(self) -> bool:
        return all(row[3] for row in self.rows)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Run the demonstration; 0 when everything matched."""
    console = Console()
    console.print("Starting the archive on its own PostgreSQL ...", highlight=False)
    begun = time.perf_counter()
    flags = ["--data", str(settings.data), "--http", settings.http.listen]
    flags += ["--dicom", settings.dicom.listen, "--ae-title", settings.dicom.ae_title]
    with serving(settings, flags) as server:
        console.print(f"Ready after {time.perf_counter() - begun:.1f} s.", highlight=False)
        found = samples()
        story = _story(server, found)
        _show(console, story)
        _by_hand(console, server, found, story.link)
        if not args.once:
            console.print("\nServing until Ctrl-C.", highlight=False)
            try:
                server.process.wait()
            except KeyboardInterrupt:
                console.print("Stopping ...", highlight=False)
        return 0 if story.good else 1


def _story(server: Server, found: list[Sample]) -> _Story:
    story = _Story()
    stored = [s for s in found if s.by_store]
    posted = [s for s in found if not s.by_store]
    studies = sorted({s.study for s in found})
    story.tell("C-ECHO", lambda: _echo(server))
    story.tell(f"C-STORE of {len(stored)} instances", lambda: _store(server, stored))
    story.tell(f"STOW-RS of {len(posted)} instances", lambda: _stow(server, posted))
    story.tell("the same again: known, nothing new", lambda: _stow(server, posted))
    story.tell(f"C-FIND of {len(studies)} studies", lambda: _find(server, studies))
    story.tell(f"QIDO-RS of {len(studies)} studies", lambda: _search(server, studies))
    story.tell("QIDO-RS by patient name, any case", lambda: _by_name(server))
    story.tell(f"WADO-RS of {len(found)} instances", lambda: _retrieve(server, found))
    story.tell("WADO-RS metadata of each study", lambda: _metadata(server, studies))
    story.tell("WADO-RS frame 1 of a CT", lambda: _frame(server, found[0]))
    story.tell("a study shared by link", lambda: _share(server, story, found[0].study))
    return story


def _echo(server: Server) -> tuple[bool, str]:
    with _associated(server, [("1.2.840.10008.1.1", [_IMPLICIT])]) as remote:
        status = remote.echo()
    return status == 0, f"status {status:04X}"


def _store(server: Server, found: list[Sample]) -> tuple[bool, str]:
    contexts = sorted({(s.sop_class, s.transfer_syntax) for s in found})
    with _associated(server, [(c, [t]) for c, t in contexts]) as remote:
        codes = [
            remote.store(s.sop_class, s.sop_instance, s.transfer_syntax, [s.dataset]).code
            for s in found
        ]
    good = sum(code == 0 for code in codes)
    return good == len(codes), f"{good} stored with status 0000"


def _stow(server: Server, found: list[Sample]) -> tuple[bool, str]:
    boundary = b"vna-demo-boundary"
    body = b"".join(
        b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % (boundary, s.data) for s in found
    )
    answer = server.ask(
        "POST",
        f"{_ROOT}/studies",
        body=body + b"--%b--\r\n" % boundary,
        Content_Type=f'multipart/related; type="application/dicom"; boundary={boundary.decode()}',
        Accept="application/dicom+json",
    )
    return answer.status == 200, f"HTTP {answer.status}"


def _find(server: Server, studies: list[str]) -> tuple[bool, str]:
    keys = {
        "00080052": {"vr": "CS", "Value": ["STUDY"]},
        "00100010": {"vr": "PN"},
        "0020000D": {"vr": "UI", "Value": studies},
    }
    identifier = encode_dataset(keys, explicit=False)
    with _associated(server, [(_FIND, [_IMPLICIT])]) as remote:
        answers = list(remote.find(_FIND, identifier, transfer_syntax=_IMPLICIT))
    uids = {decode_dataset(a, _IMPLICIT)["0020000D"]["Value"][0] for a in answers}
    return uids == set(studies), f"{len(uids)} found"


def _search(server: Server, studies: list[str]) -> tuple[bool, str]:
    path = f"{_ROOT}/studies?StudyInstanceUID={','.join(studies)}"
    answer = server.ask("GET", path, Accept="application/dicom+json")
    found = answer.json()
    uids = {s["0020000D"]["Value"][0] for s in found} if isinstance(found, list) else set()
    return uids == set(studies), f"{len(uids)} found"


def _by_name(server: Server) -> tuple[bool, str]:
    path = f"{_ROOT}/studies?PatientName=compressedsamples*"
    found = server.ask("GET", path, Accept="application/dicom+json").json()
    count = len(found) if isinstance(found, list) else 0
    return count > 0, f"{count} found"


def _retrieve(server: Server, found: list[Sample]) -> tuple[bool, str]:
    """One sample is another's twin in another byte order: the first of the two is held."""
    back = {s.name: _dataset(server, s) for s in found}
    same = sum(back[s.name] == s.dataset for s in found)
    twins = sum(
        back[s.name] != s.dataset and back[s.name] in {o.dataset for o in found} for s in found
    )
    told = f"{same} data sets equal, byte for byte"
    return same + twins == len(found), told + (f"; {twins} a known twin" if twins else "")


def _dataset(server: Server, sample: Sample) -> bytes:
    """The data set that comes back for a sample; none when it does not."""
    answer = server.ask(
        "GET",
        f"{_ROOT}/studies/{sample.study}/series/{sample.series}/instances/{sample.sop_instance}",
        Accept='multipart/related; type="application/dicom"; transfer-syntax=*',
    )
    if answer.status != 200:
        return b""
    parser = MultipartParser(boundary_of(answer.content_type)[1], Limits())
    events = parser.feed(answer.body)
    parser.finish()
    reader = Part10Reader(meta_group_bytes=1 << 16)
    file = b"".join(bytes(event.data) for event in events if isinstance(event, PartData))
    return bytes(reader.feed(file)) + reader.finish()


def _metadata(server: Server, studies: list[str]) -> tuple[bool, str]:
    counts = []
    for study in studies:
        answer = server.ask(
            "GET", f"{_ROOT}/studies/{study}/metadata", Accept="application/dicom+json"
        )
        found = answer.json()
        counts.append(len(found) if answer.status == 200 and isinstance(found, list) else 0)
    return all(counts), f"{sum(counts)} instances described"


def _frame(server: Server, sample: Sample) -> tuple[bool, str]:
    path = f"{_ROOT}/studies/{sample.study}/series/{sample.series}/instances/{sample.sop_instance}"
    answer = server.ask("GET", f"{path}/frames/1", Accept="application/octet-stream")
    return (
        answer.status == 200 and answer.body in sample.dataset,
        f"{len(answer.body)} bytes",
    )


def _share(server: Server, story: _Story, study: str) -> tuple[bool, str]:
    shared = share(server, study)
    story.link = shared.link
    return shared.link is not None, shared.told


def _associated(server: Server, contexts: list[tuple[str, list[str]]]) -> Requestor:
    host, port = server.dicom
    return Requestor(host, port, calling="DEMO", called=server.ae_title, contexts=contexts)


def _show(console: Console, story: _Story) -> None:
    table = Table(title="What happened")
    table.add_column("step")
    table.add_column("result")
    table.add_column("time", justify="right")
    table.add_column("")
    for what, result, took, good in story.rows:
        table.add_row(what, result, took, "ok" if good else "FAILED")
    console.print(table)


def _by_hand(console: Console, server: Server, found: list[Sample], link: str | None) -> None:
    host, port = server.dicom
    web = f"http://{server.http[0]}:{server.http[1]}{_ROOT}"
    lines = [
        f"storescu -aec {server.ae_title} {host} {port} {found[0].path}",
        f"findscu -S -aec {server.ae_title} -k QueryRetrieveLevel=STUDY -k PatientName='*' "
        f"-k StudyInstanceUID {host} {port}",
        f"curl '{web}/studies?limit=5'",
        f"curl '{web}/studies/{found[0].study}/metadata'",
    ]
    console.print("\nTry it by hand:")
    for line in lines:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    pages = f"http://{server.http[0]}:{server.http[1]}"
    console.print("\nIn a browser:")
    for what, where in (
        ("studies, viewer, sharing, discs", f"{pages}/"),
        ("what a recipient got: open it, best in a window as narrow as a phone", link or ""),
        ("the code it asks for, and every other mail and message", f"{pages}/dev/inbox"),
    ):
        console.print(f"  {where}  {what}", markup=False, highlight=False, soft_wrap=True)
