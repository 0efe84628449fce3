"""Request a job: the first program of remotejob's README, line by line.

python examples/requester.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from remotejob import Queue, RemoteJob, RemoteJobError

CAT = Path(__file__).parent / "photos" / "cat-face.png"


def request(queue: Queue) -> None:
    with CAT.open("rb") as body:
        data: dict[str, Any] = {"name": "Chelsea", "filename": "cat.png", "body": body}
        try:
            # unlike in the README, name the task: a queue may have several
            job = queue.submit("thumbnail", **data)
        except RemoteJobError as problem:
            sys.exit(f"could not submit job: {problem}")
    print(f"job {job.id} submitted for processing")


if __name__ == "__main__":
    request(RemoteJob.connect().queue("default"))
