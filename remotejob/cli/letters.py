"""The commands for dead letters: list them, send them again, discard them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from remotejob.cli import formats
from remotejob.cli.common import AsJson, System, note, out, put
from remotejob.cli.connecting import connect, connect_to_change
from remotejob.cli.exit_codes import Exit
from remotejob.cli.layout import INDENT, Listing, Paragraph
from remotejob.client.remote_job import RemoteJob
from remotejob.domain.argument_checks import check_choice
from remotejob.domain.errors import InvalidData
from remotejob.jobs.commands.redrive import Redriven
from remotejob.jobs.messaging.letters import Letter, LetterKind

app: Final = typer.Typer()

OfQueue = Annotated[
    str | None, typer.Option("--queue", show_default="all", help="Only letters of this queue.")
]
OfKind = Annotated[
    str | None,
    typer.Option("--kind", show_default="all", help="Only pending, status or uploads."),
]


@app.command("deadletters")
def list_letters(
    queue: OfQueue = None, kind: OfKind = None, system: System = None, as_json: AsJson = False
) -> None:
    """List the messages that nobody could handle. They stay where they are."""
    found = connect(system).dead_letters(queue=queue, kind=kind)
    if as_json:
        formats.to_json(out, [_as_dict(letter) for letter in found])
    else:
        _show(found.letters)
    if found.hidden:
        note(f"about {found.hidden} more are being looked at by others: ask again in a few minutes")
    if not found.complete:
        note("and there are more: these are the first 1,000 of a queue")


@app.command()
def redrive(
    queue: OfQueue = None,
    kind: OfKind = None,
    jobs: Annotated[
        list[str] | None, typer.Option("--job", metavar="JOB", help="Of this job; may be repeated.")
    ] = None,
    messages: Annotated[
        list[str] | None,
        typer.Option("--message", metavar="ID", help="The letter with this id; may be repeated."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All letters of the system.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the letters that are meant; change nothing.")
    ] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Delete them, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --discard: do not ask.")] = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters again: those that all the given options name.

    Exits with 6 if any of them stays, and with 3 if there is none.
    """
    limits: dict[str, Any] = {"jobs": jobs or [], "messages": messages or []}
    if every is (queue is not None or kind is not None or any(limits.values())):
        raise InvalidData("redrive: give --all, or which: --queue, --kind, --job or --message")
    _check_kind(kind)
    if dry_run:
        _say_which(connect(system), queue, kind, limits, as_json=as_json)
        return
    remote = connect_to_change(system)
    if discard and not yes:
        _ask(remote)
    act = remote.discard_dead_letters if discard else remote.redrive
    outcomes = act(queue=queue, kind=kind, **limits)
    _report(outcomes, as_json=as_json)


def _check_kind(kind: str | None) -> None:
    if kind is not None:
        check_choice("kind ", kind, LetterKind)


def _say_which(
    remote: RemoteJob,
    queue: str | None,
    kind: str | None,
    limits: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    meant = [
        letter
        for letter in remote.dead_letters(queue=queue, kind=kind)
        if (not limits["jobs"] or letter.job_id in limits["jobs"])
        and (not limits["messages"] or letter.id in limits["messages"])
    ]
    if as_json:
        formats.to_json(out, [_as_dict(letter) for letter in meant])
    else:
        _show(meant)


def _ask(remote: RemoteJob) -> None:
    """Raises: typer.Abort, when the answer is no; InvalidData, when nobody is there to answer."""
    if not sys.stdin.isatty():
        raise InvalidData("redrive: --discard asks first, and this is no terminal; add --yes")
    typer.confirm(
        f"Delete the letters of system {remote.name}? Of a status message nobody learns, and of an"
        " upload no job is made",
        abort=True,
        err=True,
    )


def _report(outcomes: list[Redriven], *, as_json: bool) -> None:
    if as_json:
        formats.to_json(
            out,
            [{**_as_dict(one.letter), "done": one.done, "what": one.what} for one in outcomes],
        )
    else:
        for one in outcomes:
            said = f"{_about(one.letter)}: {one.what}"
            put(Paragraph(text=said, style="" if one.done else "red"))
    if not outcomes:
        note("no letters")
        raise typer.Exit(Exit.NOT_FOUND)
    if not all(one.done for one in outcomes):
        note("what stays can be deleted with --discard")
        raise typer.Exit(Exit.TROUBLE)


def _show(letters: Sequence[Letter]) -> None:
    rows = Listing("letter", "kind", "queue", "sent (UTC)", "received", "about", "state")
    if not letters:
        note("no letters")
        return
    for letter in letters:
        rows.add_row(
            letter.id,
            letter.kind,
            letter.queue or "",
            f"{letter.sent_at:%Y-%m-%d %H:%M:%S}",
            str(letter.receives),
            letter.job_id or "",
            letter.state or "",
            below=Paragraph(text=_reason(letter), style="red", label=INDENT),
        )
    put(rows)


def _reason(letter: Letter) -> str:
    return letter.reason if letter.file is None else f"{letter.file}: {letter.reason}"


def _about(letter: Letter) -> str:
    return f"{letter.id} ({letter.file or letter.job_id or letter.kind})"


def _as_dict(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "kind": letter.kind,
        "queue": letter.queue,
        "lies_in": letter.channel,
        "sent": letter.sent_at.isoformat(),
        "receives": letter.receives,
        "reason": letter.reason,
        "job": letter.job_id,
        "state": letter.state,
        "file": letter.file,
        "body": letter.body,
    }
