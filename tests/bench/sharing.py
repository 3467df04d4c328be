"""What sharing costs in seconds: from "send" to the stranger's first image, and the files after it.

One real `vna serve --dev` with a study of a gigabyte. Bodies are read as they come and thrown away:
the client holds a megabyte at most. Whole and part take turns, so that whatever else the machine
does hits them alike; what counts is the ratio, the times are of this machine.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import httpx
import psutil
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests import factories
from tests.bench import pages
from tests.flows.serving import ROOT, Serving, select_nothing
from tests.flows.test_viewer import DESKTOP, DRAWN_MS, HAS_DRAWN, PHONE

SLICES, STUDIES, OHIF_SLICES = 2048, 100_000, 300
_SIDE, _POST = 512, 32
_STEPS = 200
_ROUNDS = 5
_WAIT_S = 60.0
_PIECE = 1 << 20
_LINE = {  # 10 Mbit/s both ways, as a telephone has them
    "offline": False,
    "latency": 40,
    "downloadThroughput": 10e6 / 8,
    "uploadThroughput": 10e6 / 8,
}
_WADO = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_SHOWN = """() => {
  const found = document.querySelector('[data-stage] :is(canvas, img)');
  if (found === null || found.tagName === 'CANVAS') return found !== null;
  return found.complete && found.naturalWidth > 0;
}"""
_SETTLED = "() => document.querySelector('[data-stage]:not(.waits) canvas') !== null"
_PLACE = "() => document.querySelector('[data-slider]').value"
_BUSY = "() => { const end = performance.now() + 1000; while (performance.now() < end); }"


def main(slices: int = SLICES, studies: int = STUDIES) -> None:
    """Print every row. `slices` of half a megabyte each, `studies` in the index of the pages."""
    folder = Path(tempfile.mkdtemp(prefix="vna-bench-"))
    folder.chmod(0o755)
    serving = Serving(folder / "data", {"VNA_BLOBS_FREE_BYTES": "0"})
    serving.environment["VNA_SHARING_URL"] = f"http://127.0.0.1:{serving.http}"
    try:
        serving.start()
        why_not = _viewer(serving)
        _stored(serving, 1, slices)
        _stored(serving, 2, min(OHIF_SLICES, slices))
        print("\n| sharing | found | goal |\n|---|---|---|")
        guest = _sent(serving, slices)
        _files(serving, guest, slices)
        _images(serving, guest, slices, why_not)
    finally:
        serving.stop()
        shutil.rmtree(folder)
    pages.main(studies)


def _viewer(serving: Serving) -> str:
    """Bring OHIF; say why it is not there, or nothing."""
    command = [sys.executable, "-m", "vna", "viewer", "install", "--data", str(serving.data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it failed"])[-1]


def _stored(serving: Serving, study: int, slices: int) -> None:
    """Store a CT of noise and a shadow that wanders: its pictures weigh what those of people do."""
    conn = http.client.HTTPConnection("127.0.0.1", serving.http)
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    for first in range(1, slices + 1, _POST):
        files = [
            b"--x\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % one.part10()
            for one in _made(study, range(first, min(first + _POST, slices + 1)))
        ]
        conn.request("POST", "/dicom-web/studies", b"".join(files) + b"--x--\r\n", kind)
        answer = conn.getresponse()
        answer.read()
        _expect(answer.status, 200)
    conn.close()


def _made(study: int, numbers: range) -> Iterator[factories.Instance]:
    chance = random.Random(study)
    noise = [chance.randrange(60) for _ in range(_SIDE)]
    values = {"PatientBirthDate": "19700101", "WindowCenter": "1000", "WindowWidth": "1600"}
    for number in numbers:
        at = [round(700 * math.sin((x + number) / 40)) + 1000 for x in range(_SIDE)]
        rows = [
            array("H", map(int.__add__, at, noise[y:] + noise[:y])).tobytes() for y in range(_SIDE)
        ]
        yield factories.ct(
            study, 1, number, rows=_SIDE, columns=_SIDE, pixels=b"".join(rows), values=values
        )


def _sent(serving: Serving, slices: int) -> httpx.Client:
    """Press "Send" at a desk; wait for the mail; open its link. Return who is in."""
    url = f"http://127.0.0.1:{serving.http}"
    desk, guest = httpx.Client(base_url=url, timeout=60), httpx.Client(base_url=url, timeout=60)
    page = f"/study/{factories.uid(1)}/share"
    text = desk.get(page).text
    until = _in(r'name="until" value="([^"]+)"', text)
    fields = dict.fromkeys(re.findall(r'name="(series\.[0-9.]+)"', text), "on")
    fields |= dict.fromkeys(("confirmed.name", "confirmed.birth-date", "reports", "download"), "on")
    fields |= {"form": _form(text), "recipient": "Dr. Gray", "to": "gray@example.org"}
    fields |= {"passcode": "on", "purpose": "treatment", "basis": "legal:treatment"}
    begun = time.perf_counter()
    made = desk.post(page, data={**fields, "until": until, "language": "en"})
    _expect(made.status_code, 200)
    took = [("from Send to its page", time.perf_counter() - begun)]
    link = _mailed(desk)
    took.append(("to the mail", time.perf_counter() - begun))
    passcode = _in(r'class="shown-once">([^<]+)<', made.text).strip()
    _posted(guest, "/s", "/s/open", link=link.partition("#")[2])
    home = _posted(guest, "/s/prove", "/s/prove", way="passcode", text=passcode)
    _expect(home.status_code, 200)
    took.append(("to the page of images", time.perf_counter() - begun))
    view = guest.get(f"/s/view/{factories.uid(1)}").text
    image = _in(r'<img[^>]* src="([^"]+)"', view.partition("data-stage")[2]).replace("&amp;", "&")
    _expect(guest.get(image).status_code, 200)
    took.append(("to the first image", time.perf_counter() - begun))
    for name, seconds in took:
        goal = "< 5 s" if name == "to the first image" else ""
        print(f"| a share of {slices} slices, {name} | {seconds:.2f} s | {goal} |", flush=True)
    desk.close()
    return guest


def _mailed(desk: httpx.Client) -> str:
    """Wait for the mail; return the link in it."""
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        found = re.search(r'href="(/dev/inbox/\d+)"', desk.get("/dev/inbox").text)
        if found is not None:
            return _in(r'href="([^"]+/s#[\w-]{43})"', desk.get(found[1]).text)
        select_nothing(0.01)
    raise SystemExit("expected a mail, none came")


def _posted(guest: httpx.Client, page: str, path: str, **fields: str) -> httpx.Response:
    text = guest.get(page).text
    return guest.post(path, data={"form": _form(text), **fields}, follow_redirects=True)


def _files(serving: Serving, guest: httpx.Client, slices: int) -> None:
    """Compare the ZIP file of a study with its bulk retrieval, at the desk and below a share."""
    view = guest.get(f"/s/view/{factories.uid(1)}").text
    base = _in(r'data-base="([^"]+)"', view)
    study = f"studies/{factories.uid(1)}"
    zipped = f"{study}?accept=application/zip&dicomdir=true"
    ways = {
        "bulk WADO-RS": (f"/dicom-web/{study}", _WADO),
        "ZIP": (f"/dicom-web/{zipped}", "*/*"),
        "bulk WADO-RS below a share": (f"{base}/{study}", _WADO),
        "ZIP below a share": (f"{base}/{zipped}", "*/*"),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name, (path, accept) in ways.items():
            size, seconds = _drained(serving, path, accept)
            rates[name].append(size / seconds / 1e6)
    for name, found in rates.items():
        shown = f"{median(found):.0f} MB/s, {min(found):.0f} to {max(found):.0f}"
        print(f"| {name} of {slices} slices | {shown} | |", flush=True)
    for name in ("ZIP", "ZIP below a share"):
        ratio = median(rates[name]) / median(rates[name.replace("ZIP", "bulk WADO-RS")])
        print(f"| {name} to bulk WADO-RS | {ratio:.0%} | >= 80 % |", flush=True)


def _drained(serving: Serving, path: str, accept: str) -> tuple[int, float]:
    """Read an answer to its end into one buffer; return its size and the seconds it took."""
    room = memoryview(bytearray(_PIECE))
    ask = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    begun, size = time.perf_counter(), 0
    with socket.create_connection(("127.0.0.1", serving.http), _WAIT_S) as sock:
        sock.sendall(ask.encode("ascii"))
        while count := sock.recv_into(room):
            if not size and not bytes(room[:12]).startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"expected 200, got {bytes(room[:40])!r}")
            size += count
    return size, time.perf_counter() - begun


def _images(serving: Serving, guest: httpx.Client, slices: int, why_not: str) -> None:
    """Show how soon a browser has the first image, in the light viewer and in OHIF."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("| the first image in a browser | not measured: no Chromium is installed | |")
        return
    url = f"http://127.0.0.1:{serving.http}"
    cookies = [{"name": n, "value": v, "url": url} for n, v in guest.cookies.items()]
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
        flags.append("--enable-unsafe-swiftshader")  # a machine without a graphics card
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        found = []
        for _ in range(_ROUNDS):
            context = browser.new_context(viewport=PHONE)  # type: ignore[arg-type]  # a TypedDict
            context.add_cookies(cookies)  # type: ignore[arg-type]  # the same
            found.append(_seen(context, f"{url}/s/view/{factories.uid(1)}", _SHOWN, slow=True))
        _row(f"light viewer, first of {slices} images at 10 Mbit/s", found, "< 2 s")
        context = browser.new_context(viewport=PHONE)  # type: ignore[arg-type]  # the same
        context.add_cookies(cookies)  # type: ignore[arg-type]  # the same
        _memory(context, url, min(_STEPS, slices))
        _ohif(browser, url, min(OHIF_SLICES, slices), why_not)
        browser.close()


