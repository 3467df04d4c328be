"""The sandbox: what a child may not do, and that whatever a stream does is one failed call."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from tests.pixels.images import image, paths
from vna.config import Pixels
from vna.dicom.uids import EXPLICIT_LITTLE
from vna.errors import NotAcceptable, TooLarge, Unavailable, Undecodable
from vna.pixels import registry
from vna.pixels.description import FrameSource, PixelDescription
from vna.pixels.rendering import Rendering, Viewport
from vna.pixels.sandbox import PixelPool
from vna.pixels.wire import ROOM_BYTES

EXPLICIT = "1.2.840.10008.1.2.1"
SMALL = PixelDescription(rows=4, columns=4, bits_allocated=16, bits_stored=16)
PLAIN = FrameSource(transfer_syntax=EXPLICIT, data=bytes(range(32)), description=SMALL)


@contextmanager
def opened(**limits: float) -> Iterator[PixelPool]:
    made = PixelPool(replace(Pixels(children=1), **limits))
    try:
        yield made
    finally:
        made.close()


def works(pool: PixelPool) -> bool:
    """Whether a good frame comes back whole."""
    made = pool.transcode(PLAIN, registry.RLE)
    back = replace(PLAIN, transfer_syntax=registry.RLE, data=made)
    return pool.transcode(back, EXPLICIT) == PLAIN.data


def noise(size: int) -> FrameSource:
    """A JPEG 2000 frame that takes its time."""
    values = np.random.default_rng(1).integers(0, 65536, (size, size), np.uint16)
    data = bytes(imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="J2K"))
    description = replace(SMALL, rows=size, columns=size)
    return FrameSource(
        transfer_syntax=registry.JPEG_2000_LOSSLESS, data=data, description=description
    )


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(number) for number in listed]


def nursery_of(pool: PixelPool) -> int:
    assert pool._nursery is not None
    return pool._nursery[0].pid


# -- limits ----------------------------------------------------------------------------------------


def test_a_stream_that_declares_another_size_is_refused_before_it_is_decoded() -> None:
    bomb = bytearray(noise(8).data)
    bomb[8:16] = (60000).to_bytes(4, "big") * 2  # Xsiz and Ysiz of its SIZ segment
    with opened() as pool:
        source = replace(noise(8), data=bytes(bomb))
        with pytest.raises(Undecodable, match="another size"):
            pool.transcode(source, EXPLICIT)
        assert works(pool)


def test_a_frame_past_the_limit_starts_nothing() -> None:
    with opened(frame_bytes=1 << 20) as pool:
        large = replace(PLAIN, description=replace(SMALL, rows=65535, columns=65535))
        with pytest.raises(TooLarge, match="1048576 bytes"):
            pool.transcode(large, registry.RLE)
        with pytest.raises(TooLarge):
            pool.render(large, Rendering())
        assert pool._nursery is None


def test_a_frame_of_the_limit_is_decoded_and_of_one_byte_more_is_not() -> None:
    for frame_bytes in (len(PLAIN.data), len(PLAIN.data) - 1):
        with opened(frame_bytes=frame_bytes) as pool:
            if frame_bytes == len(PLAIN.data):
                pool.check_size(PLAIN.description, frame_bytes)
                assert pool.transcode(PLAIN, EXPLICIT) == PLAIN.data
                continue
            with pytest.raises(TooLarge):
                pool.check_size(PLAIN.description, frame_bytes)
            with pytest.raises(TooLarge):
                pool.transcode(PLAIN, registry.RLE)


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_bomb_that_says_its_size_runs_into_the_memory_limit() -> None:
    side = 16000
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    row = bytes(side)
    data = b"".join(squeezer.compress(row) for _ in range(side)) + squeezer.flush()
    description = PixelDescription(rows=side, columns=side, bits_allocated=8, bits_stored=8)
    bomb = FrameSource(transfer_syntax=registry.DEFLATED_FRAME, data=data, description=description)
    with opened(memory_bytes=64 << 20) as pool:
        with pytest.raises(TooLarge, match="memory"):
            pool.transcode(bomb, EXPLICIT)
        assert works(pool)


def test_what_takes_too_long_is_given_up_and_the_next_call_works() -> None:
    frame = noise(1500)
    with opened(wall_s=5.0) as pool:
        assert works(pool)  # the children are there: what is timed is the decoding
        pool._settings = replace(pool._settings, wall_s=0.05)
        with pytest.raises(Undecodable, match="longer"):
            pool.transcode(frame, EXPLICIT)
        pool._settings = replace(pool._settings, wall_s=30.0)
        assert works(pool)


def test_processor_time_is_limited() -> None:
    program = "from vna.pixels import confine\nconfine.limit_processor(0)\nwhile True: pass"
    ended = subprocess.run([sys.executable, "-c", program], timeout=60)
    assert ended.returncode == -signal.SIGXCPU


def test_a_frame_that_takes_too_much_of_the_processor_is_one_failed_call() -> None:
    frame = noise(3500)
    with opened(processor_s=0) as pool:  # what is left is the second it is counted in
        with pytest.raises(Undecodable):
            pool.transcode(frame, EXPLICIT)
        assert works(pool)


def test_a_child_that_dies_is_one_failed_call() -> None:
    frame = noise(1500)
    with opened() as pool:
        assert works(pool)
        (child,) = children_of(nursery_of(pool))
        with ThreadPoolExecutor(1) as thread:
            failing = thread.submit(pool.transcode, frame, EXPLICIT)
            os.kill(child, signal.SIGKILL)
            with pytest.raises(Undecodable):
                failing.result(30)
        assert works(pool)


@pytest.mark.parametrize(
    "path",
    [path for path in paths() if registry.native_syntax(image(path).transfer_syntax) is False][::6],
    ids=lambda path: path.name,
)
def test_damaged_streams_are_clear_errors_and_the_pool_lives(path: Path, pool: PixelPool) -> None:
    found = image(path)
    assert found is not None
    frame = found.frames[0]
    if len(frame.data) > 200_000:
        pytest.skip("its smaller brothers do")
    chance = random.Random(path.name)
    for turn in range(12):
        data = bytearray(frame.data)
        if turn % 3 == 0:
            del data[chance.randrange(len(data)) :]
        for _ in range(turn):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        broken = replace(frame, data=bytes(data))
        for ask in (
            lambda broken=broken: pool.transcode(broken, EXPLICIT),
            lambda broken=broken: pool.render(broken, Rendering()),
        ):
            refused(ask)
    assert works(pool)


def refused(ask: Callable[[], bytes]) -> None:
    """Ask for something broken: it may succeed, or say that it cannot be had, nothing else."""
    with contextlib.suppress(NotAcceptable, TooLarge):
        assert isinstance(ask(), bytes)


def test_an_empty_stream_of_every_syntax_is_a_clear_error(pool: PixelPool) -> None:
    for uid in registry.CODECS:
        for data in (b"", b"\xff\xd8", b"\xff\x4f\xff\x51", bytes(64)):
            refused(
                lambda uid=uid, data=data: pool.transcode(
                    FrameSource(transfer_syntax=uid, data=data, description=SMALL),
                    registry.DEFLATED_FRAME,
                )
            )
    assert works(pool)


# -- what a child is -------------------------------------------------------------------------------

_TRIES = """
import os, socket, sys, threading
from vna.pixels import confine
most = confine.address_space() + (64 << 20)
confine.drop_privileges()
confine.limit(most)
on = confine.be_alone()
def tried(what):
    try:
        what()
    except (OSError, MemoryError) as exc:
        return type(exc).__name__
    return "allowed"
