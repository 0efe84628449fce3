"""Make text safe to show: what a terminal would obey, hide or reorder becomes an escape.

Names, keys, errors, log lines and results come from others. ESC and the C1 controls drive a
terminal, bidirectional controls reorder what is read, and zero-width characters hide in it.
"""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
from typing import Any, Final

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""General categories: controls, formats, surrogates, private use, unassigned, separators."""
_BLANK: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0x180B, 0x1810), *range(0xE0100, 0xE01F0))))
)
"""Letters and marks that show nothing. The two variation selectors of emoji are not among them.

Source: Unicode Character Database, Default_Ignorable_Code_Point; and the empty Braille pattern.
"""
_SUSPECT: Final = re.compile(r"[^\n -~]")
"""Everything but line feeds and printable ASCII needs a closer look."""
_SHORT: Final = {"\r": r"\r", "\t": r"\t"}
_LOOKALIKES: Final = {"━": "-", "…": "...", "•": "*"}
"""For what this program and its libraries draw themselves."""
ESCAPED: Final = "remotejob.escaped"
"""Name of the codec error handler that escapes what an encoding lacks."""


def visible(text: str, encoding: str = "utf-8") -> str:
    """The text with each unsafe character, and each one that `encoding` lacks, as an escape.

    Line feeds stay. Escapes are Python's: `\\x1b`, `\\u202e`, `\\U000e0001`.
    """
    shown = _SUSPECT.sub(lambda found: _shown(found.group()), text)
    return shown.encode(encoding, ESCAPED).decode(encoding)


def one_line(text: str) -> str:
    """The text with its line feeds as escapes, for a place that has one line."""
    return text.replace("\n", r"\n")


def json_text(value: Any, encoding: str = "utf-8", *, indent: int | None = None) -> str:
    """JSON that parses to the same value and has unsafe characters only as escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=not _has_all(encoding))
    return _SUSPECT.sub(lambda found: _shown_in_json(found.group()), text)


def _has_all(encoding: str) -> bool:
    """Whether an encoding has every character."""
    return codecs.lookup(encoding).name.startswith("utf")


def is_safe(letter: str) -> bool:
    """Whether a character shows itself, and does nothing else."""
    return unicodedata.category(letter) not in _UNSAFE and letter not in _BLANK


def _shown(letter: str) -> str:
    return letter if is_safe(letter) else _SHORT.get(letter) or _escape(letter)


def _shown_in_json(letter: str) -> str:
    if is_safe(letter):
        return letter
    # json.dumps leaves DEL as it is
    return r"\u007f" if letter == "\x7f" else json.dumps(letter)[1:-1]


def _escape(letter: str) -> str:
    code = ord(letter)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_LOOKALIKES.get(letter) or _escape(letter) for letter in letters), error.end


codecs.register_error(ESCAPED, _escape_unencodable)
