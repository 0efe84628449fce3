"""Format jobs: as tables for people, as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

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
        "crashes": job.crashes,
        "worker": job.worker,
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


def table(jobs: Iterable[Job], *, width: int, errors: bool = False) -> Table:
    """A table of jobs for a console `width` columns wide.

    With `errors`, it shows a job's last error instead of its progress.
    """
    listed = list(jobs)
    cells = [_failure(job) if errors else None for job in listed]
    rows = Table(box=None, pad_edge=False, header_style="bold")
    rows.add_column("job", no_wrap=True, min_width=26)
    rows.add_column("state", no_wrap=True, min_width=9)
    # rich truncates these two before the task, the wider one first
    rows.add_column("error" if listed and all(cells) else "done", no_wrap=not errors)
    rows.add_column("input")
    rows.add_column("task", no_wrap=True, max_width=width // 3)
    for job, failure in zip(listed, cells, strict=True):
        done = percentage(job) if width < _NARROW else bar(job)
        rows.add_row(
            job.id,
            state_text(job),
            failure or done,
            _one_line(job.filename or ""),
            _one_line(job.task),
        )
    return rows


def _failure(job: Job) -> Text | None:
    """The first line of the last error; None while the job runs, or once it completed."""
    if not job.errors or job.state in (State.RUNNING, State.COMPLETED):
        return None
    last = job.errors[-1]
    line = next(iter(last.message.splitlines()), "")
    return _one_line(f"{last.kind}: {line}", style="red")


def _one_line(text: str, style: str = "") -> Text:
    """Text on one line, truncated with an ellipsis if the column is too narrow."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


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


def details(job: Job) -> Group:
    """Everything about one job, for people."""
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    full = in_full(job)
    facts.add_row("job", job.id)
    facts.add_row("state", state_text(job))
    facts.add_row("task", escape(f"{job.task} on queue {job.queue}, attempt {job.attempt}"))
    facts.add_row("progress", bar(job))
    for name in ("created", "due", "started", "finished"):
        if full[name] is not None:
            facts.add_row(name, full[name])
    if job.input is not None:
        facts.add_row("input", escape(f"s3://{job.input.bucket}/{job.input.key}"))
    for name, value in _relations(job):
        if value:
            facts.add_row(name, escape(value))
    for name in ("data", "result", "checkpoint"):
        if full[name] is not None:
            facts.add_row(name, escape(json.dumps(full[name], ensure_ascii=False)))
    for name, text in _history(full):
        facts.add_row(name, text)
    if job.errors and job.tracebacks():
        facts.add_row("traceback", f"remotejob show {job.id} --traceback")
    return Group(facts)


def _history(full: dict[str, Any]) -> Iterator[tuple[str, Text]]:
    """The crashes, outputs, errors and log of a job."""
    if full["crashes"]:
        yield "crashes", Text(f"{full['crashes']} (its worker died or fell silent)")
    for output in full["outputs"]:
        yield "output", Text(f"{output['name']}, {output['size']:,} bytes")
    for error in full["errors"]:
        line = f"attempt {error['attempt']}: {error['kind']}: {error['message']}"
        yield "error", Text(line, style="red")
    for line in full["log"]:
        yield "log", Text(f"{line['level']}: {line['message']}")


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
    console.print_json(data=value, highlight=False, indent=2)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
