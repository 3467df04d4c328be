"""`vna viewer`: only the package we know, its paths rewritten, nothing outside its folder."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.cli.conftest import Vna
from vna.cli.viewer_package import make_ready
from vna.errors import Corrupt

INDEX = (
    '<script>window.PUBLIC_URL="/"</script><link href="/app.bundle.css">'
    '<script src="/init-service-worker.js" type="module"></script>'
)

SLIDES = "'/dicom-microscopy-viewer/all.js'"


def package(folder: Path, files: dict[str, str]) -> Path:
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def test_what_names_the_root_names_our_place(tmp_path: Path) -> None:
    files = {
        "package/dist/index.html": INDEX,
        "package/dist/app.bundle.css": "a{b:url(/x.woff2)}" + " " * 2000,
        "package/dist/app.bundle.1.js": 'r.p = "/";',
        "package/dist/app.bundle.2.js": f'r.p = "/"; load({SLIDES})',
        "package/dist/app.bundle.3.js": f"load({SLIDES})",
        "package/dist/sw.js": "not wanted",
        "package/dist/ort/net.wasm": "not wanted",
        "package/README.md": "not wanted",
    }
    make_ready(package(tmp_path, files), tmp_path / "ready")

    listed = json.loads((tmp_path / "ready" / "files.json").read_text())
    scripts = [f"app.bundle.{number}.js" for number in (1, 2, 3)]
    assert sorted(listed) == [*scripts, "app.bundle.css", "index.html"]

    def text(name: str) -> str:
        return (tmp_path / "ready" / str(listed[name]["file"])).read_text()

    assert 'PUBLIC_URL="/viewer/"' in text("index.html")
    assert 'href="/viewer/app.bundle.css"' in text("index.html")
    assert "init-service-worker" not in text("index.html")
    assert text("app.bundle.1.js") == 'r.p = "/viewer/";'
    # whole slides stayed black: what shows them was asked for at the root of the site
    assert text("app.bundle.3.js") == "load('/viewer/dicom-microscopy-viewer/all.js')"
    assert text("app.bundle.2.js") == f'r.p = "/viewer/"; {text("app.bundle.3.js")}'
    assert "url(/viewer/x.woff2)" in text("app.bundle.css")
    zipped = tmp_path / "ready" / f"{listed['app.bundle.css']['file']}.gz"
    assert gzip.decompress(zipped.read_bytes()).decode() == text("app.bundle.css")
    assert len(listed["index.html"]["scripts"]) == 1


def test_a_name_of_the_package_is_never_a_path(tmp_path: Path) -> None:
    files = {"package/dist/index.html": INDEX, "package/dist/../../../escaped.js": "x"}
    make_ready(package(tmp_path, files), tmp_path / "ready")
    assert not list(tmp_path.rglob("escaped.js"))
    assert {p.name for p in (tmp_path / "ready").iterdir()} == {"0", "files.json"}


@pytest.mark.parametrize(
    "files",
    [
        {"package/dist/app.js": "no index"},
        {"package/dist/index.html": "<p>another application</p>"},
        {"package/dist/index.html": INDEX, "package/dist/app.bundle.css": "no url of the root"},
    ],
)
def test_a_package_that_is_not_the_one_we_know_is_refused(
    tmp_path: Path, files: dict[str, str]
) -> None:
    with pytest.raises(Corrupt):
        make_ready(package(tmp_path, files), tmp_path / "ready")


def test_another_package_is_refused_before_it_is_opened(vna: Vna, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    wrong = package(tmp_path, {"package/dist/index.html": INDEX})
    done = vna("viewer", "install", "--data", str(data), "--from", str(wrong))
    assert done.returncode == 1
    assert "SHA-512" in done.stderr
    assert list(data.iterdir()) == []


def test_the_state_of_the_viewer_is_told(vna: Vna, tmp_path: Path) -> None:
    done = vna("viewer", "status", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "vna viewer install" in done.stdout
