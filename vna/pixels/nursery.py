"""The process children are forked from: a fresh interpreter with the codecs in it, nothing else.

It never saw a key, a database or a connection. Everything that will be needed is imported here and
warmed up, for its children can open no file. It forks a child when its parent sends two pipes to
speak through and the room frames lie in, gives back a handle to end it by, and ends with its
parent, and its children with it.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import socket
import sys

from vna.pixels import child, confine, decoders
from vna.pixels.wire import ROOM_BYTES

HELLO = b"!"


def main() -> None:
    """Fork children until the parent is gone; arguments: handle, memory in bytes, seconds."""
    control = socket.socket(fileno=int(sys.argv[1]))
    memory_bytes, processor_s = int(sys.argv[2]), int(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's affair
    child.warm_up()
    most_bytes = confine.address_space() + ROOM_BYTES + memory_bytes
    confine.drop_privileges()
    gc.freeze()
    control.sendall(HELLO)
    with open(os.devnull, "wb") as nowhere:  # what codecs print may hold anything
        os.dup2(nowhere.fileno(), 2)
    while True:
        message, handles, _, _ = socket.recv_fds(control, 1, 3)
        if not message or len(handles) != 3:
            return
        pid = os.fork()
        if not pid:
            _become_child(control, handles, most_bytes, processor_s)
        for handle in handles:
            os.close(handle)
        ended_by = os.pidfd_open(pid)
        socket.send_fds(control, [b"%d" % pid], [ended_by])
        os.close(ended_by)
        _bury()


def _become_child(
    control: socket.socket, handles: list[int], most_bytes: int, processor_s: int
) -> None:
    code = 1
    try:
        confine.die_with_parent()
        control.close()
        asks, answers, memory = handles
        room = mmap.mmap(memory, ROOM_BYTES, prot=mmap.PROT_READ)
        os.close(memory)
        confine.limit(most_bytes)
        decoders.share_work(confine.be_alone())
        child.serve(asks, answers, room, processor_s)
        code = 0
    finally:
        os._exit(code)


def _bury() -> None:
    """Let go of children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
