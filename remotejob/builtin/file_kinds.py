"""Names the kind of a file by its first bytes, so that an error can say what was sent instead.

Source: each format's own specification; file(1), "magic".
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

_READ: Final = 1 << 10
_TRAILER: Final = 1 << 16
"""Bytes at the end of a PDF in which its trailer says whether it is encrypted."""

_KINDS: Final = (
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"]\0\0", "an lzma file"),
    (0, b"LZIP", "an lzip file"),
    (0, b"\x04\x22\x4d\x18", "an lz4 file"),
    (0, b"\x1f\x9d", "a compress (.Z) file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a rar archive"),
    (0, b"MSCF", "a cab archive"),
    (0, b"!<arch>\n", "an ar archive"),
    (0, b"07070", "a cpio archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document (old, or with a password)"),
    (0, b"{\\rtf", "an RTF document"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"II+\0", "a BigTIFF picture"),
    (0, b"8BPS", "a Photoshop file"),
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypheix", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftypcrx", "a raw photo (CR3)"),
    (4, b"ftyp", "a video or audio file"),
    (0, b"\x1a\x45\xdf\xa3", "a video or audio file"),
    (0, b"ID3", "an audio file"),
    (0, b"OggS", "a video or audio file"),
)


def kind_of(path: Path) -> str | None:
    """What a file is, as a phrase such as "a zip archive"; None if it is not known.

    Says "empty" of an empty one, and of zip archives and PDF documents whether they are encrypted.
    """
    with path.open("rb") as file:
        start = file.read(_READ)
        if start.startswith(b"%PDF-"):
            size = path.stat().st_size
            file.seek(max(0, size - _TRAILER))
            locked = b"/Encrypt" in start or b"/Encrypt" in file.read(_TRAILER)
            return "an encrypted PDF document" if locked else "a PDF document"
    return kind_of_start(start)


def kind_of_start(start: bytes) -> str | None:
    """What a file is that begins with these bytes, as `kind_of` says it."""
    if not start:
        return "empty"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(start)
    return next((kind for at, magic, kind in _KINDS if start[at:].startswith(magic)), None)


def _zip(start: bytes) -> str:
    flags = struct.unpack("<H", start[6:8])[0] if len(start) >= 8 else 0
    locked = start.startswith(b"PK\x03\x04") and flags & 1
    return "an encrypted zip archive" if locked else "a zip archive"
