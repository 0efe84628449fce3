"""The command: `python -m audit.drain COMMAND…`; a worker in a container takes a job, and drains.

COMMAND starts the container, with the network and the variables of the host. The system is the
checkout's own, in the embedded AWS.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

import boto3

from remotejob import RemoteJob, State
from remotejob.cli.local.synthesis import synthesize
from remotejob.local.embedded import EmbeddedAws

ROOT: Final = Path(__file__).resolve().parents[1]
PHOTO: Final = next(iter(sorted((ROOT / "examples/photos").glob("*.*"))))
PATIENCE_S: Final = 120.0


def main() -> int:
    """Run one job, send SIGTERM, and wait for the end."""
    command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        assembly = Path(folder) / "assembly"
        synthesize(ROOT / "remotejob.toml", assembly)
        with EmbeddedAws.for_assembly(assembly) as aws:
            aws.deploy(assembly)
            os.environ.update(aws.environment())
            system = RemoteJob.connect(session=boto3.Session())
            worker = aws.start_worker(command=command)
            job = system.queue().submit("thumbnail", body=PHOTO.read_bytes(), filename=PHOTO.name)
            job.wait(PATIENCE_S)
            if job.state is not State.COMPLETED:
                sys.exit(f"the job is {job.state}: {worker.log.read_text()[-2000:]}")
            worker.terminate()
            code = worker.wait(PATIENCE_S)
            said = worker.log.read_text()
    if code != 0 or "worker drains" not in said:
        sys.exit(f"it did not drain, and ended with {code}: {said[-2000:]}")
    print("runs a job, and drains by SIGTERM with exit code 0")
    return 0


if __name__ == "__main__":
    sys.exit(main())