found = [
    tried(lambda: os.open("/etc/passwd", os.O_RDONLY)),
    tried(socket.socket),
    tried(os.fork),
    tried(lambda: os.execv("/bin/true", ["true"])),
    tried(lambda: os.kill(os.getppid(), 0)),
    tried(lambda: os.mkdir("/tmp/never")),
    tried(lambda: bytearray(128 << 20)),
    tried(lambda: os.write(1, b"")),
    tried(lambda: threading.Thread(target=bool).start()),
]
os.write(1, repr((on, found)).encode())
"""


def test_a_child_can_compute_and_nothing_else() -> None:
    ran = subprocess.run([sys.executable, "-c", _TRIES], capture_output=True, timeout=60)
    on, found = eval(ran.stdout)  # noqa: S307 -- what we printed ourselves
    assert on == len(os.sched_getaffinity(0))
    assert "allowed" not in found[:7]
    assert found[6:] == ["MemoryError", "allowed", "allowed"]


def test_children_hold_two_pipes_and_a_room_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VNA_ROOT_KEY", "c2VjcmV0")
    with opened() as pool:
        assert works(pool)
        nursery = nursery_of(pool)
        (child,) = children_of(nursery)
        for pid in (nursery, child):
            status = Path(f"/proc/{pid}/status").read_text()
            assert "NoNewPrivs:\t1" in status
            if os.geteuid() == 0:
                assert "Uid:\t65534\t65534\t65534\t65534" in status
                assert b"VNA_" not in Path(f"/proc/{pid}/environ").read_bytes()
                assert b"VNA_" not in command(pid)
        assert "Seccomp:\t2" in Path(f"/proc/{child}/status").read_text()
        if os.geteuid() == 0:
            links = sorted(os.readlink(link) for link in Path(f"/proc/{child}/fd").iterdir())
            kinds = [link.partition(":")[0] for link in links]
            assert kinds == ["/dev/null"] * 3 + ["/memfd"] + ["pipe"] * 2


def test_a_frame_the_room_has_no_space_for_is_shown_all_the_same() -> None:
    side = 8200
    assert side * side > ROOM_BYTES
    large = FrameSource(
        transfer_syntax=EXPLICIT_LITTLE,
        data=bytes(side * side),
        description=PixelDescription(rows=side, columns=side, bits_allocated=8, bits_stored=8),
    )
    how = Rendering(media="image/png", viewport=Viewport(width=16, height=16))
    with opened() as pool:
        assert pool.render(large, how).startswith(b"\x89PNG")
        assert works(pool)


def test_nothing_runs_before_the_first_call_nor_after_the_end() -> None:
    with opened() as pool:
        assert pool._nursery is None
        assert works(pool)
        nursery = nursery_of(pool)
        (child,) = children_of(nursery)
        handles = [os.pidfd_open(pid) for pid in (nursery, child)]
    for handle in handles:
        assert ended(handle)
    with pytest.raises(Unavailable):
        pool.transcode(PLAIN, registry.RLE)


def ended(handle: int) -> bool:
    """Wait until a process has ended."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    found = poll.poll(20_000)
    os.close(handle)
    return bool(found)


