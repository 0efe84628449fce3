"""`--process`: upload the files of a folder, wait for their jobs, and download the outputs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live

from remotejob import settings
from remotejob.cli import formats
from remotejob.cli.common import on_terminal, out, put, say
from remotejob.cli.layout import Facts, Listing
from remotejob.cli.local import folders
from remotejob.cli.local.workers import LocalWorkers, raise_if_hopeless
from remotejob.cli.saving import NotAllSaved, if_exists, save_outputs
from remotejob.cli.visible import json_text, one_line
from remotejob.client.job import Job
from remotejob.client.remote_job import RemoteJob
from remotejob.domain.errors import InvalidBody, InvalidInput, WaitTimeout
from remotejob.domain.file_names import spelled_alike
from remotejob.domain.states import State
from remotejob.jobs.content.download_path import IfExists, download_to

if TYPE_CHECKING:
    from remotejob.local.embedded import EmbeddedAws

_JOBS_POLL_S: Final = 0.2
_UPLOADS_TIMEOUT_S: Final = 120.0
_RECORDS: Final = "jobs.json"


def files_to_process(folder: Path, results: Path, *, force: bool) -> list[Path]:
    """The files of a folder, if their outputs may go to `results`.

    Raises: InvalidBody, for a folder without files; InvalidInput, for results that are not empty.
    """
    files = _files_in(folder)
    if not force:
        _check_empty(results)
    return files


def process_files(
    files: list[Path],
    results: Path,
    *,
    aws: EmbeddedAws,
    system: RemoteJob,
    local_workers: LocalWorkers,
    loaded: settings.Settings,
    console: Console,
    force: bool,
    as_json: bool,
) -> None:
    """Upload files, show their jobs until all have ended, and save outputs and records.

    Raises: WaitTimeout; SettingsError or LocalError, when workers keep ending; NotAllSaved.
    """
    keys = _upload(aws, system.input_bucket, loaded, files)
    say(f"uploaded {len(files)} files to s3://{system.input_bucket}/", console)
    jobs = _watch(system, local_workers, keys, console)
    downloaded, refused = download_outputs(jobs, results, if_exists(force=force))
    records = [formats.in_full(job) for job in jobs]
    # the records disappear with the system when this command ends, so keep a copy
    records_file = results / _RECORDS
    text = json_text(records, indent=2).encode()
    download_to(records_file, lambda part: part.write_bytes(text), IfExists.OVERWRITE)
    if as_json:
        formats.to_json(out, records)
    else:
        _report(jobs, downloaded, system, records_file, console)
    if refused is not None:
        raise refused


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InvalidBody(f"--process {folder}: no such folder; check the path")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if not files:
        raise InvalidBody(f"--process {folder}: the folder has no files; put some in it")
    return files


def _upload(
    aws: EmbeddedAws, bucket: str, loaded: settings.Settings, files: list[Path]
) -> list[str]:
    """Upload files as a user would; return their keys."""
    keys = {_key_for(file, loaded): file for file in files}
    s3 = aws.client("s3")
    for key, file in keys.items():
        s3.upload_file(str(file), bucket, key)
    return list(keys)


def _watch(
    system: RemoteJob, local_workers: LocalWorkers, keys: list[str], console: Console
) -> list[Job]:
    """Show the jobs of uploads until all have ended.

    Raises: WaitTimeout; SettingsError or LocalError, when workers keep ending.
    """
    jobs: dict[str, Job] = {}

    def table() -> Listing:
        known = [jobs[key] for key in keys if key in jobs]
        return formats.table(known, width=console.width)

    live_table = on_terminal(console)
    with (
        Live(console=console, refresh_per_second=8, transient=True)
        if live_table
        else nullcontext() as live
    ):
        deadline = time.monotonic() + _UPLOADS_TIMEOUT_S
        while len(jobs) < len(keys) or not all(job.ended for job in jobs.values()):
            if len(jobs) < len(keys) and time.monotonic() > deadline:
                raise WaitTimeout(
                    f"{len(keys) - len(jobs)} of {len(keys)} uploads made no job in "
                    f"{_UPLOADS_TIMEOUT_S:.0f} s; see the functions' logs in {folders.LOGS}"
                )
            local_workers.check(on_ended=raise_if_hopeless)
            for job in system.jobs(limit=len(keys)):
                if job.input is not None and job.input.key in keys:
                    jobs[job.input.key] = job
            if live is not None:
                live.update(table())
            time.sleep(_JOBS_POLL_S)
    put(table(), console)
    return [jobs[key] for key in keys]


def _key_for(file: Path, loaded: settings.Settings) -> str:
    """The upload key for a file: the prefix of the first route that takes it, and its name."""
    for route in loaded.routes:
        if route.matches(route.prefix + file.name):
            return route.prefix + file.name
    raise InvalidBody(
        f"{file}: no route in the settings takes this file; add its suffix to a route"
    )


def _check_empty(results: Path) -> None:
    """Refuse a folder with files before the jobs run, whose outputs have unknown names.

    Raises: InvalidInput.
    """
    if results.is_dir() and any(results.iterdir()):
        raise InvalidInput(
            f"--results {results}: the folder is not empty; name another one, or --force to "
            "overwrite files of the same name"
        )


def download_outputs(
    jobs: list[Job], folder: Path, existing: IfExists
) -> tuple[dict[str, list[Path]], NotAllSaved | None]:
    """Download the outputs of the jobs; return their paths by job id, and what was not saved."""
    names = {_RECORDS}
    outputs = []
    for job in jobs:
        for output in job.outputs.values():
            # cat.jpg and cat.png both become cat.png
            spelled = spelled_alike(output.name)
            under = job.id if spelled in names else ""
            names.add(spelled)
            outputs.append((job.id, under, output))
    refused: NotAllSaved | None = None
    paths: Sequence[Path | None]
    try:
        paths = save_outputs([(under, output) for _, under, output in outputs], folder, existing)
    except NotAllSaved as problem:
        refused, paths = problem, problem.paths
    folder.mkdir(parents=True, exist_ok=True)
    downloaded: dict[str, list[Path]] = {}
    for (job_id, _, _), path in zip(outputs, paths, strict=True):
        if path is not None:
            downloaded.setdefault(job_id, []).append(path)
    return downloaded, refused


def _report(
    jobs: list[Job],
    downloaded: dict[str, list[Path]],
    system: RemoteJob,
    records_file: Path,
    console: Console,
) -> None:
    """Print where everything is: downloaded files, records, objects in the output bucket."""
    for job in jobs:
        console.print()
        facts = Facts()
        facts.add_row("input", one_line(job.filename or ""))
        facts.add_row("state", formats.state_text(job))
        for path in downloaded.get(job.id, []):
            facts.add_row("file", one_line(str(path)))
        for output in job.outputs.values():
            facts.add_row("output", one_line(f"s3://{system.output_bucket}/{output.key}"))
        if job.state is State.COMPLETED:
            facts.add_row("result", json_text(job.result))
        for error in job.errors:
            facts.add_row("error", f"{error.kind}: {error.message}")
        facts.add_row("job", job.id)
        put(facts, console)
    completed = sum(job.state is State.COMPLETED for job in jobs)
    console.print()
    say(f"{completed} of {len(jobs)} jobs completed; their records are in {records_file}", console)
