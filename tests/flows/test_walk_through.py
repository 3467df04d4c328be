"""The walk-through of docs/operations.md, line by line: in a shell, and in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.factories import ct
from tests.flows.chromium import chromium
from tests.flows.serving import ROOT
from tests.flows.test_viewer import DESKTOP
from tests.web.provider import SECRET, free_port, provider
from vna.db.programs import installed

_BLOCK = re.compile(r"^```(sh|browser)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "@@ the block ended with "
_WAIT_MS = 60_000


def blocks() -> list[tuple[str, str]]:
    """Take the blocks of the section, in order."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.partition("## Walk-through\n")[2].partition("\n## ")[0]
    return _BLOCK.findall(section)


class Shell:
    """One shell for all blocks, so that variables stay; a line that fails ends it."""

    def __init__(self, folder: Path) -> None:
        # DCMTK's programs are meant, which others of the same name beside `vna` would hide
        (folder / "bin").mkdir()
        (folder / "bin" / "vna").symlink_to(Path(sys.executable).parent / "vna")
        found = f"{folder}/bin:{Path(installed()['psql']).parent}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VNA_")}
        self._process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env={**kept, "PATH": f"{found}:{os.environ['PATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(f"PS4='+ $SECONDS '; trap 'echo \"{_END}$?\"' EXIT\n")

    def run(self, block: str) -> str:
        """Run a block to its end; return what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # a loop's last command counts for it alone, so each grep must hold by itself
        block = block.replace("; done", " || exit 1; done")
        block = "".join(
            f"{{ {line} ; }} </dev/null\n" if _is_whole(line, block) else f"{line}\n"
            for line in block.splitlines()
        )
        self._process.stdin.write(f"set -ex\n{block}set +ex\necho '{_END}'0\n")
        self._process.stdin.flush()
        said: list[str] = []
        for line in self._process.stdout:
            said.append(line)
            if line.startswith(_END):
                break
        # a shell that ended leaves what it started holding the pipe: the last line is not its end
        assert said[-1] == f"{_END}0\n", "".join(said[-30:])
        print("".join(said))
        return "".join(said)

    def close(self) -> None:
        """End it, with all it started."""
        group = os.getpgid(self._process.pid)
        os.killpg(group, signal.SIGTERM)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(60)


def _is_whole(line: str, block: str) -> bool:
    """Whether a line is a command of its own that reads nothing: no here-document, no `&`."""
    return "<<END" not in block and " & " not in line and not line.startswith(("export", "TOKEN"))


@pytest.fixture
def folder() -> Iterator[Path]:
    found = Path(tempfile.mkdtemp(prefix="vna-walk-"))
    found.chmod(0o755)
    (found / "study.dcm").write_bytes(ct(1, rows=64, columns=64).part10())
    (found / "secret").write_text(SECRET)
    yield found
    shutil.rmtree(found)


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium("--ignore-certificate-errors") as browser:  # of an authority made a minute ago
        context = browser.new_context(
            viewport=DESKTOP,  # type: ignore[arg-type]  # a TypedDict of the same keys
            ignore_https_errors=True,
        )
        context.set_default_timeout(_WAIT_MS)
        found = context.new_page()
        remote = context.new_cdp_session(found)
        remote.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        remote.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        yield found


def do(page: Page, line: str, folder: Path) -> None:
    """Do one line of a browser's block."""
    word, *quoted = [line.split(" ", 1)[0], *re.findall(r'"([^"]*)"', line)]
    match word:
        case "open":
            found = re.search(r"https://\S+/enrol#\S+", (folder / "init.txt").read_text())
            assert found is not None
            page.goto(found[0])
        case "press":
            name = re.compile(f"^{re.escape(quoted[0])}$")
            page.get_by_role("button", name=name).or_(
                page.get_by_role("link", name=name)
            ).first.click()
        case "fill":
            page.get_by_label(quoted[0]).fill(quoted[1])
        case "see":
            page.get_by_text(quoted[0], exact=True).first.wait_for()
        case "sign":
            page.locator('input[name="login"]').fill(quoted[0])
            page.locator('input[name="password"]').fill("any")
            page.locator('button[type="submit"]').click()
            page.locator('input[name="prompt"][value="consent"]').wait_for(state="attached")
            page.locator('button[type="submit"]').click()
        case _:
            pytest.fail(f"nobody can do this: {line}")


@pytest.mark.timeout(900)  # a dozen commands, each a process that opens the archive
def test_the_walk_through_does_what_it_says(folder: Path, page: Page) -> None:
    http, dicom = free_port(), free_port()
    shell = Shell(folder)
    try:
        with provider(f"https://localhost:{http}/login/sso/return") as idp:
            for kind, block in blocks():
                if kind == "browser":
                    for line in block.splitlines():
                        do(page, line, folder)
                    continue
                own = block.replace("HTTP=8443 DICOMS=2762", f"HTTP={http} DICOMS={dicom}")
                shell.run(own.replace("https://login.example.org", idp.issuer))
    finally:
        shell.close()
    assert "edited" in (folder / "found.txt").read_text()
