"""Strings that want a file elsewhere: seeded, so that a case is the same each time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

_PARTS: Final = (
    "..", ".", "", "...", ".. ", "a", "A", "é", "e\u0301", "con", "NUL.txt", "COM¹", "C:", "c:x",
    "a:s", "x.", "x ", " ", "~", "-", "\0", "a\nb", "\x1b[2J", "\u202e", "\ud800", "%2e%2e",
    "\uff052e", "\uff0e\uff0e", "$HOME", "{}", "[]", "w" * 300, ".ssh", "authorized_keys", "evil",
    "link", "out",
)  # fmt: skip
_SEPARATORS: Final = ("/", "/", "/", "\\", "//", "\\\\", "\uff0f", "\u2215", ":")


class Hostile:
    """Draws hostile strings. `root` is a folder that must stay as it is."""

    def __init__(self, seed: int, root: Path) -> None:
        self.random: Final = random.Random(seed)
        self._roots: Final = ("", "/", "//", "\\\\?\\", "file://", f"{root}/", f"{root}/outside/")

    def text(self) -> str:
        """A path of a few parts, or any characters."""
        draw = self.random
        if draw.random() < 0.1:
            return "".join(chr(draw.randrange(0x3000)) for _ in range(draw.randrange(8)))
        pieces = [draw.choice(self._roots) if draw.random() < 0.5 else ""]
        for _ in range(draw.randrange(1, 5)):
            pieces += [draw.choice(_PARTS), draw.choice(_SEPARATORS)]
        if draw.random() < 0.7:
            pieces.pop()
        return "".join(pieces)

    def sometimes(self, usual: str, *, of: float = 0.3) -> str:
        """The usual string, or a hostile one."""
        return self.text() if self.random.random() < of else usual
