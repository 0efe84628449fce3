"""The commands on what is more than one job: batches, and workers."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from remotejob.cli import formats
from remotejob.cli.arguments import data_of
from remotejob.cli.common import AsJson, Queue, System, Timeout, err, note, out, put, show_jobs
from remotejob.cli.exit_codes import Exit
from remotejob.cli.waiting import wait_for_batch
from remotejob.client.batch import Batch
from remotejob.client.remote_job import RemoteJob
from remotejob.domain.states import State
from remotejob.jobs.queries.workers import WorkerStatus

app: Final = typer.Typer()

BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="Id of the batch.")]


@app.command("map")
def map_source(
    task: Annotated[str, typer.Argument(help="Name of the task.")],
    source: Annotated[
        str,
        typer.Argument(help="s3://bucket/prefix/, or a manifest: .jsonl or .csv, here or s3://."),
    ],
    queue: Queue = "default",
    data: Annotated[
        str | None, typer.Option(help="JSON for each job, or @FILE to read it from a file.")
    ] = None,
    on_complete: Annotated[
        str | None, typer.Option(help="Task of a job that runs when all have ended.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    tenant: Annotated[str | None, typer.Option(help="For whom they are.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all have ended.")] = False,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """Make a job of each file, or of each line of a manifest, as one batch; print its id."""
    jobs = RemoteJob.connect(system).queue(queue)
    made = jobs.map(
        task, source, on_complete=on_complete, data=data_of(data), name=name, tenant=tenant
    )
    if wait:
        note(made.id)
    count = made.counts.total
    note(f"made {count} jobs" if count else f"made 0 jobs: nothing under {source}")
    if wait:
        _finish(made, None, as_json=as_json)
    elif as_json:
        formats.to_json(out, _batch(made))
    else:
        out.print(made.id, highlight=False)


@app.command()
def batch(
    batch_id: BatchId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all have ended.")] = False,
    timeout: Timeout = None,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """Show how many jobs of a batch stand where. With --wait, exit code 1 unless all completed."""
    found = RemoteJob.connect(system).batch(batch_id)
    if wait:
        _finish(found, timeout, as_json=as_json)
    else:
        _show(found, as_json=as_json)


@app.command()
def batch_jobs(
    batch_id: BatchId,
    state: Annotated[State | None, typer.Option(help="In this state alone.")] = None,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """List the jobs of a batch."""
    found = RemoteJob.connect(system).batch(batch_id)
    show_jobs(list(found.children(state)), as_json=as_json, errors=True)


@app.command()
def batch_cancel(batch_id: BatchId, system: System = "default", as_json: AsJson = False) -> None:
    """End all jobs of a batch that have not ended."""
    found = RemoteJob.connect(system).batch(batch_id)
    found.cancel()
    _show(found.refresh(), as_json=as_json)


@app.command()
def batch_retry(batch_id: BatchId, system: System = "default", as_json: AsJson = False) -> None:
    """Run those jobs of a batch again that failed or were cancelled."""
    found = RemoteJob.connect(system).batch(batch_id)
    found.retry()
    _show(found.refresh(), as_json=as_json)


@app.command()
def workers(
    queue: Annotated[str | None, typer.Option(help="Of this queue alone.")] = None,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """List the workers: who lives, what they can do, and what they are doing."""
    found = RemoteJob.connect(system).workers(queue)
    if as_json:
        formats.to_json(out, [_worker(one) for one in found])
    elif found:
        put(_workers(found))
    else:
        err.print("no workers")


def _finish(batch: Batch, timeout: float | None, *, as_json: bool) -> None:
    _show(wait_for_batch(batch, timeout), as_json=as_json)
    if batch.counts.completed < batch.counts.total:
        raise typer.Exit(Exit.JOB_FAILED)


def _show(batch: Batch, *, as_json: bool) -> None:
    told = _batch(batch)
    if as_json:
        formats.to_json(out, told)
        return
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in told.items():
        if value is not None:
            facts.add_row(name.replace("_", " "), escape(str(value)))
    put(facts)


def _batch(batch: Batch) -> dict[str, Any]:
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


def _worker(worker: WorkerStatus) -> dict[str, Any]:
    return {
        "name": worker.name,
        "queue": worker.queue,
        "alive": worker.alive,
        "draining": worker.draining,
        "abilities": list(worker.abilities),
        "concurrency": worker.concurrency,
        "version": worker.version,
        "started": worker.started_at.isoformat(),
        "seen": worker.seen_at.isoformat(),
        "running": [
            {"job": one.job_id, "task": one.task, "since": one.since.isoformat()}
            for one in worker.running
        ],
    }


def _workers(found: list[WorkerStatus]) -> Table:
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("worker", "queue", "alive", "seen", "running", "can do"):
        rows.add_column(column, no_wrap=column != "can do")
    for one in found:
        rows.add_row(
            escape(one.name),
            escape(one.queue),
            _life(one),
            f"{one.seen_at:%Y-%m-%d %H:%M:%S}",
            f"{len(one.running)} of {one.concurrency}",
            escape(", ".join(one.abilities)),
        )
    return rows


def _life(worker: WorkerStatus) -> str:
    if worker.draining and worker.alive:
        return "draining"
    return {True: "yes", False: "no", None: "idle"}[worker.alive]
