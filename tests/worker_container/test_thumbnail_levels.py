"""Pictures of more than 8 bits a channel keep their levels in the thumbnail."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from PIL import Image

from tests.worker_container.conftest import Shrink
from tests.worker_container.patches import (
    BLACK,
    COLOURS,
    GREY,
    GREYS,
    SIDE,
    WHITE,
    close,
    packed,
    rows,
    saved,
    seen,
)
from tests.worker_container.picture_files import png, tiff


def grey_tiff(code: str, values: Sequence[float], *, bits: int, **options: object) -> bytes:
    pixels = packed(code, [(value,) for value in values])
    tags = options.get("tags")
    photometric = options.get("photometric", 1)
    assert isinstance(photometric, int)
    return tiff(
        (SIDE * len(values), SIDE),
        pixels,
        bits=[bits],
        photometric=photometric,
        tags=tags,  # type: ignore[arg-type]
    )


def twelve_bits(values: Sequence[int]) -> bytes:
    samples = "".join(f"{value:012b}" * SIDE for value in values)
    line = int(samples, 2).to_bytes(SIDE * len(values) * 12 // 8, "big")
    return tiff((SIDE * len(values), SIDE), line * SIDE, bits=[12], photometric=1)


SIGNED, FLOAT = {339: (3, [2])}, {339: (3, [3])}
DEEP: dict[str, Callable[[], bytes]] = {
    "TIFF of 16 bits": lambda: grey_tiff("<H", (0, 32_896, 65_535), bits=16),
    "TIFF of 16 bits, white is zero": lambda: grey_tiff(
        "<H", (65_535, 32_639, 0), bits=16, photometric=0
    ),
    "TIFF of 12 bits": lambda: twelve_bits((0, 2056, 4095)),
    "TIFF of 12 bits in 16": lambda: grey_tiff(
        "<H", (0, 2056, 4095), bits=16, tags={281: (3, [4095])}
    ),
    "TIFF of 8 bits, white is zero": lambda: grey_tiff(
        "<B", (255, 127, 0), bits=8, photometric=0
    ),
    "TIFF of 8 bits with a sign": lambda: grey_tiff("<b", (-128, 0, 127), bits=8, tags=SIGNED),
    "TIFF of 16 bits with a sign": lambda: grey_tiff(
        "<h", (-32_768, 128, 32_767), bits=16, tags=SIGNED
    ),
    "TIFF of 32 bits": lambda: grey_tiff("<I", (0, 1 << 31, (1 << 32) - 1), bits=32),
    "TIFF of 32 bits, few used": lambda: grey_tiff("<I", (0, 32_896, 65_535), bits=32),
    "TIFF of 32 bits with a sign": lambda: grey_tiff(
        "<i", (-1000, 4, 1000), bits=32, tags=SIGNED
    ),
    "TIFF of floats to 1": lambda: grey_tiff("<f", (0, 0.502, 1), bits=32, tags=FLOAT),
    "TIFF of floats to 255": lambda: grey_tiff("<f", (0, 128, 255), bits=32, tags=FLOAT),
    "TIFF of floats to 1000": lambda: grey_tiff("<f", (0, 502, 1000), bits=32, tags=FLOAT),
    "TIFF of floats about 0": lambda: grey_tiff("<f", (-1, 0.004, 1), bits=32, tags=FLOAT),
    "TIFF of floats, white is zero": lambda: grey_tiff(
        "<f", (1, 0.498, 0), bits=32, photometric=0, tags=FLOAT
    ),
    "PNG of 16 bits": lambda: png(
        (SIDE * 3, SIDE), 16, 0, rows(packed(">H", [(0,), (32_896,), (65_535,)]))
    ),
    "PGM of 16 bits": lambda: b"P5 48 16 65535\n" + packed(">H", [(0,), (32_896,), (65_535,)]),
    "PGM of 10 bits": lambda: b"P5 48 16 1023\n" + packed(">H", [(0,), (514,), (1023,)]),
    "PFM": lambda: b"Pf 48 16 -1.0\n" + packed("<f", [(0,), (0.502,), (1,)]),
    "JPEG 2000 of 16 bits": lambda: saved(
        Image.frombytes("I;16", (48, 16), packed("<H", [(0,), (32_896,), (65_535,)])), "JPEG2000"
    ),
    "TIFF, RGB of 16 bits": lambda: tiff(
        (SIDE * 3, SIDE), packed("<H", [(0,) * 3, (32_896,) * 3, (65_535,) * 3]),
        bits=[16] * 3, photometric=2,
    ),
    "TIFF, CMYK of 16 bits": lambda: tiff(
        (SIDE * 3, SIDE), packed("<H", [(0, 0, 0, 65_535), (0, 0, 0, 32_639), (0, 0, 0, 0)]),
        bits=[16] * 4, photometric=5,
    ),
    "PNG, RGB of 16 bits": lambda: png(
        (SIDE * 3, SIDE), 16, 2, rows(packed(">H", [(0,) * 3, (32_896,) * 3, (65_535,) * 3]))
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DEEP)
def test_levels_of_deep_pictures_are_kept(shrink: Shrink, kind: str) -> None:
    assert close(seen(shrink, DEEP[kind]()), GREYS, within=1)


def test_dark_picture_of_16_bits_stays_dark(shrink: Shrink) -> None:
    body = grey_tiff("<H", (0, 257, 2570), bits=16)

    assert close(seen(shrink, body), [(0,) * 3, (1,) * 3, (10,) * 3], within=1)


def test_floats_that_are_no_numbers_are_white_and_infinite_ones_the_extremes(
    shrink: Shrink,
) -> None:
    values = (0, 502, 1000, math.nan, math.inf, -math.inf)
    body = grey_tiff("<f", values, bits=32, tags=FLOAT)

    wanted = [BLACK, GREY, WHITE, WHITE, WHITE, BLACK]
    assert close(seen(shrink, body, count=6), wanted, within=1)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, 5000.0, -7.0])
def test_floats_of_one_value_are_a_picture(shrink: Shrink, value: float) -> None:
    assert seen(shrink, grey_tiff("<f", [value], bits=32, tags=FLOAT), count=1)


@pytest.mark.parametrize("bits", [8, 16])
def test_channels_in_planes_of_their_own_are_put_together(shrink: Shrink, bits: int) -> None:
    colours = COLOURS[:3]
    code, factor = ("<B", 1) if bits == 8 else ("<H", 257)
    planes = [packed(code, [(colour[n] * factor,) for colour in colours]) for n in range(3)]
    size = len(planes[0])
    body = tiff(
        (SIDE * 3, SIDE),
        b"".join(planes),
        bits=[bits] * 3,
        photometric=2,
        tags={284: (3, [2]), 273: (4, [8, 8 + size, 8 + 2 * size]), 279: (4, [size] * 3)},
    )

    assert close(seen(shrink, body), colours, within=1)
