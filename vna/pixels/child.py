"""A sandboxed child: reads a request, works, answers, until its parent is gone."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

from vna.pixels import confine, encoders, render, unpacking
from vna.pixels.description import FrameSource
from vna.pixels.faults import Fault, OutOfMemory
from vna.pixels.rendering import Rendering
from vna.pixels.wire import ANSWER, DONE, read_request, write_all

Work = Callable[[FrameSource, dict[str, Any]], bytes]  # what was asked, as JSON has it


def _transcode(frame: FrameSource, asked: dict[str, Any]) -> bytes:
    return encoders.transcoded(frame, asked["target"])


def _render(frame: FrameSource, asked: dict[str, Any]) -> bytes:
    how = Rendering.of(asked["how"])
    return render.rendered(frame, how, asked["members"].encode(), asked["number"])


WORKS: dict[str, Work] = {"transcode": _transcode, "render": _render, "unpack": unpacking.unpacked}


def serve(asks: int, answers: int, room: mmap.mmap, processor_s: int) -> None:
    """Answer requests one after the other."""
    while (asked := read_request(asks, room)) is not None:
        confine.limit_processor(processor_s)
        code, result = _answer(*asked)
        del asked
        write_all(answers, ANSWER.pack(code, len(result)) + result)


def _answer(asked: dict[str, Any], frame: FrameSource) -> tuple[bytes, bytes]:
    try:
        return DONE, WORKS[asked["work"]](frame, asked)
    except MemoryError:
        return OutOfMemory.code, b""
    except Fault as fault:
        return fault.code, b""
    except Exception:  # the codecs are other people's: whatever they raise is one failed call
        return Fault.code, b""


def warm_up() -> None:
    """Load every library and table now: a child can open no file."""
    unpacking.warm_up()
    encoders.warm_up()
    render.warm_up()
