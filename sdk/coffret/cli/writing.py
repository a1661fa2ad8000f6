"""Say things: data on standard output, remarks and errors on standard error.

Nothing that came from an app, a server or a memory is written as it came: control and
bidirectional characters are left out, and JSON is written in ASCII.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from coffret.sharing import shown
from coffret_vault.errors import (
    AccountDeletedError,
    ConflictError,
    InputError,
    NetworkError,
    NotFoundError,
    StoreError,
    TimedOutError,
)
from coffret_vault.formats.marks import JOINERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from coffret.flows.sync import Progress
    from coffret_vault.errors import CoffretError

_LABELS = {
    "log": "Verifying the log",
    "records": "Fetching memories",
    "memories": "Writing memories",
    "changes": "Writing changes",
    "index": "Indexing for search",
    "keys": "Handing over keys",
    "sealing": "Sealing memories",
    "deletions": "Deleting memories",
}
UNTAKEN = "standard output does not take what is to be shown"
_LONG_SECONDS = 10.0
_WORD = 16
_NAMED = 14
_SAYS_ALL = frozenset(
    (AccountDeletedError, ConflictError, InputError, NetworkError, NotFoundError, TimedOutError)
)
"""Errors of many causes, of which a particular one needs no sentence before it."""


def clean(text: str) -> str:
    """Text of several lines, as it may be shown on a terminal."""
    return "\n".join(_legible(line.expandtabs(4)) for line in text.splitlines())


def _legible(text: str) -> str:
    """Text without what a terminal would act on; names of apps have lost their joiners before."""
    return shown(text, kept=JOINERS)


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever msgspec can turn into JSON values
    """A value as JSON has it: structs as objects, sets sorted, times as ISO 8601."""
    return msgspec.to_builtins(value, order="deterministic")


class Writer:
    """Where a command writes."""

    def __init__(self, *, as_json: bool = False) -> None:
        """Write data for people, or as JSON."""
        self.as_json = as_json

    def data(self, value: Any) -> None:  # noqa: ANN401 - as plain()
        """One JSON document."""
        indent = 2 if sys.stdout.isatty() else None
        sys.stdout.write(json.dumps(plain(value), indent=indent) + "\n")

    def line(self, text: str = "") -> None:
        """A line, or a text of several lines, for a person."""
        sys.stdout.write(clean(text) + "\n")

    def deliver(self, text: str, value: Any = None) -> None:  # noqa: ANN401 - as plain()
        """As done, of what is nowhere else: it has left this process, or there is an error.

        Raises:
            StoreError: standard output does not take it.
        """
        try:
            self.done(text, value)
            sys.stdout.flush()
        except OSError:
            raise StoreError(UNTAKEN) from None

    def done(self, text: str, value: Any) -> None:  # noqa: ANN401 - as plain()
        """What was done: a sentence for a person, or the value as JSON."""
        if self.as_json:
            self.data(value)
        else:
            self.line(text)

    def note(self, text: str) -> None:
        """A remark, which is no data."""
        sys.stderr.write(clean(text) + "\n")

    def notes(self, parts: Iterable[tuple[str, str]]) -> None:
        """Remarks, each beside its name.

        On a terminal, what takes several rows stays beside it: however long an app makes a text, no
        row of it begins where names do.
        """
        named = [(f"{name}:" if name else "", shown(text)) for name, text in parts]
        if sys.stderr.isatty():
            _beside(named)
        else:
            for name, text in named:
                self.note(f"{name:{_NAMED}}{text}")

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table on a terminal; lines of cells between tabs, without titles, elsewhere.

        A terminal is told where there are no rows, and has a row's cells below each other where
        they would be torn side by side.
        """
        cleaned = [[_legible(cell.replace("\n", " ")) for cell in row] for row in rows]
        if not sys.stdout.isatty():
            sys.stdout.writelines("\t".join(row) + "\n" for row in cleaned)
            return
        if cleaned:
            _pretty(titles, cleaned)
        else:
            self.note("There are none.")

    def error(self, error: CoffretError) -> None:
        """An error: its sentence and its hint in one line, or as JSON."""
        if self.as_json:
            self.failure(error.code, str(error), error.hint, error.exit_code)
            return
        message = _sentence(str(error))
        sentence = error.sentence()
        alone = str(error) in {sentence, UNTAKEN} or type(error) in _SAYS_ALL
        lead = "" if alone else f"{sentence} "
        hint = f" {_sentence(error.hint)}" if error.hint else ""
        self.note(f"coffret: {lead}{message}{hint}".replace("\n", " "))

    def failure(self, code: str, message: str, hint: str, exit_code: int) -> None:
        """An error as JSON."""
        error = {"code": code, "message": message, "hint": hint, "exit_code": exit_code}
        sys.stderr.write(json.dumps({"error": error}) + "\n")

    def _lines(self) -> Progress:
        """Progress in a log: what is over in a few seconds says nothing."""
        begun = last = monotonic()

        def show(what: str, done: int, of: int) -> None:
            nonlocal last
            now = monotonic()
            if now - begun >= _LONG_SECONDS and now - last >= _LONG_SECONDS:
                last = now
                self.note(f"{_LABELS.get(what, what)}: {done} of {of}")

        return show

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Bars on a terminal while something takes long; elsewhere a line now and then."""
        if self.as_json or not sys.stderr.isatty():
            yield self._lines()
            return
        from rich.console import Console  # noqa: PLC0415 - takes 0.1 s: only for bars
        from rich.progress import Progress as Bars  # noqa: PLC0415 - the same

        bars = Bars(console=Console(stderr=True), transient=True)
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, of: int) -> None:
            if not tasks:  # not before: until then a person may be asked something
                bars.start()
            if what not in tasks:
                tasks[what] = bars.add_task(_LABELS.get(what, what))
            bars.update(tasks[what], completed=done, total=of)

        try:
            yield show
        finally:
            bars.stop()


def _sentence(text: str) -> str:
    if not text:
        return ""
    begun = text
    if not set("./\\") & set(text.partition(" ")[0].rstrip(".:,")):  # a file keeps its name
        begun = text[0].upper() + text[1:]
    return begun if begun.endswith((".", "!", "?")) else f"{begun}."


def _beside(named: Iterable[tuple[str, str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - takes 0.1 s: only for people
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    grid = Table.grid()
    grid.add_column(width=_NAMED, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in named:
        grid.add_row(Text(name), Text(text))
    Console(stderr=True, highlight=False, markup=False, emoji=False).print(grid)


def _pretty(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - takes 0.1 s: only for tables
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    console = Console(highlight=False, markup=False, emoji=False)
    if console.width < _least_width(titles, rows):
        table = Table(box=None, pad_edge=False, show_header=False)
        for _ in range(2):
            table.add_column(overflow="fold")
        for row in rows:
            for title, cell in zip(titles, row, strict=False):
                if cell:
                    table.add_row(Text(title, "bold"), Text(cell))
            table.add_row()
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in titles:
            table.add_column(title, overflow="fold", no_wrap=title == titles[0])
        for row in rows:
            table.add_row(*map(Text, row))  # Text, not str: brackets in a title are no markup
    console.print(table)


def _least_width(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """The columns that a table needs to be read: a word in a line, but for very long ones."""
    columns = zip(titles, *rows, strict=False)
    words = [[word for cell in column for word in cell.split()] for column in columns]
    return sum(min(_WORD, max(map(len, of_one), default=0)) + 2 for of_one in words)
