"""The thumbnail of each kind of picture shows what a person sees in it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image, ImageCms

from remotejob import State
from tests.worker_container import picture_files
from tests.worker_container.conftest import Shrink
from tests.worker_container.patches import (
    BLACK,
    COLOURS,
    GREYS,
    RED,
    SIDE,
    WHITE,
    Rgb,
    close,
    packed,
    patches,
    rows,
    saved,
    seen,
)
from tests.worker_container.picture_files import iccp, png, tiff


def two_of(kind: str) -> bytes:
    """An animation, or a file of two pages, that begins with the patches."""
    return saved(
        patches(GREYS, "RGB"), kind, save_all=True, append_images=[patches([RED] * 3, "RGB")]
    )


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG"])
def test_thumbnail_is_of_the_first_page_or_frame(shrink: Shrink, kind: str) -> None:
    assert close(seen(shrink, two_of(kind)), GREYS, within=1)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "MPO"])
def test_thumbnail_is_of_the_first_frame_of_lossy_files(shrink: Shrink, kind: str) -> None:
    assert close(seen(shrink, two_of(kind)), GREYS, within=6)


def lab() -> Image.Image:
    srgb, target = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    made = ImageCms.profileToProfile(patches(COLOURS, "RGB"), srgb, target, outputMode="LAB")
    assert made is not None
    return made


MODES: dict[str, Callable[[], bytes]] = {
    "RGB PNG": lambda: saved(patches(COLOURS, "RGB"), "PNG"),
    "RGB BMP": lambda: saved(patches(COLOURS, "RGB"), "BMP"),
    "RGB JPEG": lambda: saved(patches(COLOURS, "RGB"), "JPEG", quality=95),
    "RGBX TIFF": lambda: saved(patches(COLOURS, "RGBX"), "TIFF"),
    "P GIF": lambda: saved(patches(COLOURS, "RGB").quantize(8), "GIF"),
    "P TIFF": lambda: saved(patches(COLOURS, "RGB").quantize(8), "TIFF"),
    "CMYK TIFF": lambda: saved(patches(COLOURS, "RGB").convert("CMYK"), "TIFF"),
    "CMYK JPEG, as Adobe inverts it": lambda: saved(
        patches(COLOURS, "RGB").convert("CMYK"), "JPEG", quality=95
    ),
    "YCbCr TIFF": lambda: saved(patches(COLOURS, "RGB").convert("YCbCr"), "TIFF"),
    "HSV WebP": lambda: saved(patches(COLOURS, "RGB").convert("HSV"), "WEBP", lossless=True),
}


@pytest.mark.parametrize("kind", MODES)
def test_colours_of_each_mode_are_as_they_were(shrink: Shrink, kind: str) -> None:
    assert close(seen(shrink, MODES[kind](), count=6), COLOURS, within=4)


def test_colours_of_lab_are_as_they_were(shrink: Shrink) -> None:
    # 8 bits of LAB are coarse where sRGB ends
    assert close(seen(shrink, saved(lab(), "TIFF"), count=6), COLOURS, within=24)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "BMP"])
def test_black_and_white_are_black_and_white(shrink: Shrink, kind: str) -> None:
    body = saved(patches([0, 255], "1"), kind)

    assert seen(shrink, body, count=2) == [BLACK, WHITE]


def in_space_of(profile: bytes, picture: Image.Image) -> Image.Image:
    made = ImageCms.profileToProfile(
        picture, ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(BytesIO(profile))
    )
    assert made is not None
    return made


def colour(picture: Image.Image, number: int) -> Rgb:
    """The colour of a patch."""
    return picture.getpixel((number * SIDE, 0))  # type: ignore[return-value]


SOFT = ((200, 80, 60), (90, 160, 90), (70, 90, 190))
"""Colours that every profile of these tests can show."""

ADOBE = picture_files.rgb_profile(picture_files.ADOBE_PRIMARIES, gamma=2.2)
P3 = picture_files.rgb_profile(picture_files.P3_PRIMARIES, gamma=2.2)
PROFILED: dict[str, Callable[[], bytes]] = {
    "Adobe RGB JPEG": lambda: saved(
        in_space_of(ADOBE, patches(SOFT, "RGB")), "JPEG", icc_profile=ADOBE, quality=97
    ),
    "Display P3 PNG": lambda: saved(
        in_space_of(P3, patches(SOFT, "RGB")), "PNG", icc_profile=P3
    ),
    "Adobe RGB, palette": lambda: saved(
        in_space_of(ADOBE, patches(SOFT, "RGB")).quantize(8), "PNG", icc_profile=ADOBE
    ),
    "Adobe RGB, 16 bits": lambda: tiff(
        (SIDE * 3, SIDE),
        packed("<H", [
            tuple(channel * 257 for channel in colour(in_space_of(ADOBE, patches(SOFT, "RGB")), n))
            for n in range(3)
        ]),
        bits=[16] * 3, photometric=2, profile=ADOBE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PROFILED)
def test_profile_brings_colours_to_srgb(shrink: Shrink, kind: str) -> None:
    assert close(seen(shrink, PROFILED[kind]()), SOFT, within=4)


def test_profile_brings_colours_to_srgb_and_keeps_transparency(shrink: Shrink) -> None:
    picture = in_space_of(ADOBE, patches(SOFT, "RGB"))
    alpha = patches([255, 0, 255], "L")
    picture.putalpha(alpha)

    wanted = [SOFT[0], WHITE, SOFT[2]]
    body = saved(picture, "PNG", icc_profile=ADOBE)
    assert close(seen(shrink, body), wanted, within=2)


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_profile_brings_levels_to_srgb(shrink: Shrink, bits: int) -> None:
    linear = round(0.2159 * ((1 << bits) - 1))  # what sRGB writes as 128
    code = ">B" if bits == 8 else ">H"
    pixels = packed(code, [(0,), (linear,), ((1 << bits) - 1,)])
    profile = iccp(picture_files.grey_profile(gamma=1.0))

    body = png((SIDE * 3, SIDE), bits, 0, rows(pixels), iCCP=profile)

    assert close(seen(shrink, body), GREYS, within=2)


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_profile_says_what_the_inks_look_like(shrink: Shrink, kind: str) -> None:
    brick = (120, 160, 160)  # where Pillow's own rule sees cyan and magenta
    profile = picture_files.cmyk_profile(ink=brick, paper=(255, 128, 128))
    inks = [(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 0, 255)]

    found = seen(shrink, saved(patches(inks, "CMYK"), kind, icc_profile=profile), count=4)

    wanted = [WHITE, (162, 88, 58), (162, 88, 58), BLACK]
    assert close(found, wanted, within=12), found


@pytest.mark.parametrize(
    ("profile", "mode"),
    [
        (b"nonsense" * 40, "RGB"),
        (ADOBE[:200], "RGB"),
        (picture_files.cmyk_profile(ink=(0, 0, 0), paper=(9, 9, 9)), "RGB"),
        (picture_files.grey_profile(gamma=1.0), "RGB"),
        (ADOBE, "CMYK"),
    ],
    ids=["nonsense", "cut short", "of CMYK", "of grey", "of RGB"],
)
def test_broken_profile_is_a_warning_in_the_jobs_log(
    shrink: Shrink, profile: bytes, mode: str
) -> None:
    picture = patches(GREYS, "RGB").convert(mode)

    job = shrink(saved(picture, "TIFF", icc_profile=profile), filename="scan.tif")

    assert job.state is State.COMPLETED, job.errors
    warned = [line.message for line in job.logs() if line.level == "warning"]
    assert len(warned) == 1
    assert warned[0].startswith("scan.tif: its colour profile is ignored")
    assert close(seen(shrink, saved(picture, "TIFF", icc_profile=profile)), GREYS, within=1)


def test_profile_that_cannot_be_unpacked_is_a_warning(shrink: Shrink) -> None:
    pixels = rows(packed(">B", GREYS))

    job = shrink(png((SIDE * 3, SIDE), 8, 2, pixels, iCCP=b"icc\0\0" + zlib.compress(ADOBE)[:60]))

    assert job.state is State.COMPLETED, job.errors
    assert [line.level for line in job.logs()] == ["warning", "info"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF"])
def test_picture_stands_upright(shrink: Shrink, kind: str, orientation: int) -> None:
    upright = Image.new("RGB", (SIDE * 2, SIDE * 3), WHITE)
    upright.paste(RED, (0, 0, SIDE, SIDE))  # upper left
    upright.paste((0, 0, 255), (SIDE, 0, SIDE * 2, SIDE))  # upper right
    turn = Image.Transpose
    stored = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }.get(orientation)
    exif = Image.Exif()
    exif[274] = orientation
    picture = upright if stored is None else upright.transpose(stored)

    job = shrink(saved(picture, kind, exif=exif))

    (output,) = job.outputs.values()
    with Image.open(output.open()) as made:
        assert made.size == upright.size
        corners = [made.getpixel(at) for at in ((SIDE // 2,) * 2, (SIDE * 3 // 2, SIDE // 2))]
        assert close(corners, [RED, (0, 0, 255)], within=12)  # type: ignore[arg-type]


def test_deep_and_transparent_pictures_stand_upright_too(shrink: Shrink) -> None:
    pixels = packed("<H", [(0,), (32_896,), (65_535,)])
    body = tiff((SIDE * 3, SIDE), pixels, bits=[16], photometric=1, tags={274: (3, [3])})

    assert close(seen(shrink, body), GREYS[::-1], within=1)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_damaged_orientation_is_no_reason_to_fail(shrink: Shrink) -> None:
    exif = b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 20

    body = saved(patches(GREYS, "RGB"), "JPEG", quality=95, exif=exif)

    assert close(seen(shrink, body), GREYS, within=3)
