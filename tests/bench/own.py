"""Our own rows alone: one server, one client, each hot path once, wall clock and server CPU."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from tests import factories
from tests.dimse.puller import GET, MOVE, Puller, discarding
from tests.flows import crowd
from tests.flows.serving import Serving
from vna.dicom.encode import encode_dataset
from vna.dimse.messages import Progress
from vna.dimse.scu import Requestor

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT = "1.2.840.10008.1.2"
ONE = 'multipart/related; type="application/octet-stream"'


def main() -> int:
    """Run every row and print the table."""
    folder = Path(tempfile.mkdtemp(prefix="vna-bench-"))
    folder.chmod(0o755)
    serving = Serving(folder / "data")
    print("| work | a second | p50 ms | server CPU ms |\n|---|---|---|---|")
    try:
        serving.start()
        _ingest(serving)
        _retrieve(serving)
        _pull(serving)
        _query(serving)
    finally:
        serving.stop()
        shutil.rmtree(folder)
    associations()
    return 0


def associations(*, idle: int = 450, storing: int = 50, seconds: float = 60.0) -> None:
    """Show what hundreds of open associations cost, on an archive of their own."""
    folder = Path(tempfile.mkdtemp(prefix="vna-bench-"))
    folder.chmod(0o755)
    serving = Serving(folder / "data", environment=crowd.ENVIRONMENT)
    try:
        serving.start()
        seen = crowd.gather(serving, idle=idle, storing=storing, seconds=seconds)
    finally:
        serving.stop()
        shutil.rmtree(folder)
    print(
        f"\n| {idle} idle and {storing} storing associations, {seconds:.0f} s | found | goal |\n"
        "|---|---|---|\n"
        f"| errors | {len(seen.errors)} | 0 |\n"
        f"| echo p50, p99 of {seen.echoes} | {seen.echo_p50_s * 1000:.1f}, "
        f"{seen.echo_p99_s * 1000:.0f} ms | p99 < 500 ms |\n"
        f"| CPU of the idle ones together | {seen.idle_cpu:.2%} of a core | < 2 % |\n"
        f"| memory of all processes | {seen.memory_bytes / 1e6:.0f} MB | < 1500 MB |\n"
        f"| stored | {seen.stored / seconds:.0f} a second | - |",
        flush=True,
    )


def _ingest(serving: Serving) -> None:
    made = [factories.ct(1, 1, n, rows=512, columns=512) for n in range(1, 201)]
    sets = [(m.instance, m.dataset()) for m in made]
    with Requestor(
        "127.0.0.1",
        serving.dicom,
        calling="BENCH",
        called="VNA",
        contexts=[(factories.CT, [factories.EXPLICIT])],
    ) as remote:
        _row(
            serving,
            "C-STORE 512 KiB, 1 association",
            (
                lambda sop=sop, data=data: _expect(
                    remote.store(factories.CT, sop, factories.EXPLICIT, [data]).code, 0
                )
                for sop, data in sets
            ),
        )
    conn = http.client.HTTPConnection("127.0.0.1", serving.http)
    bodies = [
        b"--x\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--x--\r\n"
        % factories.ct(2, 1, n, rows=512, columns=512).part10()
        for n in range(1, 101)
    ]
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    _row(
        serving,
        "STOW-RS 512 KiB, 1 a POST",
        (lambda b=b: _http(conn, "POST", "/studies", b, headers=kind) for b in bodies),
    )


def _retrieve(serving: Serving) -> None:
    conn = http.client.HTTPConnection("127.0.0.1", serving.http)
    series = f"/studies/{factories.uid(1)}/series/{factories.uid(1, 1)}"
    frames = [f"{series}/instances/{factories.uid(1, 1, n)}/frames/1" for n in range(1, 201)]
    _row(serving, "frame 512 KiB", (lambda p=p: _http(conn, "GET", p, accept=ONE) for p in frames))
    _rendered(serving, conn, series)
    path = f"{series}/metadata"
    _row(serving, "metadata of 200", (lambda: _http(conn, "GET", path) for _ in range(30)))


def _rendered(serving: Serving, conn: http.client.HTTPConnection, series: str) -> None:
    """Pictures of CT images: made, made again from what is kept, and small ones."""
    images = [f"{series}/instances/{factories.uid(1, 1, n)}" for n in range(1, 201)]

    def jobs(below: str) -> Iterable[Callable[[], None]]:
        return (lambda p=p: _http(conn, "GET", p + below, accept="image/jpeg") for p in images)

    _http(conn, "GET", images[0] + "/rendered?quality=1", accept="image/jpeg")  # children begin
    _row(serving, "rendered CT, 512 x 512 JPEG", jobs("/rendered"))
    again = f"{images[-1]}/rendered"
    _row(
        serving,
        "rendered CT, asked for again",
        (lambda: _http(conn, "GET", again, accept="image/jpeg") for _ in range(200)),
    )
    _row(serving, "thumbnail of a CT", jobs("/thumbnail"))


def _pull(serving: Serving) -> None:
    series = {
        "00080052": "SERIES",
        "0020000D": factories.uid(1),
        "0020000E": factories.uid(1, 1),
    }
    getting = Puller(serving.dicom, GET, (factories.CT, factories.EXPLICIT))
    _many(serving, "C-GET of 200 of 512 KiB", lambda: getting.ask(series), 200)
    getting.close()
    with discarding() as port:
        subprocess.run(
            [
                *(sys.executable, "-m", "vna", "remote", "add", "DISCARD", "127.0.0.1", str(port)),
                *("--data", str(serving.data)),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        moving = Puller(serving.dicom, MOVE)
        _many(serving, "C-MOVE of 200 of 512 KiB", lambda: moving.ask(series, to="DISCARD"), 200)
        moving.close()


def _many(serving: Serving, name: str, ask: Callable[[], tuple[int, Progress]], count: int) -> None:
    """Print a row of instances: a request brings `count` of them, five requests are made."""
    took, before = [], _cpu(serving)
    for _ in range(5):
        at = time.perf_counter()
        status, progress = ask()
        took.append(time.perf_counter() - at)
        _expect(status, 0)
        _expect(progress.completed, count)
    cpu = (_cpu(serving) - before) / (5 * count) * 1000
    each = median(took) / count
    print(f"| {name} | {1 / each:.0f} | {each * 1000:.2f} | {cpu:.2f} |", flush=True)


def _query(serving: Serving) -> None:
    conn = http.client.HTTPConnection("127.0.0.1", serving.http)
    path = f"/studies?StudyInstanceUID={factories.uid(1)}"
    _row(serving, "QIDO-RS, one match", (lambda: _http(conn, "GET", path) for _ in range(200)))
    keys = {
        "00080052": {"vr": "CS", "Value": ["IMAGE"]},
        "0020000D": {"vr": "UI", "Value": [factories.uid(1)]},
        "0020000E": {"vr": "UI", "Value": [factories.uid(1, 1)]},
        "00080018": {"vr": "UI"},
        "00200013": {"vr": "IS"},
    }
    identifier = encode_dataset(keys, explicit=False)
    with Requestor(
        "127.0.0.1", serving.dicom, calling="BENCH", called="VNA", contexts=[(FIND, [IMPLICIT])]
    ) as remote:
        _row(
            serving,
            "C-FIND of 200 instances",
            (
                lambda: _expect(
                    sum(1 for _ in remote.find(FIND, identifier, transfer_syntax=IMPLICIT)), 200
                )
                for _ in range(30)
            ),
        )


def _row(serving: Serving, name: str, work: Iterable[Callable[[], None]]) -> None:
    jobs = list(work)
    took, before, begun = [], _cpu(serving), time.perf_counter()
    for job in jobs:
        at = time.perf_counter()
        job()
        took.append(time.perf_counter() - at)
    whole = time.perf_counter() - begun
    cpu = (_cpu(serving) - before) / len(jobs) * 1000
    print(
        f"| {name} | {len(jobs) / whole:.0f} | {median(took) * 1000:.2f} | {cpu:.2f} |", flush=True
    )


def _cpu(serving: Serving) -> float:
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for process in serving.processes():
        stat = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += sum(int(stat[i]) for i in (11, 12, 13, 14))
    return total / ticks


def _http(
    conn: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    headers: dict[str, str] | None = None,
    accept: str = "application/dicom+json",
) -> None:
    conn.request(
        method, "/dicom-web" + path, body=body, headers={"Accept": accept, **(headers or {})}
    )
    response = conn.getresponse()
    response.read()
    _expect(response.status, 200)


def _expect(found: int, wanted: int) -> None:
    if found != wanted:
        raise SystemExit(f"expected {wanted}, got {found}")
