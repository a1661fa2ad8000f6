"""How the demonstration speaks: steps with their time, tables, progress."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from coffret import Found

console = Console(highlight=False)
_SNIPPET = 90


def heading(number: int, text: str) -> None:
    """Begin a part."""
    console.print()
    console.rule(f"[bold]{number} · {escape(text)}", align="left")


def say(text: str) -> None:
    """A plain sentence."""
    console.print(escape(text))


def panel(text: str, title: str) -> None:
    """A page to look at."""
    console.print(Panel(escape(text.rstrip()), title=escape(title), expand=False))


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say what was done and how long it took."""
    begun = time.perf_counter()
    yield
    took = time.perf_counter() - begun
    console.print(f"  [green]✓[/] {escape(what)} [dim]({took * 1000:,.0f} ms)[/]")


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars for long work; what is called for each step is given."""
    columns = (
        TextColumn("  {task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield advance


def hits(question: str, found: Sequence[Found]) -> None:
    """The ranked hits of a search."""
    table = Table(title=f"“{escape(question)}”", title_justify="left", expand=True)
    table.add_column("score", justify="right", width=5)
    table.add_column("why", width=14)
    table.add_column("title", ratio=2)
    table.add_column("tags", ratio=1)
    table.add_column("text", ratio=4)
    for hit in found:
        memory = hit.memory
        text = " ".join(memory.content.split())[:_SNIPPET]
        cells = (memory.title, ", ".join(memory.tags), text)
        table.add_row(f"{hit.score:.2f}", " + ".join(hit.why), *map(escape, cells))
    console.print(table)


def rows(title: str, columns: Sequence[str], values: Sequence[Sequence[str]]) -> None:
    """A table of what was looked up."""
    table = Table(title=escape(title), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="ellipsis", no_wrap=True)
    for row in values:
        table.add_row(*map(escape, row))
    console.print(table)
