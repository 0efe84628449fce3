"""Process jobs as they arrive: the second program of remotejob's README, line by line.

    python examples/receiver.py

It takes jobs from the same queue as the system's own workers.
"""

from __future__ import annotations

import sys
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from remotejob import Queue, RemoteJob, RemoteJobError

SIZE = 400


def process_next(queue: Queue) -> None:
    job = queue.next("pending")

    # check that we still hold the job; its message is deleted only once there is an outcome
    job.acknowledge()

    # download the file and scale it to cover a square, as `resize('400^', '400^')` does
    png = BytesIO()
    error: Exception | None = None
    try:
        with job.create_read_stream() as stream, Image.open(BytesIO(stream.read())) as photo:
            scale = SIZE / min(photo.size)
            size = (round(photo.width * scale), round(photo.height * scale))
            photo.convert("RGB").resize(size).save(png, format="PNG")
    except UnidentifiedImageError as problem:
        error = problem

    items = [{"key": "output", "filename": "cat.png", "body": png.getvalue()}]
    job.complete(error, items)
    print(f"{job.filename} processed" if error is None else f"{job.filename} failed: {error}")


if __name__ == "__main__":
    queue = RemoteJob.connect().queue("default")
    try:
        while True:
            process_next(queue)
    except RemoteJobError as problem:
        sys.exit(f"Worker failed: {problem}")
