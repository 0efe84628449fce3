"""Example task: makes a thumbnail of a photo."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from remotejob import Fatal, Retry, RunningJob, task
from worker_container.tasks.pictures import as_seen


@task(
    "thumbnail",
    retry=Retry(max_attempts=3, wait=timedelta(seconds=30)),
    timeout=timedelta(minutes=5),
)
def thumbnail(job: RunningJob) -> dict[str, Any]:
    """Scale a photo to fit a square of `data["size"]` pixels (default 400), as PNG.

    The PNG is upright, in sRGB and without transparency: what was transparent is white.

    Source: remotejob's README, whose worker does the same with GraphicsMagick.
    """
    size = (job.data or {}).get("size", 400)
    path = job.download()
    job.progress(1, 3)

    def warn(problem: str) -> None:
        job.log(f"{path.name}: {problem}", level="warning")

    try:
        with Image.open(path) as photo:
            before = photo.size
            seen = as_seen(photo, warn=warn)
    except UnidentifiedImageError:
        # Fatal: another attempt would find the same file
        raise Fatal(f"{path.name} is not an image this task can read") from None
    seen.thumbnail((size, size))
    job.progress(2, 3)
    png = BytesIO()
    seen.save(png, format="PNG", optimize=True)
    name = f"{Path(path.name).stem}.png"
    job.output(name, png.getvalue())
    job.log(f"{path.name}: {before[0]}x{before[1]} became {seen.width}x{seen.height}")
    job.progress(3, 3)
    return {"from": list(before), "to": list(seen.size), "bytes": png.tell()}