def _memory(context: BrowserContext, url: str, steps: int) -> None:
    """Go through images, and show how large the tab's process was at most, and the one that draws.

    Of the tab it is what Chromium calls its footprint, private memory, and what it shares with
    others besides, since pictures may lie there. It has been on a page without pictures before.
    """
    page = context.new_page()
    page.goto(f"{url}/s/home")
    plain, drawing = _footprint(_tab(page)), _drawing()
    before = _footprint(drawing)
    page.goto(f"{url}/s/view/{factories.uid(1)}")
    page.wait_for_function(_SETTLED)
    tab, stage, most, drawn = _tab(page), page.locator("[data-stage]"), 0, 0
    for step in range(steps):
        stage.press("ArrowDown")
        if step % 10 == 9:
            page.wait_for_function(_SETTLED)
            most, drawn = max(most, _footprint(tab)), max(drawn, _footprint(drawing))
    if int(page.evaluate(_PLACE)) < min(steps, 2):
        raise SystemExit("expected another image on the stage")
    context.close()
    name = f"light viewer, {steps} images one after the other"
    print(f"| {name}: the tab's process | {most / 1e6:.0f} MB | < 60 MB |")
    print(f"| the same on a page without pictures | {plain / 1e6:.0f} MB | |")
    print(f"| {name}: the process that draws is larger by | {(drawn - before) / 1e6:.0f} MB | |")


