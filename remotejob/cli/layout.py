"""Lay out what is shown: nothing is cut, and what one may copy stays in one piece.

Rich's tables cut or fold a word that is wider than its column. Here a text breaks only between
words. A longer word, such as an id or a key, stays whole: the terminal breaks it, and still copies
it as one. Each further line of a text is indented, so that none can pass for one of ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from remotejob.cli.visible import one_line

Cell = str | Text
"""What others wrote is a `str`, which the console makes visible. A `Text` has words of ours."""

UNLIMITED: Final = 10_000_000
"""Columns of what is no terminal."""
INDENT: Final = "    "
_BETWEEN: Final = "  "
_TAB: Final = 4
_WORD: Final = re.compile(r"\s*\S+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraph:
    """A text, broken between words; line feeds stay."""

    text: str
    style: str = ""
    label: Cell = ""
    """Stands before the first line, in our own words."""
    indent: str = INDENT
    """Stands before each further line."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        plain = self.text.replace("\r\n", "\n").expandtabs(_TAB)
        shown = console.render_str(plain).plain
        width = options.max_width
        before = Text.assemble(self.label)
        for line in wrap(shown, first=width - before.cell_len, rest=width - len(self.indent)):
            yield whole(Text.assemble(before, (line, self.style)))
            before = Text(self.indent)


class Facts:
    """Names and values, one pair below the other."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, Cell, str]] = []

    def add_row(self, name: str, value: Cell, style: str = "") -> None:
        self._rows.append((name, value, style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        indent = " " * (max((len(name) for name, _, _ in self._rows), default=0) + 2)
        for name, value, style in self._rows:
            label = Text.assemble((f"{name:<{len(indent)}}", "bold"))
            if isinstance(value, Text):
                yield whole(label + value)
            else:
                yield Paragraph(text=value, style=style, label=label, indent=indent)


class Listing:
    """A table, or where the console is too narrow for it, its rows as facts."""

    def __init__(self, *columns: str) -> None:
        self._columns: Final = columns
        self._rows: list[tuple[tuple[Cell, ...], Paragraph | None]] = []

    def add_row(self, *cells: Cell, below: Paragraph | None = None) -> None:
        """Add a row with a cell for each column, and what stands below it."""
        shown = (one_line(cell) if isinstance(cell, str) else cell for cell in cells)
        self._rows.append((tuple(shown), below))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = [tuple(_as_text(cell, console) for cell in row) for row, _ in self._rows]
        columns = zip(map(Text, self._columns), *table, strict=True)
        widths = [max(cell.cell_len for cell in column) for column in columns]
        if sum(widths) + len(_BETWEEN) * (len(widths) - 1) > options.max_width:
            yield from self._as_facts()
            return
        yield _line([Text(column, "bold") for column in self._columns], widths)
        for row, (_, below) in zip(table, self._rows, strict=True):
            yield _line(row, widths)
            if below is not None:
                yield below

    def _as_facts(self) -> RenderResult:
        for number, (row, below) in enumerate(self._rows):
            if number:
                yield Text()
            facts = Facts()
            for name, value in zip(self._columns, row, strict=True):
                if value:
                    facts.add_row(name, value)
            yield facts
            if below is not None:
                yield below


def wrap(text: str, *, first: int, rest: int) -> list[str]:
    """Break a text between words into lines of `first` columns, then of `rest`.

    A longer word has a line to itself and is wider than that.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in _WORD.findall(paragraph):
            width = rest if lines else first
            if line and cell_len(line + word) > width:
                lines.append(line)
                line = word.lstrip()
            elif not line and cell_len(word) > width:
                # blanks up to the edge would move the word to where a line of ours begins
                line = word.lstrip()
            else:
                line += word
        lines.append(line)
    return lines


def _line(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    """Cells of a row, each as wide as its column."""
    line = Text()
    for cell, width in zip(cells, widths, strict=True):
        line.append_text(cell).append(" " * (width - cell.cell_len) + _BETWEEN)
    line.rstrip()
    return whole(line)


def _as_text(cell: Cell, console: Console) -> Text:
    return console.render_str(cell) if isinstance(cell, str) else cell


def whole(line: Text) -> Text:
    """A line that rich neither wraps nor cuts, such as a command to copy."""
    line.no_wrap, line.overflow = True, "ignore"
    return line
