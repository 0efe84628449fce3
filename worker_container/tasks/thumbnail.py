"""Example task: makes a thumbnail of a photo."""

from __future__ import annotations

import errno
from contextlib import suppress
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from PIL import Image, UnidentifiedImageError

from remotejob import Fatal, Process, Retry, RunningJob, task
from remotejob.builtin.file_kinds import kind_of
from worker_container.tasks.pictures import as_seen

_SIZE: Final = 400
"""Pixels."""
_FORMATS: Final = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000", "PPM")
"""Pillow's readers of pictures that people send. Each further one is code that a hostile file
reaches; that of EPS runs a program."""
_MOST_PIXELS: Final = 24_000_000
"""Of 6000 by 4000, as a camera makes them. Most kinds take 8 to 15 bytes for each pixel."""
_MEMORY_MIB: Final = 448
"""Four of them, and the worker, fit into the default worker's 2048 MiB."""
_LONGEST_STEM: Final = 251
"""Bytes, so that the name with its new suffix has no more than 255."""
_LONGEST_SHOWN: Final = 80
"""Characters of a name or an error: a record keeps only the beginning of a long message."""


@task(
    "thumbnail",
    retry=Retry(max_attempts=3, wait=timedelta(seconds=30)),
    timeout=timedelta(minutes=5),
    # a file from anybody: what it does to its process must not reach other jobs
    runs_in=Process(memory_mib=_MEMORY_MIB),
)
def thumbnail(job: RunningJob) -> dict[str, Any]:
    """Scale a photo to fit a square of `data["size"]` pixels (default 400), as PNG.

    The PNG is upright, in sRGB and without transparency: what was transparent is white.

    Raises: Fatal, for data or a file that no attempt can use.
    Source: remotejob's README, whose worker does the same with GraphicsMagick.
    """
    size = _size(job.data)
    path = job.download()
    job.progress(1, 3)
    before, seen, problems = _read(path, size)
    for problem in problems:
        job.log(f"{path.name}: {problem}", level="warning")
    seen.thumbnail((size, size))
    job.progress(2, 3)
    png = BytesIO()
    seen.save(png, format="PNG", optimize=True)
    name = f"{Path(path.name).stem.encode()[:_LONGEST_STEM].decode(errors='ignore')}.png"
    job.output(name, png.getvalue())
    job.log(f"{path.name}: {before[0]}x{before[1]} became {seen.width}x{seen.height}")
    job.progress(3, 3)
    return {"from": list(before), "to": list(seen.size), "bytes": png.tell()}


def _size(data: Any) -> int:
    """Raises: Fatal."""
    if data is None:
        return _SIZE
    size = data.get("size", _SIZE) if isinstance(data, dict) else None
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise Fatal(f'data {str(data)[:100]}: give {{"size": N}}, a whole number from 1')
    return size


def _read(path: Path, size: int) -> tuple[tuple[int, int], Image.Image, list[str]]:
    """The size of a photo in its file, the photo as seen, and what is wrong with its metadata.

    The photo may be smaller than in its file, but not than a thumbnail of `size` pixels needs.

    Raises: Fatal, because another attempt would find the same file.
    """
    with suppress(MemoryError):
        return _opened(path, size)
    # only here, without its traceback, the memory that the picture took is free again
    raise Fatal(
        f"{path.name[:_LONGEST_SHOWN]} takes more memory than this task has; scale it down first"
    ) from MemoryError()


def _opened(path: Path, size: int) -> tuple[tuple[int, int], Image.Image, list[str]]:
    problems: list[str] = []
    name = path.name[:_LONGEST_SHOWN]
    try:
        with Image.open(path, formats=_FORMATS) as photo:
            before = photo.size
            # a JPEG can be decoded at a half, a quarter or an eighth
            photo.draft(None, (2 * size, 2 * size))
            # by the header: nothing is decoded yet
            _check_pixels(photo)
            return before, as_seen(photo, warn=problems.append), problems
    except UnidentifiedImageError:
        kind = kind_of(path) or "of an unknown kind"
        raise Fatal(
            f"{name} is not an image this task can read: it is {kind}; save it as JPEG, PNG or TIFF"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        raise Fatal(
            f"{name} has too many pixels: {str(problem)[:_LONGEST_SHOWN]}; scale it down first"
        ) from problem
    except Exception as problem:  # Pillow's readers raise anything for a damaged file
        if isinstance(problem, MemoryError) or _is_of_the_machine(problem):
            raise
        said = str(problem)[:_LONGEST_SHOWN]
        raise Fatal(
            f"{name} is damaged, or a kind that this task cannot read ({said}); save it again as "
            "JPEG, PNG or TIFF, and upload it again"
        ) from problem


def _check_pixels(photo: Image.Image) -> None:
    """Raises: DecompressionBombError, by the header alone."""
    if photo.width * photo.height > _MOST_PIXELS:
        raise Image.DecompressionBombError(
            f"{photo.width}x{photo.height}, {_MOST_PIXELS:,} at most"
        )


def _is_of_the_machine(problem: Exception) -> bool:
    """Whether another attempt may succeed: a full disk, say. A damaged file seeks to nowhere."""
    return isinstance(problem, OSError) and problem.errno not in (None, errno.EINVAL)
