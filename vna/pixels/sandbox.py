"""The pool of sandboxed children, from the side of those who need pixels.

    PixelPool ──control socket──> nursery (clean interpreter, codecs, nobody's rights)
        └─ two pipes, shared room ──> child, forked from it on the first need

A call takes an idle child, gives it one frame and waits for one answer. A child that crashes, grows
past its memory or takes too long is killed and replaced: that is one failed call. Everything begins
with the first call, and ends with `close` or with this process.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import (
    F_ADD_SEALS,
    F_SEAL_GROW,
    F_SEAL_SEAL,
    F_SEAL_SHRINK,
    F_SETPIPE_SZ,
    fcntl,
)

from vna import telemetry
from vna.config import Pixels
from vna.errors import NotAcceptable, TooLarge, Unavailable, Undecodable
from vna.pixels import pictures, registry
from vna.pixels.description import Buffer, FrameSource, PixelDescription
from vna.pixels.faults import FAULTS, Damaged, Fault
from vna.pixels.rendering import Rendering
from vna.pixels.wire import ANSWER, DONE, PIPE_BYTES, ROOM_BYTES, request

_BEGIN_S = 60.0  # a busy machine may need long to load the codecs
_CALLS = 5000  # after so many calls a child makes room for a fresh one: codecs leak
_SLACK = 1 << 16
_KEPT_ROOM = 16 << 20  # memory of a room that is not given back after a call
_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL  # who shrinks it kills who writes to it
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[4:]; del sys.argv[4:]; "
    "from vna.pixels.nursery import main; main()"
)


class _Died(Exception):
    """The child ended before it answered."""


class _Late(Exception):
    """The child did not answer in time."""


@dataclass(slots=True)
class _Child:
    """One child: where to ask, where it answers, what it is shown, how to end it."""

    asks: int
    answers: int
    process: int
    room: mmap.mmap
    calls: int = 0

    def call(
        self, head: bytes, body: Buffer, most: int, deadline: float
    ) -> tuple[bytes, bytearray]:
        """Ask, and wait for the answer. Raises `_Died`, `_Late`."""
        self.calls += 1
        if len(body) <= ROOM_BYTES:
            self.room[: len(body)] = body
            self._write(head, deadline)
        else:
            self._write(head, deadline)
            self._write(body, deadline)
        code, size = ANSWER.unpack(self._read(ANSWER.size, deadline))
        if size > most:
            raise _Died
        result = self._read(size, deadline)
        if len(body) > _KEPT_ROOM:
            self.room.madvise(mmap.MADV_REMOVE, _KEPT_ROOM, ROOM_BYTES - _KEPT_ROOM)
        return code, result

    def end(self) -> None:
        """Kill it."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.process, signal.SIGKILL)
        for handle in (self.asks, self.answers, self.process):
            os.close(handle)
        self.room.close()

    def _write(self, data: Buffer, deadline: float) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.asks, view) :]
            except BlockingIOError:
                self._wait(self.asks, select.POLLOUT, deadline)
            except BrokenPipeError as exc:
                raise _Died from exc

    def _read(self, size: int, deadline: float) -> bytearray:
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            try:
                count = os.readv(self.answers, [view[at:]])
            except BlockingIOError:
                self._wait(self.answers, select.POLLIN, deadline)
                continue
            if not count:
                raise _Died
            at += count
        return data

    def _wait(self, handle: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(handle, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise _Late


class PixelPool:
    """Decodes, transcodes and renders in sandboxed children. One a process, shared by threads."""

    def __init__(self, settings: Pixels | None = None) -> None:
        self._settings = settings or Pixels()
        self._size = self._settings.children or os.cpu_count() or 1
        self._free = threading.Semaphore(self._size)
        self._lock = threading.Lock()  # of the nursery and the list of idle children
        self._idle: list[_Child] = []
        self._nursery: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        self._is_closed = False

    def transcode(self, frame: FrameSource, target: str) -> bytes:
        """Give one frame in another Transfer Syntax, every value kept.

        One-bit frames come packed, each beginning at bit 0. How the result is to be described says
        `registry.transcoded`. Raises `Undecodable`, `NotAcceptable`, `TooLarge`, `Unavailable`.
        """
        if frame.transfer_syntax == target:
            return bytes(frame.data)
        if not registry.encodable(target):
            raise NotAcceptable(
                "Pixels cannot be encoded in the Transfer Syntax that was asked for."
            )
        self.check(frame)
        most = frame.description.decoded_bytes * 2 + _SLACK
        return self._call(request("transcode", frame, target=target), frame.data, most)

    def render(
        self, frame: FrameSource, how: Rendering, *, members: bytes = b"{}", number: int = 1
    ) -> bytes:
        """Show frame `number` of an image as a picture in `how.media`.

        `members` is what `looks` makes of the instance's DICOM JSON. Raises as `transcode` does.
        """
        self.check(frame)
        pixels = frame.description.pixels
        if how.viewport is not None:
            pixels = max(how.viewport.width * how.viewport.height, pixels)
        asked = request("render", frame, how=how, members=members.decode(), number=number)
        return self._call(asked, frame.data, pixels * 4 + _SLACK)

    def unpack(self, media: str, data: bytes) -> tuple[PixelDescription, bytes]:
        """Make a PNG or GIF native: what one frame is like, and all frames, one behind the other.

        Raises `MalformedInstance`, `Undecodable`, `TooLarge`, `Unavailable`.
        """
        description = pictures.declared(media, data[:64])
        most = self._settings.frame_bytes
        if max(description.decoded_bytes, len(data)) > most:
            raise TooLarge(f"A picture must not be larger than {most} bytes when it is decoded.")
        picture = FrameSource(transfer_syntax=media, data=data, description=description)
        result = self._call(request("unpack", picture, most=most), data, most)
        if not result or len(result) % description.native_bytes:
            raise Undecodable
        return description, result

    def check(self, frame: FrameSource) -> None:
        """Refuse what cannot be decoded or is too large, before anything is done with it."""
        if not registry.decodable(frame.transfer_syntax):
            raise Undecodable(
                f"Pixels stored in Transfer Syntax {frame.transfer_syntax} cannot be decoded."
            )
        self.check_size(frame.description, len(frame.data))

    def check_size(self, description: PixelDescription, size: int) -> None:
        """Refuse a frame of `size` stored bytes that is too large, before it is read."""
        most = self._settings.frame_bytes
        if max(description.decoded_bytes, size) > most:
            raise TooLarge(f"A frame must not be larger than {most} bytes when it is decoded.")

    def close(self) -> None:
        """End the nursery and all children."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            nursery, self._nursery = self._nursery, None
        for child in idle:
            child.end()
        if nursery is not None:
            _end(*nursery)

    def _call(self, head: bytes, body: Buffer, most: int) -> bytes:
        begun = time.monotonic()
        outcome = "done"
        try:
            with self._child() as child:
                code, result = child.call(
                    head, body, most, time.monotonic() + self._settings.wall_s
                )
        except _Late as exc:
            outcome = "late"
            raise Undecodable("Decoding these pixels takes longer than the limit.") from exc
        except _Died as exc:
            outcome = "died"
            raise Undecodable(Damaged.text) from exc
        else:
            if code != DONE:
                outcome = "refused"
                fault = FAULTS.get(bytes(code), Fault)
                raise fault.error(fault.text)
            return bytes(result)
        finally:
            telemetry.PIXEL_CALLS.labels(outcome).inc()
            telemetry.PIXEL_SECONDS.observe(time.monotonic() - begun)

    @contextmanager
    def _child(self) -> Iterator[_Child]:
        """Hold a child for one call; one that failed is not used again."""
        if not self._free.acquire(timeout=self._settings.wall_s):
            raise Unavailable("All that could decode pixels are busy; try again later.")
        try:
            child = self._take()
            try:
                yield child
            except BaseException:
                child.end()
                raise
            self._give_back(child)
        finally:
            self._free.release()

    def _take(self) -> _Child:
        with self._lock:
            if self._is_closed:
                raise Unavailable("The archive is stopping.")
            if self._idle:
                return self._idle.pop()
            try:
                return self._born()
            except (OSError, EOFError) as exc:
                self._restart()
                raise Unavailable("The processes that decode pixels cannot be started.") from exc

    def _give_back(self, child: _Child) -> None:
        with self._lock:
            if not self._is_closed and child.calls < _CALLS:
                self._idle.append(child)
                return
        child.end()

    def _born(self) -> _Child:
        """Have the nursery fork a child."""
        if self._nursery is None or self._nursery[0].poll() is not None:
            self._restart()
            self._nursery = self._begun()
        _, control = self._nursery
        theirs_in, asks = os.pipe()
        answers, theirs_out = os.pipe()
        memory, room = _room()
        try:
            for handle in (asks, answers):
                os.set_blocking(handle, False)
                with suppress(OSError):  # past the user's limit of pipe pages it works, slower
                    fcntl(handle, F_SETPIPE_SZ, PIPE_BYTES)
            socket.send_fds(control, [b"c"], [theirs_in, theirs_out, memory])
            _, handles, _, _ = socket.recv_fds(control, 32, 1)
            if len(handles) != 1:
                raise EOFError
        except BaseException:
            os.close(asks)
            os.close(answers)
            room.close()
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
            os.close(memory)
        return _Child(asks, answers, handles[0], room)

    def _begun(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start the nursery: an interpreter that has nothing of ours but the code."""
        ours, theirs = socket.socketpair()
        ours.settimeout(_BEGIN_S)
        settings = self._settings
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment |= dict.fromkeys(_ONE_THREAD, "1") | {"LC_ALL": "C.UTF-8"}
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(theirs.fileno())]
        command += [str(settings.memory_bytes), str(int(settings.processor_s)), *sys.path]
        with theirs:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                cwd="/",
                pass_fds=(theirs.fileno(),),
            )
        try:
            if not ours.recv(1):
                raise EOFError
        except BaseException:
            _end(process, ours)
            raise
        return process, ours

    def _restart(self) -> None:
        """Let go of a nursery that does not answer."""
        nursery, self._nursery = self._nursery, None
        if nursery is not None:
            _end(*nursery)


def _room() -> tuple[int, mmap.mmap]:
    """Make memory to share with one child, of a size nobody can change any more."""
    memory = os.memfd_create("frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(memory, ROOM_BYTES)
        fcntl(memory, F_ADD_SEALS, _SEALS)
        return memory, mmap.mmap(memory, ROOM_BYTES)
    except BaseException:
        os.close(memory)
        raise


def _end(process: subprocess.Popen[bytes], control: socket.socket) -> None:
    control.close()
    try:
        process.wait(2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
