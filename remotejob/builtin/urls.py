"""Reads URLs as browsers do, and says which of them `fetch` takes.

Source: WHATWG URL, as `ada_url` implements it.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from ada_url import URL

from remotejob.builtin.fields import shown
from remotejob.builtin.refusals import FetchRefused

LONGEST_URL: Final = 4096
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_HOST: Final = re.compile(r"(?=.{1,254}$)[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?")
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_AUTHORITY: Final = re.compile(r"[A-Za-z]+://([^/?#]+)")
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Url:
    """The parts of a URL that can be fetched."""

    scheme: str
    host: str
    port: int
    path: str
    """Including the query."""


def absolute(text: str, *, base: str | None = None, encoding: str = "UTF-8") -> str:
    """Resolve a URL as a browser does, with everything percent-encoded that must be, once.

    A browser ignores white space around it, and tabs and line ends within it; a backslash counts
    as a slash. `encoding` is the page's: a query's characters beyond ASCII are sent in it.

    Raises: ValueError, when it is no URL, or is relative and there is no base.
    """
    return str(URL(_with_encoded_query(text, encoding), base).href)


def fetchable(url: str) -> Url:
    """The parts of an absolute URL.

    Raises: FetchRefused, unless it is a plain http or https URL.
    """
    if len(url) > LONGEST_URL:
        raise FetchRefused(f"{shown(url)} is too long: use at most {LONGEST_URL} characters")
    if any(letter <= " " or letter in "\\\x7f" for letter in url):
        raise FetchRefused(f"{shown(url)}: encode spaces, control characters and backslashes")
    try:
        parsed = URL(url)
    except ValueError:
        raise FetchRefused(f"{shown(url)} is not a URL") from None
    scheme = parsed.protocol.rstrip(":")
    if scheme not in DEFAULT_PORTS:
        raise FetchRefused(f"{shown(url)}: use http or https")
    authority = _AUTHORITY.match(url)
    if authority is None:
        raise FetchRefused(f"{shown(url)} is not a URL: put :// between the scheme and the host")
    if "@" in authority[1]:
        # do not show the URL: it may contain a password
        raise FetchRefused("the URL contains a user name or password: remove it")
    host = parsed.hostname.strip("[]")
    if ":" not in host and not is_host_name(host):
        raise FetchRefused(f"{shown(url)} is not a URL: its host is neither a name nor an address")
    return Url(
        scheme=scheme,
        host=host,
        port=int(parsed.port or DEFAULT_PORTS[scheme]),
        path=parsed.pathname + parsed.search,
    )


def is_host_name(name: str) -> bool:
    """Whether a name in lower case can be resolved; IPv4 addresses count as names."""
    return _HOST.fullmatch(name) is not None and all(
        _LABEL.fullmatch(label) for label in name.removesuffix(".").split(".")
    )


def _with_encoded_query(text: str, encoding: str) -> str:
    before, hash_, fragment = text.partition("#")
    path, mark, query = before.partition("?")
    if text.isascii() or query.isascii():
        return text
    try:
        codec = codecs.lookup(encoding).name
    except LookupError:
        codec = "utf-8"
    if codec.startswith("utf-"):
        return text
    query = _BEYOND_ASCII.sub(lambda run: _percent_encoded(run[0], codec), query)
    return f"{path}{mark}{query}{hash_}{fragment}"


def _percent_encoded(text: str, codec: str) -> str:
    # what the encoding lacks is sent as &#8364; with its signs encoded; the second bytes of others
    # may be ASCII signs, which stay
    return quote(text.encode(codec, errors="xmlcharrefreplace"), safe="@[\\]^`{|}")
