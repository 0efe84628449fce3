"""Brings colours to sRGB, which is what a picture without a profile is taken for."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from PIL import Image, ImageCms

_SRGB: Final = ImageCms.createProfile("sRGB")
_MODES: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's mode for each colour space that a profile may be of."""


def to_srgb(picture: Image.Image, profile: Any, *, warn: Callable[[str], None]) -> Image.Image:
    """A picture of mode L, RGB, CMYK or LAB in mode RGB and in sRGB.

    `profile` is the ICC profile in its file, None if there is none. One that is damaged, or made
    for other colours, is ignored with a warning.
    """
    # the samples of LAB mean the same everywhere
    if profile is not None and picture.mode != "LAB":
        try:
            return _through(profile, picture)
        except (OSError, ValueError, TypeError, ImageCms.PyCMSError) as problem:
            warn(f"its colour profile is ignored, so colours may be off: {problem}")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _through(profile: Any, picture: Image.Image) -> Image.Image:
    if not isinstance(profile, bytes) or not profile:  # Pillow leaves it out if it cannot read it
        raise ValueError("the profile is damaged")
    opened = ImageCms.ImageCmsProfile(BytesIO(profile))
    space = opened.profile.xcolor_space
    if space == "RGB " and picture.mode == "L":
        picture = picture.convert("RGB")
    if _MODES.get(space) != picture.mode:
        raise ValueError(f"a {space.strip()} profile in a file of mode {picture.mode}")
    made = ImageCms.profileToProfile(picture, opened, _SRGB, outputMode="RGB")
    assert made is not None
    return made
