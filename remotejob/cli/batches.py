"""The commands on batches: `map`, `batch`, `batch-jobs`, `batch-cancel`, `batch-retry`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from remotejob.cli import formats
from remotejob.cli.arguments import parse_data
from remotejob.cli.common import AsJson, Queue, System, Timeout, note, out, put, say, show_jobs
from remotejob.cli.connecting import connect, connect_to_change
from remotejob.cli.exit_codes import Exit
from remotejob.cli.layout import Facts
from remotejob.cli.visible import one_line
from remotejob.cli.waiting import wait_for_batch
from remotejob.client.batch import Batch
from remotejob.domain.states import State

app: Final = typer.Typer()

BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="Id of the batch.")]


@app.command("map")
def map_source(
    task: Annotated[str, typer.Argument(help="Name of the task.")],
    source: Annotated[
        str,
        typer.Argument(help="s3://bucket/prefix/, or a .jsonl or .csv manifest, local or s3://."),
    ],
    queue: Queue = "default",
    data: Annotated[
        str | None, typer.Option(help="JSON for each job, or @FILE to read it from a file.")
    ] = None,
    on_complete: Annotated[
        str | None, typer.Option(help="Task to run once all jobs have ended.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A display name for the batch.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant the jobs are for.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all jobs have ended.")] = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Submit a batch, one job for each file or manifest line, and print its id."""
    target = connect_to_change(system).queue(queue)
    submitted = target.map(
        task, source, on_complete=on_complete, data=parse_data(data), name=name, tenant=tenant
    )
    if wait:
        note(submitted.id)
    count = submitted.counts.total
    note(f"made {count} jobs" if count else f"made 0 jobs: nothing under {source}")
    if wait:
        _finish(submitted, None, as_json=as_json)
    elif as_json:
        formats.to_json(out, _as_dict(submitted))
    else:
        say(submitted.id)


@app.command()
def batch(
    batch_id: BatchId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all jobs have ended.")] = False,
    timeout: Timeout = None,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Count the jobs of a batch by state. With --wait, exits with 1 unless all completed."""
    found = connect(system).batch(batch_id)
    if wait:
        _finish(found, timeout, as_json=as_json)
    else:
        _show(found, as_json=as_json)


@app.command()
def batch_jobs(
    batch_id: BatchId,
    state: Annotated[State | None, typer.Option(help="Only jobs in this state.")] = None,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs of a batch."""
    found = connect(system).batch(batch_id)
    show_jobs(list(found.children(state)), as_json=as_json, errors=True)


@app.command()
def batch_cancel(batch_id: BatchId, system: System = None, as_json: AsJson = False) -> None:
    """Cancel all jobs of a batch that have not ended."""
    found = connect_to_change(system).batch(batch_id)
    found.cancel()
    _show(found.refresh(), as_json=as_json)


@app.command()
def batch_retry(batch_id: BatchId, system: System = None, as_json: AsJson = False) -> None:
    """Run the failed and cancelled jobs of a batch again."""
    found = connect_to_change(system).batch(batch_id)
    found.retry()
    _show(found.refresh(), as_json=as_json)


def _finish(batch: Batch, timeout: float | None, *, as_json: bool) -> None:
    _show(wait_for_batch(batch, timeout), as_json=as_json)
    if batch.counts.completed < batch.counts.total:
        raise typer.Exit(Exit.JOB_FAILED)


def _show(batch: Batch, *, as_json: bool) -> None:
    fields = _as_dict(batch)
    if as_json:
        formats.to_json(out, fields)
        return
    facts = Facts()
    for name, value in fields.items():
        if value is not None:
            facts.add_row(name.replace("_", " "), one_line(str(value)))
    put(facts)


def _as_dict(batch: Batch) -> dict[str, Any]:
    counts = batch.counts
    follower = batch.on_complete
    return {
        "batch": batch.id,
        "name": batch.name,
        "task": batch.task,
        "queue": batch.queue,
        "state": batch.state,
        "total": counts.total,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "on_complete": None if follower is None else follower.id,
    }