_PARENT = """
import os, signal, sys
from tests.pixels.test_sandbox import PLAIN, children_of, nursery_of, registry
from vna.config import Pixels
from vna.pixels.sandbox import PixelPool
pool = PixelPool(Pixels(children=1))
pool.transcode(PLAIN, registry.RLE)
nursery = nursery_of(pool)
print(nursery, *children_of(nursery), flush=True)
sys.stdin.read()
"""


def test_children_end_when_the_process_that_asked_is_killed() -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as parent:
        assert parent.stdout is not None
        told = [int(number) for number in parent.stdout.readline().split()]
        handles = [os.pidfd_open(pid) for pid in told]
        parent.kill()
    assert len(handles) == 2
    assert all(ended(handle) for handle in handles)


def test_threads_share_a_pool(pool: PixelPool) -> None:
    begin = threading.Barrier(4)

    def work(_: int) -> bool:
        begin.wait(30)
        return all(works(pool) for _ in range(5))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, range(4)))


def test_what_cannot_be_decoded_or_made_is_said_before_anything_runs() -> None:
    with opened() as pool:
        with pytest.raises(Undecodable, match=r"1\.2\.3"):
            pool.transcode(replace(PLAIN, transfer_syntax="1.2.3"), EXPLICIT)
        with pytest.raises(NotAcceptable):
            pool.transcode(PLAIN, registry.BASELINE)
        assert pool.transcode(replace(PLAIN, transfer_syntax="1.2.3"), "1.2.3") == PLAIN.data
