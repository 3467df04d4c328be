"""Child processes: forked from one single-threaded parent, started again when they die.

A fork shares the memory of everything imported so far. It is safe because the parent never has a
second thread. Children end with their parent: a pipe that only the parent holds open tells them.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from vna.cli.itself import be_called
from vna.errors import VNAError

logger = logging.getLogger(__name__)

_FIRST_DELAY_S = 0.1
_LAST_DELAY_S = 30.0
_STEADY_S = 60.0  # a child that lived this long starts again without a delay

Begin = Callable[[], tuple[Callable[[], None], tuple[int, ...]]]
"""Called in the parent before each fork: what the child shall run, and the descriptors that are
the child's from then on."""


@dataclass(slots=True)
class _Child:
    name: str
    begin: Begin
    pid: int = 0  # 0: not running
    started: float = 0.0
    delay_s: float = 0.0
    start_at: float = 0.0


class Supervisor:
    """Starts, watches and stops the children. Not for threads."""

    def __init__(
        self,
        *,
        leave: Callable[[], None] = lambda: None,
        ended: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`leave` closes, in a child, what is the parent's; `ended` is told who died."""
        self._leave = leave
        self._ended = ended
        self._children: list[_Child] = []
        self._lifeline, self._held = os.pipe()
        self._is_stopping = False

    @property
    def lifeline(self) -> int:
        """What can be read once this process is gone: for a child that becomes another program."""
        return self._lifeline

    def add(self, name: str, begin: Begin) -> None:
        """Name a child and what it does; `tend` starts it."""
        self._children.append(_Child(name, begin))

    def running(self) -> dict[str, int]:
        """Return the process ids of the children that run, by name."""
        return {child.name: child.pid for child in self._children if child.pid}

    def tend(self) -> float | None:
        """Take note of deaths, start what is due, and say in how many seconds to come again."""
        self._bury()
        if self._is_stopping:
            return None
        now = time.monotonic()
        for child in self._children:
            if not child.pid and child.start_at <= now:
                self._start(child)
        due = [child.start_at - now for child in self._children if not child.pid]
        return max(min(due), 0.0) if due else None

    def stop(self, grace_s: float) -> None:
        """Ask all to finish; what has not done so after `grace_s` is killed."""
        self.ask_to_stop()
        until = time.monotonic() + grace_s
        while self.running() and time.monotonic() < until:
            time.sleep(0.02)
            self._bury()
        if late := self.running():
            logger.warning("children killed", extra={"children": sorted(late)})
            self._signal(signal.SIGKILL)
        while self.running():
            self._bury(wait=True)

    def end(self, name: str) -> None:
        """Kill a child that is of no use any more, to be started again; not while all stop."""
        if not self._is_stopping and (pid := self.running().get(name)):
            logger.warning("child of no use any more", extra={"child": name})
            os.kill(pid, signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """Ask all to finish, and start none again."""
        self._is_stopping = True
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.running().values():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _bury(self, *, wait: bool = False) -> None:
        for child in self._children:
            if child.pid:
                pid, status = os.waitpid(child.pid, 0 if wait else os.WNOHANG)
                if pid:
                    self._note_end(child, os.waitstatus_to_exitcode(status))

    def _note_end(self, child: _Child, code: int) -> None:
        lived_s = time.monotonic() - child.started
        self._ended(child.pid)
        child.pid = 0
        if lived_s > _STEADY_S:
            child.delay_s = child.start_at = 0.0
        else:
            self._put_off(child)
        if not self._is_stopping:
            fields = {"child": child.name, "exit": code, "again_in_s": child.delay_s}
            logger.warning("child ended", extra=fields)

    def _start(self, child: _Child) -> None:
        try:
            run, given = child.begin()
            child.pid, child.started = self._fork(child.name, run, given), time.monotonic()
        except OSError as exc:  # no memory, processes or descriptors left: others may end
            logger.error("child not started", extra={"child": child.name, "errno": exc.errno})  # noqa: TRY400 -- tried again
            self._put_off(child)
            return
        logger.info("child started", extra={"child": child.name, "child_pid": child.pid})

    def _put_off(self, child: _Child) -> None:
        child.delay_s = min(child.delay_s * 2 or _FIRST_DELAY_S, _LAST_DELAY_S)
        child.start_at = time.monotonic() + child.delay_s

    def _fork(self, name: str, run: Callable[[], None], given: tuple[int, ...]) -> int:
        sys.stdout.flush()
        gc.collect()
        gc.freeze()  # what is shared now stays shared: no collection writes into it
        try:
            pid = os.fork()
            if not pid:
                self._become(name, run)
        finally:
            for handle in given:
                os.close(handle)
        return pid

    def _become(self, name: str, run: Callable[[], None]) -> NoReturn:
        """Be the child, and never return into the parent's code."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGHUP):  # of a terminal: the parent passes it on
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.close(self._held)
            self._leave()
            be_called(f"vna {name}")
            threading.Thread(target=end_with, args=(self._lifeline,), daemon=True).start()
            run()
            code = 0
        except VNAError as exc:
            logger.error("child failed", extra={"child": name, "why": str(exc)})  # noqa: TRY400 -- a sentence of ours, not a fault to be traced
        except BaseException:
            logger.exception("child failed", extra={"child": name})
        finally:
            os._exit(code)


def end_with(lifeline: int) -> None:
    """Wait until the parent is gone, and go with it, whatever is under way."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGKILL)