def _tab(page: Page) -> psutil.Process:
    """Find the process of a page: Chromium has others ready. Ours works when it is made to."""
    before = {one.pid: _worked_s(one) for one in _processes("renderer")}
    page.evaluate(_BUSY)
    there = [one for one in _processes("renderer") if one.pid in before]
    return max(there, key=lambda one: _worked_s(one) - before[one.pid])


def _worked_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _drawing() -> psutil.Process:
    return _processes("gpu-process")[0]


def _processes(kind: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if f"--type={kind}" in process.cmdline():
                found.append(process)
    return found


def _footprint(process: psutil.Process) -> int:
    """Add up private memory and what lies in shared memory, but no code: that of the binary."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return sum(int(status[name].split()[0]) << 10 for name in ("RssAnon", "VmSwap", "RssShmem"))


def _ohif(browser: Browser, url: str, slices: int, why_not: str) -> None:
    if why_not:
        print(f"| OHIF, first of {slices} images | not measured: {why_not} | |", flush=True)
        return
    address = f"{url}/viewer/viewer?StudyInstanceUIDs={factories.uid(2)}"
    found = []
    for _ in range(_ROUNDS):  # each time a browser that has never been here
        context = browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type]  # a TypedDict
        found.append(_seen(context, address, HAS_DRAWN, slow=False))
    _row(f"OHIF, first of {slices} images, loopback", found, "")


def _seen(context: BrowserContext, address: str, sign: str, *, slow: bool) -> float:
    """Open an address in a browser that has nothing of it; return the seconds until it shows."""
    page = context.new_page()
    if slow:
        remote = context.new_cdp_session(page)
        remote.send("Network.enable")
        remote.send("Network.emulateNetworkConditions", _LINE)
    begun = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(sign, timeout=DRAWN_MS)
    took = time.perf_counter() - begun
    context.close()
    return took


def _row(name: str, found: list[float], goal: str) -> None:
    print(f"| {name} | {median(found):.2f} s, at most {max(found):.2f} | {goal} |", flush=True)


def _form(text: str) -> str:
    return _in(r'name="form" value="([^"]+)"', text)


def _in(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit(f"expected {pattern} on a page of {len(text)} characters")
    return found[1]


def _expect(found: int, wanted: int) -> None:
    if found != wanted:
        raise SystemExit(f"expected {wanted}, got {found}")
