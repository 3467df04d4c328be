"""What a client was told, written down, and what the archive says of it afterwards."""

from __future__ import annotations

import hashlib
import http.client
import random
import threading
from dataclasses import dataclass, field

from tests import factories
from tests.flows.serving import Serving
from vna.config import Limits
from vna.dicom.encode import decode_dataset, encode_dataset
from vna.dicom.part10 import Part10Reader
from vna.dimse.scu import Requestor
from vna.errors import VNAError
from vna.web.multipart import MultipartParser, PartData, boundary_of

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"


@dataclass(slots=True)
class Ledger:
    """What the archive acknowledged: SOP Instance UID -> study, series, digest of the data set."""

    rows: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, made: factories.Instance) -> None:
        digest = hashlib.sha256(made.dataset()).hexdigest()
        with self.lock:
            self.rows[made.instance] = (made.study, made.series, digest)


@dataclass(slots=True)
class Sender:
    """Sends new objects until told to stop, over C-STORE or STOW-RS; reconnects for ever."""

    serving: Serving
    ledger: Ledger
    number: int
    stop: threading.Event
    pace_s: float = 0.0  # between two of them
    sent: int = 0

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self._associate() if self.number % 2 else self._post()
            except (VNAError, OSError, http.client.HTTPException):
                self.stop.wait(0.05)  # the server is on its way back

    def _next(self) -> factories.Instance:
        self.stop.wait(self.pace_s)
        self.sent += 1
        study = self.number * 1_000_000 + self.sent // 40 + 1
        pixels = random.Random(study * 1000 + self.sent).randbytes(64 * 64 * 2)
        return factories.ct(study, 1, self.sent, rows=64, columns=64, pixels=pixels)

    def _associate(self) -> None:
        contexts = [(factories.CT, [factories.EXPLICIT])]
        with Requestor(
            "127.0.0.1",
            self.serving.dicom,
            calling=f"CRASH{self.number}",
            called="VNA",
            contexts=contexts,
            timeout_s=20,
        ) as remote:
            while not self.stop.is_set():
                made = self._next()
                status = remote.store(
                    factories.CT, made.instance, factories.EXPLICIT, [made.dataset()]
                )
                if status.code == 0:
                    self.ledger.note(made)

    def _post(self) -> None:
        made = self._next()
        body = b"--x\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--x--\r\n" % made.part10()
        status, _, _ = self.serving.ask(
            "POST",
            "/dicom-web/studies",
            body=body,
            Content_Type='multipart/related; type="application/dicom"; boundary=x',
        )
        if status == 200:
            self.ledger.note(made)


def everything(serving: Serving) -> dict[str, tuple[str, str]]:
    """Every instance QIDO-RS knows, page by page."""
    found: dict[str, tuple[str, str]] = {}
    offset = 0
    while True:
        page = serving.json(f"/instances?limit=500&offset={offset}")
        for row in page:
            sop, study, series = (
                row[tag]["Value"][0] for tag in ("00080018", "0020000D", "0020000E")
            )
            found[sop] = (study, series)
        offset += len(page)
        if len(page) < 500:
            return found


def digest_of(serving: Serving, study: str, series: str, sop: str) -> str:
    """The digest of the data set that WADO-RS gives back."""
    status, body, headers = serving.ask(
        "GET",
        f"/dicom-web/studies/{study}/series/{series}/instances/{sop}",
        Accept='multipart/related; type="application/dicom"; transfer-syntax=*',
    )
    assert status == 200, (sop, status)
    kind = next(v for k, v in headers.items() if k.lower() == "content-type")
    events = MultipartParser(boundary_of(kind)[1], Limits()).feed(body)
    reader = Part10Reader(meta_group_bytes=1 << 16)
    file = b"".join(bytes(e.data) for e in events if isinstance(e, PartData))
    return hashlib.sha256(bytes(reader.feed(file)) + reader.finish()).hexdigest()


def agrees_with_find(serving: Serving, found: dict[str, tuple[str, str]]) -> None:
    """C-FIND at IMAGE level finds what QIDO-RS found, and nothing that QIDO-RS does not find.

    What was not acknowledged may still be taken in after a crash, so QIDO-RS is asked again.
    """
    series = sorted(set(found.values()))
    seen: set[str] = set()
    with Requestor(
        "127.0.0.1", serving.dicom, calling="CHECK", called="VNA", contexts=[(FIND, [IMPLICIT])]
    ) as remote:
        for study, one in series:
            keys = {
                "00080052": {"vr": "CS", "Value": ["IMAGE"]},
                "0020000D": {"vr": "UI", "Value": [study]},
                "0020000E": {"vr": "UI", "Value": [one]},
                "00080018": {"vr": "UI"},
            }
            answers = remote.find(
                FIND, encode_dataset(keys, explicit=False), transfer_syntax=IMPLICIT
            )
            seen |= {decode_dataset(a, IMPLICIT)["00080018"]["Value"][0] for a in answers}
    assert set(found) <= seen <= set(everything(serving))
