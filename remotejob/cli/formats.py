"""Format jobs: as tables for people, as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from remotejob.cli.layout import INDENT, Facts, Listing, Paragraph
from remotejob.cli.program import called_as
from remotejob.cli.visible import json_text, one_line
from remotejob.client.job import Job
from remotejob.domain.repeat import PreviousRun
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
        "crash_limit": job.crash_limit,
        "lost_leases": job.lost_leases,
        "worker": job.worker,
        "priority": job.priority,
        "created": job.created_at.isoformat(),
        "due": _iso(job.due_at),
        "expires": _iso(job.expires_at),
        "started": _iso(job.started_at),
        "finished": _iso(job.finished_at),
        "progress": {"done": done, "total": total},
        "depends": list(job.depends),
        "resource": job.resource,
        "tenant": job.tenant,
        "repeat": None if job.repeat is None else json.loads(job.repeat.to_json()),
        "next": job.next_id,
        "previous": None if job.previous is None else _previous(job.previous),
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
    following = job.next_job()
    return {
        **as_dict(job),
        "next_state": None if following is None else following.state,
        "next_due": None if following is None else _iso(following.due_at),
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
                "actor": line.actor,
            }
            for line in job.logs()
        ],
    }


def table(jobs: Iterable[Job], *, width: int, errors: bool = False) -> Listing:
    """A table of jobs for a console `width` columns wide.

    With `errors`, the last error of a job stands below it.
    """
    listed = list(jobs)
    scheduled = any(job.repeat is not None for job in listed)
    rows = Listing(
        "job", "state", "done", "input", "task", *(("due (UTC)", "repeats") if scheduled else ())
    )
    for job in listed:
        rows.add_row(
            job.id,
            state_text(job),
            percentage(job) if width < _NARROW else bar(job),
            job.filename or "",
            job.task,
            *(_schedule(job) if scheduled else ()),
            below=_failure(job) if errors else None,
        )
    return rows


def _schedule(job: Job) -> tuple[str, str]:
    """When a job is due, and how it repeats."""
    waits = job.state in (State.WAITING, State.PAUSED) and job.due_at is not None
    due = f"{job.due_at:%Y-%m-%d %H:%M}" if waits else ""
    return due, "" if job.repeat is None else str(job.repeat)


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
    done, total = job.progress
    return done / total


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
    for name, value in _relations(job, full):
        if value:
            facts.add_row(name, one_line(value))
    for name in ("data", "result", "checkpoint"):
        if full[name] is not None:
            facts.add_row(name, json_text(full[name]))
    for name, text, style in _history(full):
        facts.add_row(name, text, style)
    if job.errors and job.tracebacks():
        facts.add_row("traceback", Text(f"{called_as()} show {job.id} --traceback"))
    return facts


def _history(full: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The crashes, outputs, errors and log of a job, each with a style."""
    if full["crashes"]:
        yield "crashes", f"{full['crashes']} (its worker died or fell silent)", ""
    if full["lost_leases"]:
        yield "lost leases", f"{full['lost_leases']} (its worker lived, but was cut off)", ""
    for output in full["outputs"]:
        yield "output", one_line(f"{output['name']}, {output['size']:,} bytes"), ""
    for error in full["errors"]:
        line = f"attempt {error['attempt']}: {error['kind']}: {error['message']}"
        yield "error", line, "red"
    for line in full["log"]:
        by = f" ({line['actor']})" if line["actor"] else ""
        yield "log", f"{line['level']}: {line['message']}{by}", ""


def _relations(job: Job, full: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """How a job relates to other jobs."""
    yield "depends", " ".join(job.depends)
    yield "resource", job.resource
    yield "tenant", job.tenant
    yield "repeat", None if job.repeat is None else str(job.repeat)
    yield "next", _next(full)
    yield "previous run", None if job.previous is None else str(job.previous)
    yield "origin", job.origin_id


def _next(full: dict[str, Any]) -> str | None:
    """The job that repeats this one, and when it runs."""
    if full["next"] is None:
        return None
    state, due = full["next_state"], full["next_due"]
    when = f", due {due}" if state == State.WAITING else ""
    return f"{full['next']} ({state or 'removed'}{when})"


def _previous(run: PreviousRun) -> dict[str, Any]:
    return {"state": run.state, "at": run.at.isoformat(), "error": run.error}


def to_json(console: Console, value: Any) -> None:
    """Print JSON without colours, and without line breaks inside values."""
    console.file.write(json_text(value, console.encoding, indent=2) + "\n")
    console.file.flush()


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
