"""Decodes a page in the encoding that a browser takes it to have.

Source: WHATWG HTML, 13.2.3.2 Determining the character encoding; WHATWG Encoding, 4.2 Names and
labels, and 6 Hooks for standards.
"""

from __future__ import annotations

import codecs
from email.message import Message
from typing import Final

import turbohtml
import turbohtml.detect  # registers the standard's decoders, as codecs named whatwg-*

from remotejob.builtin.word_count import known_encoding

_MARKS: Final = {
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF16_LE: "UTF-16LE",
    codecs.BOM_UTF16_BE: "UTF-16BE",
}
_LOOKED_AT: Final = 1024
"""The bytes in which a page must declare its encoding."""


def decoded(page: bytes, *, asked: str | None, header: str | None) -> tuple[str, str]:
    """A page's text and the name of its encoding.

    The first of these decides: a byte order mark, the encoding `asked` for, the one in the server's
    `header`, the one in a `<meta>` of the page. Without any, the page is UTF-8 if it is valid, else
    windows-1252. A header or `<meta>` with an unknown name does not count. Bytes that cannot be
    decoded are replaced.

    Raises: BadData, when the encoding asked for is unknown.
    """
    name = _marked(page) or _asked(asked) or _known(header) or _declared(page) or _by_content(page)
    codec = f"whatwg-{name}" if _known(name) else name
    return page.decode(codec, errors="replace").removeprefix("\ufeff"), name


def charset_of(content_type: str | None) -> str | None:
    """The `charset` of a Content-Type header."""
    header = Message()
    header["Content-Type"] = content_type or ""
    return header.get_content_charset()


def _marked(page: bytes) -> str | None:
    return next((name for mark, name in _MARKS.items() if page.startswith(mark)), None)


def _asked(label: str | None) -> str | None:
    # Python's names are accepted too: the standard has no latin-1 and no utf-32
    return None if label is None else _known(label) or known_encoding(label)


def _known(label: str | None) -> str | None:
    """The standard's name for an encoding."""
    try:
        return label and turbohtml.parse(b"", encoding=label).encoding
    except (LookupError, ValueError):
        return None


def _declared(page: bytes) -> str | None:
    head = turbohtml.parse(page[:_LOOKED_AT])
    return head.encoding if head.encoding_confidence == "certain" else None


def _by_content(page: bytes) -> str:
    try:
        page.decode()
    except UnicodeDecodeError:
        return "windows-1252"
    return "UTF-8"
