"""What is large goes through in constant memory, both ways."""

from __future__ import annotations

import hashlib
import resource
import struct
from collections.abc import Iterator

import pytest

from tests.dicom import streams
from tests.factories import ct, header, uid
from tests.web.conftest import Site
from tests.web.parts import JSON, described, json_part, metadata, one, pixels, post, written

BLOCK = hashlib.sha512(b"pixels").digest() * 16384  # 1 MiB


def peak_mib() -> int:
    """The most memory this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


@pytest.mark.parametrize("mebibytes", [96, pytest.param(1024, marks=pytest.mark.long)])
def test_a_large_object_comes_in_and_goes_out_in_constant_memory(
    site: Site, mebibytes: int
) -> None:
    instance = ct(400 + mebibytes, pixel_element=header("7FE00010", "OW", mebibytes << 20))
    head = instance.part10()
    sent = hashlib.sha256()

    def body() -> Iterator[bytes]:
        for piece in (head, *([BLOCK] * mebibytes)):
            sent.update(piece)
            yield piece

    assert site.store(ct(399).part10()).status_code == 200
    before = peak_mib()
    stored = site.client.post(
        f"{site.root}/studies", content=body(), headers={"content-type": "application/dicom"}
    )
    assert stored.status_code == 200
    path = f"/studies/{instance.study}/series/{instance.series}/instances/{instance.instance}"
    received = hashlib.sha256()
    with site.client.stream(
        "GET", site.root + path, headers={"accept": "application/dicom"}
    ) as answer:
        for piece in answer.iter_bytes(1 << 20):
            received.update(piece)
    assert received.digest() == sent.digest()
    assert peak_mib() - before < 64


def test_many_frames_are_read_as_they_go_out(site: Site) -> None:
    instance = ct(
        398, frames=96, rows=1024, columns=512, pixel_element=header("7FE00010", "OW", 96 << 20)
    )

    def body() -> Iterator[bytes]:
        yield instance.part10()
        yield from [BLOCK] * 96

    stored = site.client.post(
        f"{site.root}/studies", content=body(), headers={"content-type": "application/dicom"}
    )
    assert stored.status_code == 200
    path = f"/studies/{instance.study}/series/{instance.series}/instances/{instance.instance}"
    before = peak_mib()
    size = 0
    numbers = ",".join(str(n) for n in range(1, 97))
    with site.client.stream("GET", f"{site.root}{path}/frames/{numbers}") as answer:
        assert answer.status_code == 200
        for piece in answer.iter_bytes(1 << 20):
            size += len(piece)
    assert size > 96 << 20
    assert peak_mib() - before < 32


@pytest.mark.parametrize("mebibytes", [96, pytest.param(1024, marks=pytest.mark.long)])
@pytest.mark.parametrize("media", ["application/octet-stream", "video/mp4"])
def test_large_bulk_data_is_put_aside_and_together_in_constant_memory(
    site: Site, mebibytes: int, media: str
) -> None:
    study = 500 + mebibytes + len(media)
    movie = streams.mp4(movie_first=True)
    movie = movie[: movie.rindex(b"mdat") - 4]
    movie += streams.box("free", b"x" * (len(movie) % 2))  # of even length in all
    first, count = (movie, 1) if media == "video/mp4" else (b"", mebibytes)
    grey = described(1024, 1024, x00280008=one("IS", count))
    elements = metadata(study, **(grey if first == b"" else {}), **pixels())
    size = hashlib.sha256()

    def body() -> Iterator[bytes]:
        yield written([json_part(elements)])[: -len(b"--b--\r\n")]
        yield f"--b\r\nContent-Type: {media}\r\nContent-Location: pixels\r\n\r\n".encode()
        head = first + struct.pack(">I4s", 8 + (mebibytes << 20), b"mdat") if first else b""
        for piece in (head, *([BLOCK] * mebibytes)):
            size.update(piece)
            yield piece
        yield b"\r\n--b--\r\n"

    assert post(site, json_part(metadata(study - 1))).status_code == 200
    before = peak_mib()
    answer = site.client.post(
        f"{site.root}/studies",
        content=body(),
        headers={"content-type": f'multipart/related; type="{JSON}"; boundary=b'},
    )
    assert answer.status_code == 200, answer.text
    assert peak_mib() - before < 64
    found = hashlib.sha256()
    path = f"/studies/{uid(study)}/series/{uid(study, 1)}/instances/{uid(study, 1, 1)}"
    what = "bulkdata/7FE00010" if media != "video/mp4" else "frames/1"
    accept = {"accept": f"{media}; transfer-syntax=*"}
    with site.client.stream("GET", f"{site.root}{path}/{what}", headers=accept) as got:
        for piece in got.iter_bytes(1 << 20):
            found.update(piece)
    assert found.digest() == size.digest()
