"""Download files and pack them into one archive: a task composed of other tasks.

    python examples/compose/download_and_archive.py https://example.com/ https://example.org/

runs it here, in memory, and writes the archive to `download_and_archive.tar.gz`.

In a worker, call `register()` in the tasks module; see docs/builtin-tasks.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from remotejob import RemoteJob, RunningJob, builtin, tasks
from remotejob.tasks import Registry
from remotejob.tasks.compose import compose
from remotejob.testing import Simulation, memory_installation

NAME = "download_and_archive"


def alter_keys(job: RunningJob, data: dict[str, Any]) -> dict[str, Any]:
    """Convert the output of `fetch` to the input of `targz`: pack the folder, not each file."""
    job.log(f"fetched {', '.join(data['location'])}")
    return {"location": data["destination"], "archive": f"{data['destination']}.tar.gz"}


def describe(job: RunningJob, data: dict[str, Any]) -> dict[str, Any]:
    """A custom step; the archive is in the run's folder."""
    size = (job.folder() / data["location"]).stat().st_size
    job.log(f"packed {len(data['urls'])} files", level="success")
    return {"files": len(data["urls"]), "bytes": size}


def register(registry: Registry = tasks.registry, *, fetch: builtin.Fetch | None = None) -> None:
    """Register the composed task and the built-in tasks it uses."""
    builtin.register(registry, fetch or builtin.Fetch(), names=("fetch", "targz"))
    steps = ["fetch", alter_keys, "targz", describe]
    registry.task(NAME)(compose(steps, registry=registry))


def run_here(urls: list[str], to: Path, *, fetch: builtin.Fetch | None = None) -> Any:
    """Submit one job to a system in memory, run it, and return its result.

    Raises: JobFailed.
    """
    registry = Registry()
    register(registry, fetch=fetch)
    installation = memory_installation(queues={"default": (NAME,)})
    data = {"origin": urls, "destination": "pages"}
    job = RemoteJob(installation).queue().submit(NAME, data=data)
    Simulation(installation=installation, tasks=registry).step()
    result = job.refresh().result
    job.outputs["pages.tar.gz"].download(to, if_exists="overwrite")
    return result


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: download_and_archive.py URL...")
    print(run_here(sys.argv[1:], Path("download_and_archive.tar.gz")))
