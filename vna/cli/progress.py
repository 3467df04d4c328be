"""Progress on standard error for anything longer than two seconds; nothing of it in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from vna.cli.plain import plain


class Bar:
    """One bar: `say` writes a line above it, `step` moves it on."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self._progress.console.print(plain(line), markup=False, highlight=False, soft_wrap=True)

    def step(self, count: int = 1) -> None:
        """Move on."""
        self._progress.advance(self._task, count)

    def reach(self, count: int, total: int | None = None) -> None:
        """Move to a count."""
        self._progress.update(self._task, completed=count, total=total)

    def begin(self, what: str, total: int | None = None) -> None:
        """Go on with another piece of work, from nothing."""
        self._progress.reset(self._task, total=total, description=what)


class _LateBar(Bar):
    """A bar that shows itself only when the work takes long."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        super().__init__(progress, task)
        self._due = time.monotonic() + _LATE_S

    def reach(self, count: int, total: int | None = None) -> None:
        """Move to a count, and show the bar when it is time."""
        if not self._progress.live.is_started and time.monotonic() >= self._due:
            self._progress.start()
        super().reach(count, total)


_LATE_S = 2.0


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs."""
    progress = _progress()
    shown = Bar(progress, progress.add_task(what, total=total))
    if not progress.console.is_interactive:
        yield shown
        return
    with progress:
        yield shown


@contextmanager
def later_bar(what: str, total: int | None = None) -> Iterator[Bar]:
    """Show a bar for the rest of the block once that has taken two seconds."""
    progress = _progress()
    if not progress.console.is_interactive:
        yield Bar(progress, progress.add_task(what, total=total))
        return
    try:
        yield _LateBar(progress, progress.add_task(what, total=total))
    finally:
        progress.stop()


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=Console(stderr=True))
