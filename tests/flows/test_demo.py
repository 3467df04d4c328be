"""The demonstration as a newcomer starts it: every step is well, and it ends with a link."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.flows.serving import ROOT, free_port


def test_the_demonstration_goes_well_and_ends_with_a_link() -> None:
    folder = Path(tempfile.mkdtemp(prefix="vna-demo-"))
    folder.chmod(0o755)
    http = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "vna", "demo", "--once", "--data", str(folder / "data")]
    command += ["--http", http, "--dicom", f"127.0.0.1:{free_port()}"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert re.search(rf"http://{re.escape(http)}/s#[A-Za-z0-9_-]{{43}} ", done.stdout)
