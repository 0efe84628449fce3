"""Writes picture files of kinds that Pillow reads but does not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

XYZ = tuple[float, float, float]

SRGB_PRIMARIES: Sequence[XYZ] = (
    (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141),
)  # fmt: skip
ADOBE_PRIMARIES: Sequence[XYZ] = (
    (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457),
)  # fmt: skip
P3_PRIMARIES: Sequence[XYZ] = (
    (0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407),
)  # fmt: skip
_D50: XYZ = (0.9642, 1.0, 0.8249)


def png(
    size: tuple[int, int], depth: int, colour: int, rows: Sequence[bytes], **chunks: bytes
) -> bytes:
    """A PNG of packed rows; `colour` is 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *((k.encode(), v) for k, v in chunks.items())]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, content) for kind, content in [*parts, (b"IDAT", data), (b"IEND", b"")]
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc


def iccp(profile: bytes) -> bytes:
    """The content of a PNG's `iCCP` chunk."""
    return b"icc\0\0" + zlib.compress(profile)


def tiff(
    size: tuple[int, int],
    pixels: bytes,
    *,
    bits: Sequence[int],
    photometric: int,
    tags: Mapping[int, tuple[int, Sequence[int]]] | None = None,
    profile: bytes = b"",
) -> bytes:
    """A little-endian TIFF of one strip. `tags` adds fields as `number: (type, values)`.

    `photometric` is 0 grey from white, 1 grey from black, 2 RGB, 5 CMYK, 6 YCbCr, 8 LAB.
    """
    short, long, undefined = 3, 4, 7
    fields = {
        256: (long, [size[0]]),
        257: (long, [size[1]]),
        258: (short, list(bits)),
        259: (short, [1]),
        262: (short, [photometric]),
        273: (long, [8]),
        277: (short, [len(bits)]),
        278: (long, [size[1]]),
        279: (long, [len(pixels)]),
        **(tags or {}),
        **({34675: (undefined, list(profile))} if profile else {}),
    }
    pixels += bytes(len(pixels) % 2)
    after = 8 + len(pixels) + 2 + 12 * len(fields) + 4
    directory, longer = struct.pack("<H", len(fields)), b""
    for number, (kind, values) in sorted(fields.items()):
        code = {short: "H", long: "I", undefined: "B"}[kind]
        content = struct.pack(f"<{len(values)}{code}", *values)
        if len(content) > 4:
            content, longer = (
                struct.pack("<I", after + len(longer)),
                longer + content + bytes(len(content) % 2),
            )
        directory += struct.pack("<HHI", number, kind, len(values)) + content.ljust(4, b"\0")
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + directory + bytes(4) + longer


def rgb_profile(primaries: Sequence[XYZ], *, gamma: float) -> bytes:
    """An ICC profile of three primaries and one gamma."""
    tags = {b"wtpt": _xyz(_D50)}
    for letter, primary in zip(b"rgb", primaries, strict=True):
        tags[bytes([letter]) + b"XYZ"] = _xyz(primary)
        tags[bytes([letter]) + b"TRC"] = _curve(gamma)
    return _profile(b"RGB ", b"XYZ ", b"mntr", tags)


def grey_profile(*, gamma: float) -> bytes:
    return _profile(b"GRAY", b"XYZ ", b"mntr", {b"wtpt": _xyz(_D50), b"kTRC": _curve(gamma)})


def cmyk_profile(*, ink: tuple[int, int, int], paper: tuple[int, int, int]) -> bytes:
    """An ICC profile in which any ink looks the same; black is black. Colours are 8-bit LAB."""
    line = bytes(range(256))
    black = bytes([0, 128, 128])
    grid = bytes(paper) + black + (bytes(ink) + black) * 7
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + line * 4 + grid + line * 3
    return _profile(b"CMYK", b"Lab ", b"prtr", {b"wtpt": _xyz(_D50), b"A2B0": table})


def _profile(space: bytes, pcs: bytes, kind: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    name = b"test"
    text = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(78)
    tags = {b"desc": text, b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    at = 128 + 4 + 12 * len(tags)
    index, content = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        index += tag + struct.pack(">II", at + len(content), len(value))
        content += value + bytes(-len(value) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", at + len(content), b"none", 0x02400000, kind, space, pcs, bytes(12),
        b"acsp",
    )  # fmt: skip
    illuminant = _xyz(_D50)[8:]
    return (header + bytes(28) + illuminant).ljust(128, b"\0") + index + content


def _xyz(values: XYZ) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
