"""The task `get_hrefs`: finds the links of a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import urljoin, urlsplit

from remotejob.builtin.fields import data_of, text, texts
from remotejob.builtin.files import MOST_NAMES, sources
from remotejob.builtin.html.markup import Tag, tags
from remotejob.builtin.html.pages import read_page
from remotejob.builtin.refusals import BadData, BadFile
from remotejob.domain.errors import InvalidData
from remotejob.tasks.running_job import RunningJob

_LONGEST_LINK: Final = 4096


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
        """Find the http and https links of `location` or the job's input, once each, in order.

        Relative links are resolved against the page's `<base>`, and against `url`, or `urls` with
        one for each file, as `fetch` returns them. Without any, only absolute links are found.
        Returns `links`.

        Raises: BadData; BadFile, when a page or the number of links is beyond the limits.
        Source: forerunner, `lib/builtins/tasks/get_hrefs.js`, which fetches the page itself.
        """
        data = data_of(job)
        paths = sources(job, data)
        bases = _bases(data, count=len(paths))
        links: dict[str, None] = {}
        for path, base in zip(paths, bases, strict=True):
            page = read_page(path, data, max_bytes=self.max_bytes)
            self._collect(page, base, links, check=job.check)
        return {"links": list(links)}

    def _collect(
        self, page: str, base: str, links: dict[str, None], *, check: Callable[[], None]
    ) -> None:
        based = False
        seen: set[str] = set()  # resolving is expensive, so resolve a repeated link once
        for tag in tags(page, check=check):
            if not isinstance(tag, Tag) or tag.closing or "href" not in tag.attributes:
                continue
            href = tag.attributes["href"]
            if tag.name == "base" and not based:
                # as in browsers, only the first counts
                base, based = _resolved(base, href) or base, True
                seen.clear()
            elif tag.name == "a" and href not in seen:
                seen.add(href)
                link = _resolved(base, href)
                if link is not None:
                    links[link] = None
                if max(len(seen), len(links)) > self.max_links:
                    raise BadFile(
                        f"more than {self.max_links} links; "
                        "the operator can set GetHrefs(max_links=...)"
                    )


def _bases(data: dict[str, Any], *, count: int) -> list[str]:
    bases = [""] * count
    if data.get("url") is not None:
        bases = [text(data, "url", default="")] * count
    elif data.get("urls") is not None:
        urls = texts(data, "urls", most=MOST_NAMES)
        if len(urls) != count:
            raise BadData(f"urls lists {len(urls)} for {count} files: give one per file, or `url`")
        bases = urls
    if any(len(base) > _LONGEST_LINK for base in bases):
        raise BadData(f"the URL of a page is too long: use at most {_LONGEST_LINK} characters")
    return bases


def _resolved(base: str, href: str) -> str | None:
    """The absolute link; None if it could not be fetched."""
    href = "".join(href.split("\n")).replace("\r", "").replace("\t", "").strip()
    if not href or len(href) > _LONGEST_LINK:
        return None
    try:
        link = urljoin(base, href)
        parts = urlsplit(link)
    except ValueError:
        return None
    known = parts.scheme in ("http", "https") and bool(parts.netloc)
    return link if known and len(link) <= _LONGEST_LINK else None
