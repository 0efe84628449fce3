"""Pictures of a row of patches, and what their thumbnails show."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from io import BytesIO

from PIL import Image

from remotejob import State
from tests.worker_container.conftest import Shrink

Rgb = tuple[int, int, int]

SIDE = 16
"""Pixels of a patch: wide enough that its middle is free of the next one, also in a JPEG."""
BLACK, GREY, WHITE, RED = (0, 0, 0), (128, 128, 128), (255, 255, 255), (255, 0, 0)
GREYS = (BLACK, GREY, WHITE)
COLOURS = (RED, (0, 128, 0), (0, 0, 255), GREY, WHITE, BLACK)


def patches(colours: Sequence[object], mode: str) -> Image.Image:
    """A row of patches."""
    picture = Image.new(mode, (SIDE * len(colours), SIDE))
    for number, colour in enumerate(colours):
        picture.paste(colour, (SIDE * number, 0, SIDE * (number + 1), SIDE))  # type: ignore[arg-type]
    return picture


def packed(code: str, values: Sequence[Sequence[float]]) -> bytes:
    """The rows of a picture of patches, with the samples of each patch given."""
    row = b"".join(struct.pack(code[0] + code[1] * len(value), *value) * SIDE for value in values)
    return row * SIDE


def rows(pixels: bytes) -> list[bytes]:
    each = len(pixels) // SIDE
    return [pixels[at : at + each] for at in range(0, len(pixels), each)]


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def seen(shrink: Shrink, body: bytes, *, count: int = 3) -> list[Rgb]:
    """The colour in the middle of each patch of the thumbnail."""
    job = shrink(body)
    assert job.state is State.COMPLETED, job.errors
    (output,) = job.outputs.values()
    with Image.open(output.open()) as made:
        assert made.mode == "RGB"
        assert not {"transparency", "icc_profile"} & made.info.keys()
        middles = [
            ((2 * number + 1) * made.width // (2 * count), made.height // 2)
            for number in range(count)
        ]
        return [made.getpixel(middle) for middle in middles]  # type: ignore[misc]


def close(found: Sequence[Rgb], wanted: Sequence[Rgb], *, within: int) -> bool:
    return all(
        abs(a - b) <= within
        for one, other in zip(found, wanted, strict=True)
        for a, b in zip(one, other, strict=True)
    )
