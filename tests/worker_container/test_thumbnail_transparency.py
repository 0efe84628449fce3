"""What is transparent in a picture is white in its thumbnail."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from PIL import Image

from tests.worker_container.conftest import Shrink
from tests.worker_container.patches import (
    BLACK,
    GREY,
    GREYS,
    SIDE,
    WHITE,
    close,
    packed,
    patches,
    rows,
    saved,
    seen,
)
from tests.worker_container.picture_files import png, tiff

CLEAR: dict[str, Callable[[], bytes]] = {
    # each has black, a transparent patch with a colour of its own, and grey
    "PNG RGBA": lambda: saved(
        patches([(0, 0, 0, 255), (255, 0, 255, 0), (*GREY, 255)], "RGBA"), "PNG"
    ),
    "PNG LA": lambda: saved(patches([(0, 255), (0, 0), (128, 255)], "LA"), "PNG"),
    "WebP RGBA": lambda: saved(
        patches([(0, 0, 0, 255), (255, 0, 255, 0), (*GREY, 255)], "RGBA"), "WEBP", lossless=True
    ),
    "GIF": lambda: saved(
        patches([(0, 0, 0, 255), (255, 0, 255, 0), (*GREY, 255)], "RGBA"), "GIF"
    ),
    "TIFF RGBA": lambda: saved(
        patches([(0, 0, 0, 255), (255, 0, 255, 0), (*GREY, 255)], "RGBA"), "TIFF"
    ),
    "TIFF LA": lambda: saved(patches([(0, 255), (0, 0), (128, 255)], "LA"), "TIFF"),
    "TIFF La": lambda: tiff(
        (SIDE * 3, SIDE),
        packed("<B", [(0, 255), (0, 0), (128, 255)]),
        bits=[8, 8],
        photometric=1,
        tags={338: (3, [1])},
    ),
    "TIFF PA": lambda: saved(
        patches([(0, 0, 0, 255), (255, 0, 255, 0), (*GREY, 255)], "RGBA").convert("PA"), "TIFF"
    ),
    "TIFF RGBA of 16 bits": lambda: tiff(
        (SIDE * 3, SIDE),
        packed("<H", [(0, 0, 0, 65535), (65535, 0, 65535, 0), (32896, 32896, 32896, 65535)]),
        bits=[16] * 4,
        photometric=2,
        tags={338: (3, [2])},
    ),
    "PNG RGBA of 16 bits": lambda: png(
        (SIDE * 3, SIDE), 16, 6,
        rows(packed(">H", [(0, 0, 0, 65535), (65535, 0, 9, 0), (32896, 32896, 32896, 65535)])),
    ),
    "PNG LA of 16 bits": lambda: png(
        (SIDE * 3, SIDE), 16, 4, rows(packed(">H", [(0, 65535), (0, 0), (32896, 65535)]))
    ),
    "PNG P, one index": lambda: saved(indexed(), "PNG", transparency=1),
    "PNG P, bytes": lambda: saved(indexed(), "PNG", transparency=b"\xff\x00\xff"),
    "PNG L tRNS": lambda: png(
        (SIDE * 3, SIDE), 8, 0, rows(packed(">B", [(0,), (77,), (128,)])), tRNS=b"\0\x4d"
    ),
    "PNG RGB tRNS": lambda: png(
        (SIDE * 3, SIDE), 8, 2, rows(packed(">B", [BLACK, (9, 8, 7), GREY])),
        tRNS=b"\0\x09\0\x08\0\x07"
    ),
    "PNG L of 16 bits tRNS": lambda: png(
        (SIDE * 3, SIDE), 16, 0, rows(packed(">H", [(0,), (40_000,), (32_896,)])),
        tRNS=struct.pack(">H", 40_000),
    ),
    "PNG RGB of 16 bits tRNS": lambda: png(
        (SIDE * 3, SIDE), 16, 2,
        rows(packed(">H", [(0, 0, 0), (40_000, 300, 7), (32_896, 32_896, 32_896)])),
        tRNS=struct.pack(">3H", 40_000, 300, 7),
    ),
}  # fmt: skip


def indexed() -> Image.Image:
    picture = patches([0, 1, 2], "P")
    picture.putpalette([*BLACK, 255, 0, 255, *GREY])
    return picture


@pytest.mark.parametrize("kind", CLEAR)
def test_transparent_parts_become_white(shrink: Shrink, kind: str) -> None:
    assert close(seen(shrink, CLEAR[kind]()), [BLACK, WHITE, GREY], within=1)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_transparent_grey_of_a_few_bits_becomes_white(shrink: Shrink, depth: int) -> None:
    full = (1 << depth) - 1
    samples = [0] * SIDE + [full] * SIDE
    row = int("".join(f"{sample:0{depth}b}" for sample in samples), 2)
    line = row.to_bytes(SIDE * 2 * depth // 8, "big")
    clear = struct.pack(">H", 0)

    opaque = png((SIDE * 2, SIDE), depth, 0, [line] * SIDE)
    through = png((SIDE * 2, SIDE), depth, 0, [line] * SIDE, tRNS=clear)

    assert seen(shrink, opaque, count=2) == [BLACK, WHITE]
    assert seen(shrink, through, count=2) == [WHITE, WHITE]


def test_half_transparent_parts_are_mixed_with_white(shrink: Shrink) -> None:
    half = saved(patches([(255, 0, 0, 128), (0, 0, 0, 64), (0, 0, 255, 255)], "RGBA"), "PNG")
    premultiplied = tiff(
        (SIDE * 3, SIDE),
        packed("<B", [(128, 0, 0, 128), (0, 0, 0, 64), (0, 0, 255, 255)]),
        bits=[8] * 4,
        photometric=2,
        tags={338: (3, [1])},
    )

    for body in (half, premultiplied):
        wanted = [(255, 127, 127), (191, 191, 191), (0, 0, 255)]
        assert close(seen(shrink, body), wanted, within=1)


def test_channel_that_is_no_alpha_is_ignored(shrink: Shrink) -> None:
    body = tiff(
        (SIDE * 3, SIDE),
        packed("<B", [(*colour, 0) for colour in GREYS]),
        bits=[8] * 4,
        photometric=2,
        tags={338: (3, [0])},
    )

    assert seen(shrink, body) == list(GREYS)
