"""What a hostile file can take: readers, pixels and memory of the example are limited."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from PIL import Image

from remotejob import Job, Process, RemoteJob, State
from remotejob.tasks import registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.executors.executors import Executors
from tests.worker_container.conftest import Shrink
from tests.worker_container.patches import COLOURS, patches, saved
from tests.worker_container.picture_files import png, tiff
from tests.worker_container.test_thumbnail_failures import reason
from worker_container.tasks.thumbnail import thumbnail

SIDE = 5000
"""More than the 24 million pixels that the example takes, and fewer than those Pillow warns of."""


LARGE: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: png((SIDE, SIDE), 8, 6, []),
    "PNG of 16 bits": lambda: png((SIDE, SIDE), 16, 6, []),
    "PNG, long and thin": lambda: png((SIDE * SIDE, 1), 8, 6, []),
    "PNG, of which Pillow warns": lambda: png((9500, 9500), 8, 6, []),
    "PNG, which Pillow refuses": lambda: png((40_000, 40_000), 8, 6, []),
    "TIFF": lambda: tiff((SIDE, SIDE), b"", bits=[8] * 4, photometric=2),
    "TIFF of floats": lambda: tiff(
        (SIDE, SIDE), b"", bits=[32], photometric=1, tags={339: (3, [3])}
    ),
    "GIF": lambda: b"GIF89a" + struct.pack("<HHBBB", SIDE, SIDE, 0xF0, 0, 0) + bytes(6)
    + b"," + struct.pack("<HHHHB", 0, 0, SIDE, SIDE, 0) + b"\x02\x00;",
    "BMP": lambda: b"BM" + struct.pack("<IHHI", 54, 0, 0, 54)
    + struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 32, 0, 0, 0, 0, 0, 0),
    "PPM": lambda: b"P6 %d %d 255\n" % (SIDE, SIDE),
    "animated PNG": lambda: png(
        (SIDE, SIDE), 8, 6, [], acTL=struct.pack(">II", 1000, 0)
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LARGE)
def test_picture_of_too_many_pixels_is_refused_by_its_header(shrink: Shrink, kind: str) -> None:
    said = reason(shrink(LARGE[kind](), filename="large.x"))

    assert said.startswith("large.x has too many pixels: ")
    assert "scale it down" in said


def test_photo_of_a_camera_is_decoded_at_a_fraction_of_its_size(shrink: Shrink) -> None:
    photo = Image.new("L", (7000, 5000), 128)

    job = shrink(saved(photo, "JPEG"))

    assert job.state is State.COMPLETED, job.errors
    assert job.result["from"] == [7000, 5000]
    assert job.result["to"] == [400, 286]


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PCX", "TGA", "SGI", "DDS", "ICNS", "PDF"])
def test_picture_of_an_unlisted_format_is_refused(shrink: Shrink, kind: str) -> None:
    body = saved(patches(COLOURS, "RGB").resize((64, 64)), kind)

    assert "is not an image this task can read" in reason(shrink(body))


def floats_that_are_no_numbers(side: int) -> bytes:
    """A TIFF of few bytes and few pixels, each of which takes 37 bytes to read."""
    return tiff(
        (side, side), zlib.compress(b"\xff" * 4 * side * side, 1), bits=[32], photometric=1,
        tags={259: (3, [8]), 339: (3, [3])},
    )  # fmt: skip


def text_that_grows(megabytes: int) -> bytes:
    text = b"name\0\0" + zlib.compress(bytes(megabytes << 20), 9)
    return png((1, 1), 8, 2, [bytes(3)], zTXt=text)


Run = Callable[[bytes], Job]


@pytest.fixture(scope="module")
def executors() -> Iterator[Executors]:
    """Kept for these tests: what one leaves warm, the next need not start."""
    made = Executors([registry["thumbnail"]])
    yield made
    made.close(within=timedelta(seconds=10))


@pytest.fixture
def run(clock: FakeClock, executors: Executors) -> Run:
    """Run the task in its process, as a worker does; the job."""
    installation = memory_installation(
        clock, queues={"default": ("thumbnail",)}, lease=timedelta(minutes=10)
    )
    queue = RemoteJob(installation).queue()
    worker = Simulation(installation=installation, tasks=registry, call=executors.run)

    def run(body: bytes) -> Job:
        job = queue.submit("thumbnail", body=body, filename="photo")
        worker.step()
        return job.refresh()

    return run


def test_file_that_fills_the_memory_fails_its_own_job_and_no_other(run: Run) -> None:
    said = reason(run(floats_that_are_no_numbers(4800)))
    honest = run(saved(patches(COLOURS, "RGB"), "PNG"))

    assert said.startswith("photo takes more memory than this task has")
    assert "memory_mib=" in said
    assert honest.state is State.COMPLETED, honest.errors


def test_text_that_unpacks_to_much_more_is_refused(run: Run) -> None:
    assert "save it again" in reason(run(text_that_grows(100)))


def test_ordinary_pictures_have_memory_enough(run: Run) -> None:
    row = b"\x40\x80\xc0\xff" * 4000

    job = run(png((4000, 2500), 8, 6, [row] * 2500))

    assert job.state is State.COMPLETED, job.errors


def test_thumbnail_runs_in_a_process_with_a_memory_limit() -> None:
    runs_in = registry["thumbnail"].runs_in

    assert registry["thumbnail"].function is thumbnail
    assert isinstance(runs_in, Process)
    assert runs_in.memory_mib is not None
    # the worker's default: four jobs in 2048 MiB, next to the worker itself
    assert 4 * runs_in.memory_mib + 128 <= 2048
