"""Options that several commands share, and printing to the terminal."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.text import Text

from remotejob.cli import formats
from remotejob.cli.arguments import parse_seconds
from remotejob.cli.layout import UNLIMITED, Paragraph
from remotejob.cli.visible import visible
from remotejob.client.job import Job
from remotejob.client.remote_job import NAME_VARIABLE
from remotejob.domain.errors import InvalidData
from remotejob.domain.retry import Retry


class SafeConsole(Console):
    """A console that makes each string it prints visible, and takes none for markup.

    It wraps lines only on a terminal, so that programs read whole values.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text, self.encoding), **options)

    @property
    def size(self) -> ConsoleDimensions:
        size = super().size
        return size if on_terminal(self) else ConsoleDimensions(UNLIMITED, size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


def on_terminal(console: Console) -> bool:
    """Whether a terminal shows it. Unlike rich, ignore environment variables that force colours."""
    return console.file.isatty()


out: Final = SafeConsole()
err: Final = SafeConsole(stderr=True)

YEAR: Final = 366 * 24 * 3600

System = Annotated[
    str | None,
    typer.Option(
        "--system",
        envvar=NAME_VARIABLE,
        show_default="that of remotejob.toml, else default",
        help="Name of the system.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of the jobs.")]
Queue = Annotated[str, typer.Option(help="Name of the queue.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")]
Timeout = Annotated[float | None, typer.Option(min=0, help="Seconds to wait; default: no limit.")]
RetryWait = Annotated[
    float | None,
    typer.Option(min=0, max=YEAR, help="With --retries: seconds between runs; default: 300."),
]


def parse_retry(retries: int | None, wait: float | None) -> Retry | None:
    """The retry policy of `--retries` and `--retry-wait`. Raises: InvalidData."""
    if retries is None:
        if wait is not None:
            raise InvalidData(
                f"--retry-wait {wait:g} needs a number of retries, such as --retries 2"
            )
        return None
    return Retry(
        max_attempts=retries + 1, wait=parse_seconds("--retry-wait", 300 if wait is None else wait)
    )


def put(renderable: RenderableType, console: Console = out) -> None:
    """Print a listing, facts or the like. No line is cut."""
    # in a group: rich joins a text of its own to a new one, which forgets what `whole` said
    console.print(Group(renderable), crop=False)


def say(text: str, console: Console = out, *, style: str = "") -> None:
    """Print a text. On a terminal it breaks between words; its further lines are indented."""
    put(Paragraph(text=text, style=style), console)


def note(text: str) -> None:
    """Print a text to standard error, next to the result."""
    say(text, err)


def complain(text: str) -> None:
    """Print an error to standard error."""
    say(f"remotejob: {text}", err, style="red")


def show_job(job: Job, *, as_json: bool) -> None:
    if as_json:
        formats.to_json(out, formats.in_full(job))
    else:
        put(formats.details(job))


def show_jobs(jobs: list[Job], *, as_json: bool, errors: bool = False) -> None:
    """Print a table or JSON. With `errors`, show a job's last error instead of its progress."""
    if as_json:
        formats.to_json(out, [formats.as_dict(job) for job in jobs])
    elif jobs:
        put(formats.table(jobs, width=out.width, errors=errors))
    else:
        note("no jobs")
