"""Format jobs: as tables for people, as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from remotejob.cli.layout import INDENT, Facts, Listing, Paragraph
from remotejob.cli.visible import json_text, one_line
from remotejob.client.job import Job
from remotejob.domain.states import State

COLOURS: Final = {
    State.WAITING: "yellow",
    State.PAUSED: "yellow",
    State.READY: "cyan",
    State.RUNNING: "blue",
    State.COMPLETED: "green",
    State.FAILED: "red",
    State.CANCELLED: "magenta",
}

_BAR_WIDTH: Final = 10
_NARROW: Final = 100
"""On a terminal with fewer columns, a bar would leave no room for the task's name."""


def as_dict(job: Job) -> dict[str, Any]:
    """A job for JSON: times in ISO 8601, sizes in bytes."""
    done, total = job.progress
    fields: dict[str, Any] = {
        "id": job.id,
        "task": job.task,
        "queue": job.queue,
        "state": job.state,
        "attempt": job.attempt,
        "crashes": job.record.crashes,
        "worker": job.record.worker,
        "priority": job.priority,
        "created": job.created_at.isoformat(),
        "due": _iso(job.due_at),
        "started": _iso(job.started_at),
        "finished": _iso(job.finished_at),
        "progress": {"done": done, "total": total},
        "depends": list(job.depends),
        "resource": job.resource,
        "tenant": job.tenant,
        "repeat": None if job.repeat is None else json.loads(job.repeat.to_json()),
        "next": job.next_id,
        "origin": job.origin_id,
        "input": None,
        "errors": [
            {
                "attempt": error.attempt,
                "at": error.at.isoformat(),
                "kind": error.kind,
                "message": error.message,
            }
            for error in job.errors
        ],
    }
    if job.input is not None:
        fields["input"] = {
            "name": job.input.name,
            "bucket": job.input.bucket,
            "key": job.input.key,
            "version": job.input.version,
            "size": job.input.size,
        }
    return fields


def in_full(job: Job) -> dict[str, Any]:
    """Everything about one job, including its data, result, outputs and log."""
    return {
        **as_dict(job),
        "data": job.data,
        "checkpoint": job.last_checkpoint,
        "result": job.result if job.state is State.COMPLETED else None,
        "outputs": [
            {
                "name": output.name,
                "size": output.size,
                "etag": output.etag,
                "content_type": output.content_type,
                "key": output.key,
            }
            for output in job.outputs.values()
        ],
        "log": [
            {
                "at": line.at.isoformat(),
                "level": line.level,
                "message": line.message,
                "data": line.data,
            }
            for line in job.logs()
        ],
    }


def table(jobs: Iterable[Job], *, width: int, errors: bool = False) -> Listing:
    """A table of jobs for a console `width` columns wide.

    With `errors`, the last error of a job stands below it.
    """
    rows = Listing("job", "state", "done", "input", "task")
    for job in jobs:
        rows.add_row(
            job.id,
            state_text(job),
            percentage(job) if width < _NARROW else bar(job),
            job.filename or "",
            job.task,
            below=_failure(job) if errors else None,
        )
    return rows


def _failure(job: Job) -> Paragraph | None:
    """The last error; None while the job runs, or once it completed."""
    if not job.errors or job.state in (State.RUNNING, State.COMPLETED):
        return None
    last = job.errors[-1]
    return Paragraph(text=f"{last.kind}: {last.message}", style="red", label=INDENT)


def state_text(job: Job) -> Text:
    return Text(job.state, style=COLOURS[job.state])


def bar(job: Job) -> Text:
    """Progress as a bar with a percentage."""
    full = round(_fraction_done(job) * _BAR_WIDTH)
    text = Text("━" * full, style=COLOURS[job.state])
    text.append("━" * (_BAR_WIDTH - full), style="grey30")
    return text.append(f" {_fraction_done(job):4.0%}")


def percentage(job: Job) -> Text:
    """Progress as a percentage."""
    return Text(f"{_fraction_done(job):4.0%}", style=COLOURS[job.state])


def _fraction_done(job: Job) -> float:
    """The reported progress; 1 for a completed job, whatever it reported."""
    done, total = job.progress
    return 1.0 if job.state is State.COMPLETED else done / total


def details(job: Job) -> Facts:
    """Everything about one job, for people."""
    facts = Facts()
    full = in_full(job)
    facts.add_row("job", job.id)
    facts.add_row("state", state_text(job))
    facts.add_row("task", f"{job.task} on queue {job.queue}, attempt {job.attempt}")
    facts.add_row("progress", bar(job))
    for name in ("created", "due", "started", "finished"):
        if full[name] is not None:
            facts.add_row(name, full[name])
    if job.input is not None:
        facts.add_row("input", one_line(f"s3://{job.input.bucket}/{job.input.key}"))
    for name, value in _relations(job):
        if value:
            facts.add_row(name, one_line(value))
    for name in ("data", "result", "checkpoint"):
        if full[name] is not None:
            facts.add_row(name, json_text(full[name]))
    for name, text, style in _history(full):
        facts.add_row(name, text, style)
    if job.errors and job.tracebacks():
        facts.add_row("traceback", Text(f"remotejob show {job.id} --traceback"))
    return facts


def _history(full: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The crashes, outputs, errors and log of a job, each with a style."""
    if full["crashes"]:
        yield "crashes", f"{full['crashes']} (its worker died or fell silent)", ""
    for output in full["outputs"]:
        yield "output", one_line(f"{output['name']}, {output['size']:,} bytes"), ""
    for error in full["errors"]:
        line = f"attempt {error['attempt']}: {error['kind']}: {error['message']}"
        yield "error", line, "red"
    for line in full["log"]:
        yield "log", f"{line['level']}: {line['message']}", ""


def _relations(job: Job) -> Iterator[tuple[str, str | None]]:
    """How a job relates to other jobs."""
    yield "depends", " ".join(job.depends)
    yield "resource", job.resource
    yield "tenant", job.tenant
    yield "repeat", None if job.repeat is None else str(job.repeat)
    yield "next", job.next_id
    yield "origin", job.origin_id


def to_json(console: Console, value: Any) -> None:
    """Print JSON without colours, and without line breaks inside values."""
    console.file.write(json_text(value, console.encoding, indent=2) + "\n")
    console.file.flush()


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
