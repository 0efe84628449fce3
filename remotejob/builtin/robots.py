"""What a site lets robots fetch: its robots.txt, read once for the files of a job.

Source: RFC 9309, "Robots Exclusion Protocol".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol
from urllib.parse import urlsplit

from protego import Protego

from remotejob.builtin.address_guard import Target
from remotejob.builtin.fields import shown
from remotejob.builtin.refusals import FetchFailed, FetchRefused

MOST_BYTES: Final = 500 * 1024
"""What follows is ignored. Source: RFC 9309, 2.5: at least that much is parsed."""

_UNAVAILABLE: Final = 400
_UNREACHABLE: Final = 500
_MOST_PAIRS: Final = 1_000_000
"""Lines that name an agent, times other lines: each rule may be kept for each agent."""

_AGENT: Final = re.compile(r"^\s*user[ -]?agent", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a server said when it was asked for a robots.txt, after redirects."""

    status: int
    body: bytes
    """The first `MOST_BYTES`; empty unless the status is one of success."""


class _Rules(Protocol):
    def can_fetch(self, url: str, user_agent: str) -> bool: ...


class _AllowsAll:
    def can_fetch(self, url: str, user_agent: str) -> bool:  # noqa: ARG002 (the protocol's)
        return True


class Robots:
    """The rules of the sites that a job fetches from."""

    def __init__(
        self, *, user_agent: str, own_sites: frozenset[str], ask: Callable[[str, Target], Answer]
    ) -> None:
        """`ask` gets a robots.txt by its URL and where that is, and follows redirects. It raises
        FetchFailed for a server that does not answer. `own_sites` are hosts that are not asked."""
        self._user_agent = user_agent
        self._own_sites = own_sites
        self._ask = ask
        self._rules: dict[str, _Rules] = {}

    def check(self, url: str, *, at: Target) -> None:
        """Check that the URL's site lets us fetch it; the site is asked at the same addresses.

        Raises: FetchRefused, when it does not; FetchFailed, when its robots.txt cannot be read now,
        which forbids all.
        """
        parts = urlsplit(url)
        if (parts.hostname or "").rstrip(".") in self._own_sites:
            return
        site = f"{parts.scheme}://{parts.netloc}"
        if site not in self._rules:
            self._rules[site] = self._read(f"{site}/robots.txt", at)
        if not self._rules[site].can_fetch(url, self._user_agent):
            raise FetchRefused(
                f"{shown(url)}: the site's robots.txt forbids it to {self._user_agent!r}; "
                "if it is your own site, the operator can add its host to Fetch(own_sites=...)"
            )

    def _read(self, url: str, at: Target) -> _Rules:
        answer = self._ask(url, replace(at, path="/robots.txt"))
        if answer.status >= _UNREACHABLE:
            raise FetchFailed(
                f"{shown(url)}: the server answered {answer.status}, and until it has a "
                "robots.txt, or none, nothing of the site may be fetched"
            )
        if answer.status >= _UNAVAILABLE:
            return _AllowsAll()
        text = answer.body.decode(errors="replace").removeprefix("\ufeff")
        agents = len(_AGENT.findall(text))
        if agents * (text.count("\n") + text.count("\r") + 1) > _MOST_PAIRS:
            raise FetchRefused(f"{shown(url)} has too many rules for too many robots")
        return Protego.parse(text)
