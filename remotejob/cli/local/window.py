"""What `remotejob local` prints while it runs: one line for each thing that happens."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console
from rich.text import Text

from remotejob.cli.common import put
from remotejob.cli.layout import Paragraph
from remotejob.cli.local.lines import SHORT, JobLines, Shown
from remotejob.cli.local.logs import WorkerLogs

_BAR = "| "
_GAP = "  "


class Window:
    """Prints lines with the time of day.

    What others wrote can neither drive the terminal nor pass for a line of ours: the console shows
    controls as escapes, and the further lines of a text are indented.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str, *, style: str = "") -> None:
        """Print a line of our own."""
        self.show(Shown(text=text, style=style))

    def show(self, shown: Shown) -> None:
        clock = f"{datetime.now().astimezone():%H:%M:%S}{_GAP}"
        job = self._console.render_str(f"{shown.job:<{SHORT}}{_GAP}" if shown.job else "")
        bar = _BAR if shown.of_task else ""
        job.stylize("bold")
        label = Text.assemble((clock, "dim"), job, (bar, "dim"))
        indent = " " * (len(clock) + job.cell_len) + (bar or _GAP)
        text = Paragraph(text=shown.text, style=shown.style, label=label, indent=indent)
        put(text, self._console)


def show_logs(logs: WorkerLogs, lines: JobLines, window: Window) -> None:
    """Show what workers have written since the last call."""
    for line in logs.new_lines():
        shown = lines.shown(line)
        if shown is not None:
            window.show(shown)
