"""Progress on standard error for anything longer than two seconds; nothing of it in a pipe."""

from __future__ import annotations

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


class Bar:
    """One bar: `say` writes a line above it, `step` moves it on."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def step(self, count: int = 1) -> None:
        """Move on."""
        self._progress.advance(self._task, count)

    def reach(self, count: int, total: int | None = None) -> None:
        """Move to a count."""
        self._progress.update(self._task, completed=count, total=total)


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bar(progress, progress.add_task(what, total=total))
