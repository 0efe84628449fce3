"""Files and data that no attempt can use fail the job at once, and say what to do."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from remotejob import Job, State
from tests.worker_container.conftest import Shrink
from tests.worker_container.patches import COLOURS, packed, patches, saved
from tests.worker_container.picture_files import png, tiff


def reason(job: Job) -> str:
    """Why the job failed, at its first and only attempt."""
    assert (job.state, job.attempt) == (State.FAILED, 1)
    (failure,) = job.errors
    assert failure.kind == "Fatal"
    return failure.message


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "JPEG2000", "AVIF"])
@pytest.mark.parametrize("left", [0.2, 0.5, 0.9])
def test_truncated_picture_fails_at_once(shrink: Shrink, kind: str, left: float) -> None:
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    whole = saved(noise, kind)

    said = reason(shrink(whole[: int(len(whole) * left)], filename="scan.x"))

    assert said.startswith("scan.x is ")
    assert "save it" in said


DAMAGED: dict[str, Callable[[], bytes]] = {
    "PNG, checksum": lambda: saved(patches(COLOURS, "RGB"), "PNG").replace(b"IDAT", b"IDAU"),
    "PNG, no data": lambda: png((48, 16), 8, 2, []),
    "TIFF, offsets to nowhere": lambda: tiff(
        (48, 16), packed("<B", COLOURS[:3]), bits=[8] * 3, photometric=2,
        tags={273: (4, [0xFFFFFFF0])},
    ),
    "TIFF, too few bytes": lambda: tiff((48, 160), b"x" * 48, bits=[8] * 3, photometric=2),
    "TIFF, bits that nobody uses": lambda: tiff((48, 16), b"x" * 9000, bits=[13], photometric=1),
    "TIFF, deep planes": lambda: tiff(
        (48, 16), b"x" * 9216, bits=[16] * 4, photometric=5,
        tags={284: (3, [2]), 273: (4, [8] * 4), 279: (4, [1536] * 4)},
    ),
    "EPS": lambda: saved(patches(COLOURS, "RGB"), "EPS"),
    "header alone": lambda: b"\x89PNG\r\n\x1a\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_picture_fails_at_once(shrink: Shrink, kind: str) -> None:
    assert "save it" in reason(shrink(DAMAGED[kind]()))


def test_decompression_bomb_fails_at_once(shrink: Shrink) -> None:
    said = reason(shrink(png((40_000, 40_000), 8, 0, []), filename="bomb.png"))

    assert said.startswith("bomb.png has too many pixels")
    assert "scale it down" in said


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.txt", b"x")
    return made.getvalue()


def locked_zip() -> bytes:
    plain = bytearray(zipped())
    plain[6] |= 1
    return bytes(plain)


PDF = b"%PDF-1.7\n1 0 obj\n<</Type/Catalog>>\nendobj\ntrailer\n<</Root 1 0 R"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"some text", "of an unknown kind"),
        (PDF + b">>\n%%EOF\n", "a PDF document"),
        (PDF + b"/Encrypt 2 0 R>>\n%%EOF\n", "an encrypted PDF document"),
        (PDF + b" " * 10_000 + b"/Encrypt 2 0 R>>\n%%EOF\n", "an encrypted PDF document"),
        (zipped(), "a zip archive"),
        (locked_zip(), "an encrypted zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an Office document"),
        (struct.pack(">I4s4s", 24, b"ftyp", b"heic") + bytes(600), "a HEIC picture"),
        (struct.pack(">I4s4s", 24, b"ftyp", b"isom") + bytes(600), "a video"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_file_that_is_no_picture_is_named_as_what_it_is(
    shrink: Shrink, body: bytes, named: str
) -> None:
    said = reason(shrink(body, filename="photo.jpg"))

    assert said.startswith("photo.jpg is not an image this task can read: it is ")
    assert named in said


@pytest.mark.parametrize(
    "data",
    [{"size": value} for value in ("big", "200", 0, -1, 1.5, None, True, [9])] + [[], 7, "x"],
)
def test_data_without_a_size_to_use_fails_at_once(shrink: Shrink, data: Any) -> None:
    said = reason(shrink(saved(patches(COLOURS, "RGB"), "PNG"), data=data))

    assert 'give {"size": N}' in said


@pytest.mark.parametrize("name", ["x" * 253 + ".j", "x" * 255, "ü" * 126 + ".j", ".jpg", "a.b.c"])
def test_thumbnail_of_a_long_name_has_a_name_that_fits(shrink: Shrink, name: str) -> None:
    job = shrink(saved(patches(COLOURS, "RGB"), "PNG"), filename=name)

    assert job.state is State.COMPLETED, job.errors
    (made,) = job.outputs
    assert made.endswith(".png")
    assert len(made.encode()) <= 255
