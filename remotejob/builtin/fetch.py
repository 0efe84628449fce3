"""The task `fetch`: downloads files."""

from __future__ import annotations

import re
import ssl
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPResponse
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final
from urllib.parse import unquote, urlsplit

from remotejob.builtin import address_guard, http, robots
from remotejob.builtin.address_guard import Guard, Resolve, Target
from remotejob.builtin.fields import data_of, shown, text, texts
from remotejob.builtin.files import inside, whole
from remotejob.builtin.http import Deadline
from remotejob.builtin.refusals import FetchFailed, FetchRefused
from remotejob.builtin.robots import Answer, Robots
from remotejob.builtin.urls import absolute, is_host_name
from remotejob.domain.errors import InvalidData
from remotejob.domain.file_names import nearest_file_name
from remotejob.tasks.compose import hand_on
from remotejob.tasks.running_job import RunningJob

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ROBOTS_REDIRECTS: Final = 5
_SUCCESS: Final = range(200, 300)
_USER_AGENT: Final = re.compile(r"[A-Za-z][A-Za-z_-]*(?:[/ ][ -~]*)?")
"""Source: RFC 9309, 2.2.1, product token."""
_LONGEST_NAME: Final = 100
_BYTES_BEYOND_ASCII: Final = re.compile("[\x80-\xff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetch:
    """The limits of a fetch, which the operator sets when registering and no job can change."""

    name: ClassVar[str] = "fetch"

    allow: tuple[str, ...] = ()
    """Hosts and networks that need not be public: `"files.internal"`, `"10.1.0.0/16"`."""
    ports: tuple[int, ...] = (80, 443)
    max_bytes: int = 1 << 30
    """For all files of a job together."""
    max_ratio: int = 200
    """Bytes that a body which the server compressed may have for each byte sent."""
    max_files: int = 100
    max_redirects: int = 5
    """For each file."""
    timeout: timedelta = timedelta(minutes=10)
    """For all files of a job together; the system's resolver has its own timeout."""
    user_agent: str = "remotejob"
    """How it names itself to servers; robots.txt is searched for the name at its beginning."""
    own_sites: tuple[str, ...] = ()
    """Hosts whose robots.txt is not asked for, because they are the operator's own."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    resolve: Resolve = field(default=address_guard.system_resolve, repr=False)
    """How hosts are resolved."""

    def __post_init__(self) -> None:
        address_guard.allowed(self.allow)
        for key in ("max_bytes", "max_ratio", "max_files"):
            if getattr(self, key) < 1:
                raise InvalidData(f"Fetch({key}={getattr(self, key)!r}): use a number from 1")
        if self.max_redirects < 0:
            raise InvalidData(f"Fetch(max_redirects={self.max_redirects!r}): use a number from 0")
        if self.timeout <= timedelta(0):
            raise InvalidData(f"Fetch(timeout={self.timeout!r}): use a time above zero")
        if not _USER_AGENT.fullmatch(self.user_agent):
            raise InvalidData(
                f"Fetch(user_agent={self.user_agent!r}): begin with a name of letters, _ and -, "
                "such as 'mybot/1.0 (+https://example.com/mybot)', and use ASCII"
            )
        for host in self.own_sites:
            if not is_host_name(host.lower().rstrip(".")):
                raise InvalidData(f"Fetch(own_sites={self.own_sites!r}): {host!r} is not a host")
        if not self.ports or not all(0 < port < 65536 for port in self.ports):
            raise InvalidData(f"Fetch(ports={self.ports!r}): use numbers from 1 to 65535")

    def run(self, job: RunningJob) -> dict[str, Any]:
        """Download `origin`, a URL or a list of URLs, into the folder `destination`.

        Each site's robots.txt is read first, and obeyed, after each redirect too.

        Returns `location`, the files' names in the run's folder, and `urls`, the URL of each after
        redirects; and `encodings`, when a server named the character encoding of a file. A body
        that was sent compressed is stored decompressed.

        Raises: BadData; FetchRefused, when an address may not be fetched; FetchFailed.
        Source: forerunner, `lib/builtins/tasks/fetch.js`, and `get_hrefs.js` for robots.txt.
        """
        data = data_of(job)
        origins = texts(data, "origin", most=self.max_files)
        folder = job.folder()
        into = ""
        if data.get("destination") is not None:
            into = text(data, "destination", default="").rstrip("/") + "/"
            inside(folder, into.rstrip("/")).mkdir(parents=True, exist_ok=True)
        downloads = _Downloads(self, check=job.check)
        names: list[str] = []
        fetched: list[_Fetched] = []
        for origin in origins:
            url = _absolute(origin)
            name = _free_name(folder, into, url)
            with whole(inside(folder, name)) as part:
                fetched.append(downloads.download(url, part))
            names.append(name)
            job.progress(len(names), len(origins))
        hand_on(job, names)
        result: dict[str, Any] = {"location": names, "urls": [one.url for one in fetched]}
        encodings = [one.charset for one in fetched]
        # in a composition, the data may hold those of files that an earlier step fetched
        if any(encodings) or "encodings" in data:
            result["encodings"] = encodings
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fetched:
    url: str
    """After redirects."""
    charset: str | None
    """The character encoding that the server named."""


class _Downloads:
    """Downloads the files of one job within its shared limits."""

    def __init__(self, options: Fetch, *, check: Callable[[], None]) -> None:
        """`check` raises once the job is to stop."""
        self._check = check
        hosts, networks = address_guard.allowed(options.allow)
        self._guard = Guard(
            hosts=hosts,
            networks=networks,
            ports=frozenset(options.ports),
            resolve=options.resolve,
        )
        self._options = options
        self._deadline = Deadline(options.timeout.total_seconds())
        self._bytes_left = options.max_bytes
        self._tls = ssl.create_default_context(cafile=options.ca_file)
        self._robots = Robots(
            user_agent=options.user_agent,
            own_sites=frozenset(host.lower().rstrip(".") for host in options.own_sites),
            ask=self._ask,
        )

    def download(self, origin: str, to: Path) -> _Fetched:
        """Write a URL's content to a file."""
        url = origin
        for _ in range(self._options.max_redirects + 1):
            target = self._guard.admit(url)
            self._robots.check(url, at=target)
            with self._get(target) as response:
                next_url = _redirected(url, response)
                if next_url is None:
                    _check_status(url, response)
                    self._bytes_left -= http.save(
                        response,
                        to,
                        most=self._bytes_left,
                        max_ratio=self._options.max_ratio,
                        deadline=self._deadline,
                        check=self._check,
                    )
                    charset = response.headers.get_content_charset()
                    return _Fetched(url=url, charset=charset)
            url = next_url
        raise FetchRefused(
            f"{shown(origin)}: more than {self._options.max_redirects} redirects; "
            "the operator can allow more with Fetch(max_redirects=...)"
        )

    def _ask(self, robots_url: str, target: Target) -> Answer:
        """Get a robots.txt. Raises: FetchRefused, when a redirect may not be followed; FetchFailed.

        Source: RFC 9309, 2.3.1.2: after five redirects it may count as unavailable.
        """
        url = robots_url
        for _ in range(_ROBOTS_REDIRECTS + 1):
            with self._get(target) as response:
                next_url = _redirected(url, response)
                if next_url is None:
                    body = b""
                    if response.status in _SUCCESS:
                        body = http.beginning(
                            response,
                            most=robots.MOST_BYTES,
                            max_ratio=self._options.max_ratio,
                            deadline=self._deadline,
                            check=self._check,
                        )
                    return Answer(status=response.status, body=body)
            url, target = next_url, self._guard.admit(next_url)
        return Answer(status=404, body=b"")

    def _get(self, target: Target) -> AbstractContextManager[HTTPResponse]:
        return http.get(
            target,
            deadline=self._deadline,
            tls=self._tls,
            user_agent=self._options.user_agent,
        )


def _absolute(origin: str) -> str:
    try:
        return absolute(origin)
    except ValueError:
        raise FetchRefused(
            f"{shown(origin)} is not a URL: give one that begins with http:// or https://"
        ) from None


def _redirected(url: str, response: HTTPResponse) -> str | None:
    location = response.headers.get("Location")
    if response.status not in _REDIRECTS or location is None:
        return None
    try:
        # http.client decodes headers as Latin-1; browsers send the bytes back as they came
        return absolute(
            _BYTES_BEYOND_ASCII.sub(lambda byte: f"%{ord(byte[0]):02X}", location), base=url
        )
    except ValueError:
        raise FetchRefused(f"{shown(url)} redirects to {shown(location)}, not a URL") from None


def _check_status(url: str, response: HTTPResponse) -> None:
    if response.status not in _SUCCESS:
        raise FetchFailed(f"{shown(url)}: the server answered {response.status}")


def _free_name(folder: Path, into: str, url: str) -> str:
    """A name for the file: the last part of the URL's path, numbered if that is taken."""
    last = unquote(urlsplit(url).path).rpartition("/")[2]
    name = PurePosixPath(_plain(last) or "download")
    candidates: Iterable[str] = (
        f"{name.stem}{'' if number == 1 else f'-{number}'}{name.suffix}"
        for number in range(1, 1_000_000)
    )
    return next(
        into + candidate for candidate in candidates if not (folder / (into + candidate)).exists()
    )


def _plain(name: str) -> str:
    """A safe file name, cut at the left so that its suffix stays."""
    plain = "".join(
        "_" if letter in '/\\:*?"<>|' or unicodedata.category(letter).startswith("C") else letter
        for letter in name
    )
    shortened = plain.encode()[-_LONGEST_NAME:].decode(errors="ignore")
    return nearest_file_name(shortened.strip(". "))
