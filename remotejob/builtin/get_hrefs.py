"""The task `get_hrefs`: finds the links of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from remotejob.builtin.fields import data_of, shown, text, texts
from remotejob.builtin.files import MOST_NAMES, sources
from remotejob.builtin.html.markup import Tag, tags
from remotejob.builtin.html.pages import header_charsets, read_page
from remotejob.builtin.refusals import BadData, BadFile, FetchRefused
from remotejob.builtin.urls import LONGEST_URL, absolute, fetchable
from remotejob.domain.errors import InvalidData
from remotejob.tasks.running_job import RunningJob


@dataclass(frozen=True, kw_only=True, slots=True)
class GetHrefs:
    """The limits of a page, which the operator sets when registering."""

    name: ClassVar[str] = "get_hrefs"

    max_bytes: int = 5 << 20
    """For each page."""
    max_links: int = 10_000
    """Different links, in all pages of a job together."""

    def __post_init__(self) -> None:
        for key in ("max_bytes", "max_links"):
            if getattr(self, key) < 1:
                raise InvalidData(f"GetHrefs({key}={getattr(self, key)!r}): use a number from 1")

    def run(self, job: RunningJob) -> dict[str, Any]:
        """Find the links of `location` or the job's input, once each, in order.

        Links are resolved as browsers do: against the page's `<base>`, and against `url`, or `urls`
        with one for each file, as `fetch` returns them. Without any, only absolute links are found.
        Only links that `fetch` could take are returned, as `links`.

        Raises: BadData; BadFile, when a page or the number of links is beyond the limits.
        Source: forerunner, `lib/builtins/tasks/get_hrefs.js`, which fetches the page itself.
        """
        data = data_of(job)
        paths = sources(job, data)
        urls = _urls(data, count=len(paths))
        charsets = header_charsets(job, data, count=len(paths))
        links: dict[str, None] = {}
        for path, url, charset in zip(paths, urls, charsets, strict=True):
            page = read_page(path, data, header_charset=charset, max_bytes=self.max_bytes)
            hrefs, base = self._hrefs(page.text, check=job.check)
            base_url = _base_url(base, url, encoding=page.encoding)
            for href in hrefs:
                link = _link(href, base_url, encoding=page.encoding)
                if link is not None:
                    links[link] = None
            self._check_number(len(links))
        return {"links": list(links)}

    def _hrefs(self, page: str, *, check: Callable[[], None]) -> tuple[Iterable[str], str | None]:
        """The different values of `href` in a page's links, and in its first `<base>`."""
        base: str | None = None
        hrefs: dict[str, None] = {}
        for tag in tags(page, check=check):
            if not isinstance(tag, Tag) or tag.closing or "href" not in tag.attributes:
                continue
            href = tag.attributes["href"]
            if tag.name == "base" and base is None:
                base = href
            elif tag.name == "a":
                hrefs[href] = None
                self._check_number(len(hrefs))
        return hrefs, base

    def _check_number(self, links: int) -> None:
        if links > self.max_links:
            raise BadFile(
                f"more than {self.max_links} links; the operator can set GetHrefs(max_links=...)"
            )


def _urls(data: dict[str, Any], *, count: int) -> list[str | None]:
    """The URL of each page, if it is known."""
    if data.get("url") is not None:
        urls = [text(data, "url", default="")] * count
    elif data.get("urls") is not None:
        urls = texts(data, "urls", most=MOST_NAMES)
    else:
        return [None] * count
    if len(urls) != count:
        raise BadData(f"urls lists {len(urls)} for {count} files: give one per file, or `url`")
    return [_absolute_url(url) for url in urls]


def _absolute_url(url: str) -> str:
    if len(url) > LONGEST_URL:
        raise BadData(f"the URL of a page is too long: use at most {LONGEST_URL} characters")
    try:
        return absolute(url)
    except ValueError:
        raise BadData(
            f"{shown(url)} is not the URL of a page: give one that begins with http:// or https://"
        ) from None


def _base_url(base: str | None, url: str | None, *, encoding: str) -> str | None:
    """The URL that a page's links are relative to.

    Raises: BadFile, when it is too long: every link would cost as much as it.
    Source: WHATWG HTML, 4.2.3 The base element.
    """
    if base is None:
        return url
    try:
        base_url = absolute(base, base=url, encoding=encoding)
    except ValueError:
        return url
    if base_url.startswith(("data:", "javascript:")):
        return url
    if len(base_url) > LONGEST_URL:
        raise BadFile(f"the page's <base> is too long: it may have {LONGEST_URL} characters")
    return base_url


def _link(href: str, base_url: str | None, *, encoding: str) -> str | None:
    """The absolute link; None if it could not be fetched."""
    try:
        link = absolute(href, base=base_url, encoding=encoding)
        fetchable(link)
    except (ValueError, FetchRefused):
        return None
    return link
