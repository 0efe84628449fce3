"""Brings pictures of more than 8 bits a channel down to 8, without losing their lights or darks.

Pillow clips such pictures when it converts them, or takes a 12-bit white for a dark grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from PIL import Image, ImageMath
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    TiffImageFile,
)

_DEEP: Final = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_MAX_SAMPLE_VALUE: Final = 281
"""The TIFF tag; a 16-bit file of a 12-bit scanner has 4095 there."""
_SIGNED: Final = 2
_WHITE_IS_ZERO: Final = 0
_LARGEST_FLOAT: Final = 3.4e38


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """What the file says of its samples, which Pillow forgets or does not apply."""

    bits: int = 16
    white: int | None = None
    """The sample that means white, if the file says so."""
    signed: bool = False
    white_is_zero: bool = False

    @property
    def largest(self) -> int:
        return (1 << self.bits) - 1


def samples_of(photo: Image.Image) -> Samples:
    """What an opened file says of its samples."""
    if not isinstance(photo, TiffImageFile):
        return Samples()
    tags = photo.tag_v2
    bits = _number(tags.get(BITSPERSAMPLE, 1)) or 1
    stated = _number(tags.get(_MAX_SAMPLE_VALUE))
    return Samples(
        bits=bits,
        # a scanner of fewer bits than its file says 2**n - 1; anything else describes one picture
        white=stated if stated and stated > 255 and not stated & (stated + 1) else None,
        signed=_number(tags.get(SAMPLEFORMAT, 1)) == _SIGNED,
        white_is_zero=tags.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO,
    )


def read_planes_whole(photo: Image.Image) -> None:
    """Make Pillow read 16-bit channels that are stored one after the other as 16 bits, not 8.

    Raises: ValueError, for channels that it cannot read so.
    """
    if not isinstance(photo, TiffImageFile) or photo.tag_v2.get(PLANAR_CONFIGURATION) != 2:
        return
    if samples_of(photo).bits <= 8 or is_deep(photo):
        return
    order = "L" if photo.tag_v2.prefix == b"II" else "B"
    tiles = []
    for tile in photo.tile:
        if tile.codec_name == "libtiff":  # it knows
            return
        channel, *others = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if samples_of(photo).bits != 16 or channel not in tuple("RGBA"):
            raise ValueError(
                f"{samples_of(photo).bits} bits a sample in separate planes of {photo.mode} cannot "
                "be read; save it with 8 bits, or with interleaved channels"
            )
        tiles.append(tile._replace(args=(f"{channel};16{order}", *others)))
    photo.tile = tiles


def is_deep(photo: Image.Image) -> bool:
    """Whether its samples have more than 8 bits."""
    return photo.mode in _DEEP


def eight_bits(photo: Image.Image, samples: Samples) -> Image.Image:
    """A deep picture in mode L.

    - 16 bits and fewer: from 0 to the largest sample of that depth.
    - 32-bit numbers: from 0 to the next 2**n - 1 above the brightest, because few files use all
      32 bits; from the darkest to the brightest if some are negative.
    - Floats: from 0 to 1, or from 0 to 255, if all are in there; otherwise from the darkest to the
      brightest. What is not a number becomes white, as transparent parts do.
    """
    values = photo.convert("F")
    if photo.mode == "F":
        values, nothing = _finite(values)
        low, high = _float_range(values)
    else:
        nothing = None
        if photo.mode == "I" and samples.bits == 32 and not samples.signed:
            values = _unsigned(values)
        low, high = _whole_range(photo.mode, values, samples)
    scale = 255 / (high - low)
    if samples.white_is_zero:
        scale, low = -scale, high
    offset = 0.5 - low * scale  # Pillow cuts the fraction
    grey = values.point(lambda value: value * scale + offset).convert("L")
    if nothing is not None:
        grey.paste(255, mask=nothing)
    return grey


def shifted(grey: Image.Image, samples: Samples) -> Image.Image:
    """A picture of mode L whose samples may go from -128 to 127, which Pillow does not look at."""
    if not samples.signed or grey.mode != "L":
        return grey
    return grey.point([(value + 128) % 256 for value in range(256)])


def equal_to(photo: Image.Image, sample: int) -> Image.Image:
    """A mask, 255 where a deep picture has exactly this sample."""
    found = _evaluated(lambda a: a["values"] == sample, values=photo.convert("I"))
    return found.point(lambda value: value * 255).convert("L")


def _whole_range(mode: str, values: Image.Image, samples: Samples) -> tuple[float, float]:
    if mode != "I":
        return 0, min(samples.white or samples.largest, samples.largest)
    low, high = _extremes(values)
    if low < 0:
        return low, max(high, 0)
    if samples.bits == 16 and not samples.signed:  # a 16-bit PGM, which Pillow reads as mode I
        return 0, max(65535, high)
    # at most 32, because a float rounds the largest numbers up
    return 0, (1 << min(max(8, int(high).bit_length()), 32)) - 1


def _float_range(values: Image.Image) -> tuple[float, float]:
    low, high = _extremes(values)
    if low >= 0 and high <= 255:
        return 0, 1 if high <= 1 else 255
    if low == high:
        return min(low, 0), max(high, 0)
    return low, high


def _finite(values: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The picture with infinities cut to its darkest and brightest, and a mask of what is NaN."""
    odd = _evaluated(
        lambda a: 1 - (abs(a["values"]) <= _LARGEST_FLOAT),  # false for NaN, too
        values=values,
    )
    if odd.getbbox() is None:
        return values, None
    low = _extremes(_replaced(values, odd, _LARGEST_FLOAT))[0]
    high = _extremes(_replaced(values, odd, -_LARGEST_FLOAT))[1]
    if low > high:  # nothing is finite
        low = high = 0.0
    up = _evaluated(lambda a: a["values"] > _LARGEST_FLOAT, values=values)
    down = _evaluated(lambda a: a["values"] < -_LARGEST_FLOAT, values=values)
    nothing = _evaluated(lambda a: 1 - (a["values"] == a["values"]), values=values)
    for mask, value in ((up, high), (down, low), (nothing, low)):
        values = _replaced(values, mask, value)
    return values, _as_mask(nothing)


def _unsigned(values: Image.Image) -> Image.Image:
    """32-bit samples from 2**31, which Pillow takes for negative numbers."""
    return _evaluated(lambda a: a["values"] + (a["values"] < 0) * float(1 << 32), values=values)


def _replaced(values: Image.Image, where: Image.Image, value: float) -> Image.Image:
    replaced = values.copy()
    replaced.paste(value, mask=_as_mask(where))
    return replaced


def _as_mask(zero_or_one: Image.Image) -> Image.Image:
    return zero_or_one.point(lambda value: value * 255).convert("L")


def _extremes(values: Image.Image) -> tuple[float, float]:
    low, high = values.getextrema()
    assert isinstance(low, float)
    assert isinstance(high, float)
    return low, high


def _evaluated(expression: Any, **images: Image.Image) -> Image.Image:
    result = ImageMath.lambda_eval(expression, **images)
    assert isinstance(result, Image.Image)
    return result


def _number(value: Any) -> int | None:
    """The first of a tag's values, if it is a whole number."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    return value if isinstance(value, int) else None
