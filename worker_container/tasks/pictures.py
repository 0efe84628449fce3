"""Turns what a picture file holds into what a person sees: upright, in sRGB, on white."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from PIL import Image, ImageChops, ImageOps

from worker_container.tasks.colours import to_srgb
from worker_container.tasks.levels import (
    Samples,
    eight_bits,
    equal_to,
    is_deep,
    read_planes_whole,
    samples_of,
    shifted,
)

Warn = Callable[[str], None]

_WHITE: Final = (255, 255, 255)
_PALETTES: Final = ("P", "PA")
_WITH_ALPHA: Final = ("LA", "PA", "RGBA")
_PREMULTIPLIED: Final = {"La": "LA", "RGBa": "RGBA"}
_WITH_PROFILES: Final = ("L", "RGB", "CMYK", "LAB")
_GREY_STEPS: Final = {"L;2": 85, "L;4": 17}
"""How Pillow widens grey samples of a few bits to 8 bits, by the way it reads a PNG."""


def as_seen(photo: Image.Image, *, warn: Warn) -> Image.Image:
    """An opened picture's first page or frame, in mode RGB and without metadata.

    Transparent parts become white, as on a page. All levels of deep pictures are kept, the file's
    own orientation is applied, and its colour profile brings its colours to sRGB. `warn` gets a
    sentence for each part of the metadata that is damaged and therefore ignored.

    Raises: what Pillow raises for a file that is damaged.
    """
    samples, read_as = samples_of(photo), _raw_mode(photo)
    read_planes_whole(photo)
    photo.load()
    profile = photo.info.get("icc_profile", b"")
    transparent = photo.info.get("transparency")
    _turn_upright(photo, warn=warn)
    colours, alpha = _layers(photo, samples, transparent, read_as)
    seen = to_srgb(colours, None if profile == b"" else profile, warn=warn)
    if alpha is not None:
        page = Image.new("RGB", seen.size, _WHITE)
        page.paste(seen, mask=alpha)
        seen = page
    # a PNG made of it would say that the colours of the old file, or its transparency, were its own
    seen.info = {}
    return seen


def _turn_upright(photo: Image.Image, *, warn: Warn) -> None:
    try:
        ImageOps.exif_transpose(photo, in_place=True)
    except Exception as problem:  # noqa: BLE001 (damaged metadata raises anything)
        warn(f"its metadata is damaged, so it may lie on its side: {problem}")


def _layers(
    photo: Image.Image, samples: Samples, transparent: Any, read_as: str
) -> tuple[Image.Image, Image.Image | None]:
    """The colours, in a mode that a profile can be for, and the alpha channel if there is one."""
    if is_deep(photo):
        alpha = None
        if isinstance(transparent, int):
            alpha = ImageChops.invert(equal_to(photo, transparent))
        return eight_bits(photo, samples), alpha
    if photo.mode in _PREMULTIPLIED:
        photo = photo.convert(_PREMULTIPLIED[photo.mode])
    if photo.mode in _PALETTES:
        photo = photo.convert("RGBA" if photo.has_transparency_data else "RGB")
    if photo.mode in _WITH_ALPHA:
        # not split and merged: that takes twice the memory
        return photo.convert("L" if photo.mode == "LA" else "RGB"), photo.getchannel("A")
    if photo.mode == "1":
        photo = photo.convert("L")
    elif photo.mode not in _WITH_PROFILES:
        photo = photo.convert("RGB")
    photo = shifted(photo, samples)
    return photo, _alpha_of_one_colour(photo, transparent, read_as)


def _alpha_of_one_colour(photo: Image.Image, colour: Any, read_as: str) -> Image.Image | None:
    """The alpha channel of a picture in which one colour means transparent, as a PNG may say."""
    wanted = (colour,) if isinstance(colour, int) else colour
    if not isinstance(wanted, tuple) or len(wanted) != len(photo.getbands()):
        return None
    if ";16" in read_as:  # Pillow keeps the upper byte of each sample
        wanted = tuple(sample >> 8 for sample in wanted)
    step = _GREY_STEPS.get(read_as, 1)
    same: Image.Image | None = None
    for band, sample in zip(photo.split(), wanted, strict=True):
        equal = band.point([255 if value == sample * step else 0 for value in range(256)])
        same = equal if same is None else ImageChops.darker(same, equal)
    return None if same is None else ImageChops.invert(same)


def _raw_mode(photo: Image.Image) -> str:
    """How Pillow is about to read the samples, such as `RGB;16B`."""
    tiles = getattr(photo, "tile", [])
    args = tiles[0].args if tiles else ""
    return args if isinstance(args, str) else ""
