"""`fetch` asks a site's robots.txt first, and obeys it as RFC 9309 says."""

from __future__ import annotations

import dataclasses
import gzip
import runpy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remotejob import InvalidData, Job, RemoteJob, Retry, State
from remotejob.builtin import Fetch, FetchFailed, FetchRefused
from remotejob.builtin.address_guard import Target
from remotejob.builtin.robots import MOST_BYTES, Answer, Robots
from remotejob.tasks import Registry
from remotejob.testing import memory_installation
from tests.builtin.conftest import Page, Site, runner

HERE = ("127.0.0.0/8",)
SITE = "https://s.example"
AT = Target(scheme="https", host="s.example", port=443, path="/", addresses=("192.0.2.1",))


@pytest.fixture
def local(site: Site) -> Fetch:
    return Fetch(allow=HERE, ports=(site.port,))


def fetched(options: Fetch, *origins: str, **submitted: Any) -> Job:
    """A job that fetches these, once it has run."""
    installation = memory_installation()
    run = runner(RemoteJob(installation).queue(), installation, Registry())
    return run(options.run, data={"origin": list(origins)}, **submitted)


def rules(text: str | bytes, *, status: int = 200, agent: str = "remotejob") -> Robots:
    body = text if isinstance(text, bytes) else text.encode()
    return Robots(
        user_agent=agent,
        own_sites=frozenset(),
        ask=lambda url, at: Answer(status=status, body=body),
    )


def may(robots: Robots, path: str) -> bool:
    try:
        robots.check(SITE + path, at=AT)
    except FetchRefused:
        return False
    return True


def said(job: Job) -> str:
    assert job.state is not State.COMPLETED
    return f"{job.errors[-1].kind}: {job.errors[-1].message}"


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("", "/x", True),
        ("User-agent: *\nDisallow:\n", "/x", True),
        ("User-agent: *\nDisallow: /\n", "/x", False),
        ("user-AGENT : *  # all\r\n DISALLOW:/x\r\n", "/x/y", False),
        ("User-agent: *\nDisallow: /x\n", "/y", True),
        # the longest rule counts, and of two equal ones that which allows
        ("User-agent: *\nDisallow: /a\nAllow: /a/b\n", "/a/b/c", True),
        ("User-agent: *\nAllow: /a/b\nDisallow: /a/b/c\n", "/a/b/c", False),
        ("User-agent: *\nDisallow: /a\nAllow: /a\n", "/a", True),
        # wildcards
        ("User-agent: *\nDisallow: /*.gif$\n", "/a/b.gif", False),
        ("User-agent: *\nDisallow: /*.gif$\n", "/a/b.gif?x", True),
        ("User-agent: *\nDisallow: /a*z\n", "/a/b/z/c", False),
        # our group counts, and no other one
        ("User-agent: *\nDisallow: /\n\nUser-agent: RemoteJob\nAllow: /\n", "/x", True),
        ("User-agent: remotejob\nDisallow: /\n\nUser-agent: *\nAllow: /\n", "/x", False),
        ("User-agent: other\nUser-agent: remotejob\nDisallow: /x\n", "/x", False),
        ("User-agent: other\nDisallow: /\n", "/x", True),
        ("User-agent: a\nDisallow: /\n\nUser-agent: *\nDisallow: /b\n", "/a", True),
        # as browsers encode
        ("User-agent: *\nDisallow: /é\n", "/%C3%A9", False),
        ("\ufeffUser-agent: *\nDisallow: /\n", "/x", False),
        ("<html>no such page</html>", "/x", True),
    ],
)
def test_a_rule_counts_as_the_standard_says(text: str, path: str, allowed: bool) -> None:  # noqa: FBT001
    assert may(rules(text), path) is allowed


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429])
def test_a_site_that_has_none_or_shows_none_allows_all(status: int) -> None:
    assert may(rules("", status=status), "/x")


@pytest.mark.parametrize("status", [500, 502, 503, 599])
def test_a_site_that_cannot_say_it_now_forbids_all_for_now(status: int) -> None:
    with pytest.raises(FetchFailed, match=f"answered {status}, and until"):
        rules("", status=status).check(f"{SITE}/x", at=AT)


def test_a_page_that_is_forbidden_is_not_asked_for_and_the_job_fails_for_good(
    site: Site, local: Fetch
) -> None:
    site.pages = {
        "/robots.txt": Page(body=b"User-agent: *\nDisallow: /private/\n"),
        "/private/a": Page(body=b"a"),
        "/b": Page(body=b"b"),
    }
    refused = fetched(local, site.url("/private/a"), retry=Retry(max_attempts=5))
    assert refused.state is State.FAILED
    assert said(refused).startswith("FetchRefused: ")
    assert "robots.txt forbids it to 'remotejob'" in said(refused)
    assert site.paths == ["/robots.txt"]

    job = fetched(local, site.url("/b"), site.url("/b?2"))
    assert "404" in said(job)
    assert site.paths[1:] == ["/robots.txt", "/b", "/b?2"], "once for the files of a job"


def test_a_redirect_is_checked_with_the_site_it_leads_to(site: Site, local: Fetch) -> None:
    away = site.url("/kept/b", host="b.example")
    site.pages = {
        "/robots.txt": Page(body=b"User-agent: *\nDisallow: /kept/\n"),
        "/a": Page(status=302, headers={"Location": away}),
        "/kept/b": Page(body=b"b"),
    }
    options = dataclasses.replace(local, resolve=lambda host, port: ["127.0.0.1"])
    assert "forbids it" in said(fetched(options, site.url("/a", host="a.example")))
    asked = [
        (host.partition(":")[0], path) for host, path in zip(site.hosts, site.paths, strict=True)
    ]
    assert asked == [
        ("a.example", "/robots.txt"),
        ("a.example", "/a"),
        ("b.example", "/robots.txt"),
    ]


@pytest.mark.parametrize(
    "page", [Page(status=503), Page(body=b"x", headers={"Content-Length": "9"})]
)
def test_a_job_is_tried_again_when_a_site_does_not_say_what_is_allowed(
    site: Site, local: Fetch, page: Page
) -> None:
    site.pages = {"/robots.txt": page, "/a": Page(body=b"a")}
    job = fetched(local, site.url("/a"), retry=Retry(max_attempts=2))
    assert (job.state, job.errors[-1].kind) == (State.WAITING, "FetchFailed")
    assert "/a" not in site.paths


def test_robots_txt_may_be_elsewhere_and_after_five_redirects_there_is_none(
    site: Site, local: Fetch
) -> None:
    site.pages = {"/a": Page(body=b"a"), "/r5": Page(body=b"User-agent: *\nDisallow: /\n")}
    hops = ["/robots.txt", "/r1", "/r2", "/r3", "/r4", "/r5"]
    for hop, target in pairwise(hops):
        site.pages[hop] = Page(status=301, headers={"Location": target})
    assert "forbids it" in said(fetched(local, site.url("/a")))

    site.pages["/r5"] = Page(status=301, headers={"Location": "/r6"})
    site.pages["/r6"] = Page(body=b"User-agent: *\nDisallow: /\n")
    assert fetched(local, site.url("/a")).state is State.COMPLETED


def test_robots_txt_leads_to_no_address_that_fetch_may_not_reach(site: Site, local: Fetch) -> None:
    inside = "http://169.254.169.254/latest/meta-data/"
    site.pages = {"/robots.txt": Page(status=302, headers={"Location": inside})}
    assert "FetchRefused" in said(fetched(local, site.url("/a")))


def test_what_is_beyond_500_kib_does_not_count_and_an_endless_file_ends(
    site: Site, local: Fetch
) -> None:
    start = b"User-agent: *\nDisallow: /a\n"
    padding = b"#" * (MOST_BYTES - len(start) - 1) + b"\n"
    site.pages = {
        "/robots.txt": Page(body=start + padding + b"Disallow: /b\n", endless=True),
        "/b": Page(body=b"b"),
    }
    assert "forbids it" in said(fetched(local, site.url("/a")))
    assert fetched(local, site.url("/b")).state is State.COMPLETED
    assert site.given_up.wait(10)


def test_a_compressed_one_is_read(site: Site, local: Fetch) -> None:
    body = gzip.compress(b"User-agent: *\nDisallow: /\n")
    site.pages = {"/robots.txt": Page(body=body, headers={"Content-Encoding": "gzip"})}
    assert "forbids it" in said(fetched(local, site.url("/a")))


def test_ones_own_site_is_not_asked(site: Site, local: Fetch) -> None:
    site.pages = {
        "/robots.txt": Page(body=b"User-agent: *\nDisallow: /\n"),
        "/a": Page(body=b"a"),
    }
    own = dataclasses.replace(
        local, own_sites=("Files.Example.",), resolve=lambda host, port: ["127.0.0.1"]
    )
    job = fetched(own, site.url("/a", host="files.example"))
    assert job.state is State.COMPLETED
    assert site.paths == ["/a"]
    assert "forbids it" in said(fetched(own, site.url("/a", host="else.example")))


def test_a_fetch_names_itself_and_obeys_what_is_said_to_that_name(site: Site, local: Fetch) -> None:
    site.pages = {
        "/robots.txt": Page(body=b"User-agent: mybot\nDisallow: /a\n"),
        "/a": Page(body=b"a"),
    }
    assert fetched(local, site.url("/a")).state is State.COMPLETED
    named = dataclasses.replace(local, user_agent="MyBot/1.0 (+https://example.com/bot)")
    assert "forbids it" in said(fetched(named, site.url("/a")))
    assert site.agents == {"remotejob", "MyBot/1.0 (+https://example.com/bot)"}


@pytest.mark.parametrize(
    "options",
    [
        {"user_agent": ""},
        {"user_agent": "1bot"},
        {"user_agent": "bot\r\nX-Evil: 1"},
        {"user_agent": "böt"},
        {"own_sites": ("http://a/",)},
        {"own_sites": ("a b",)},
    ],
)
def test_a_name_or_site_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    [(name, value)] = options.items()
    with pytest.raises(InvalidData) as refused:
        Fetch(**options)
    assert f"{name}={value!r}" in str(refused.value)


def test_a_file_that_would_take_a_gigabyte_to_read_is_refused() -> None:
    many = "".join(f"User-agent: a{number}\n" for number in range(10_000))
    with pytest.raises(FetchRefused, match="too many rules for too many robots"):
        rules(many + "Disallow: /a\n" * 20_000).check(f"{SITE}/x", at=AT)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(["User-agent: *", "Disallow: /", "Allow: /*a$", "Crawl-delay: x", "\x00"])
        | st.text(max_size=20),
        max_size=8,
    ),
    st.binary(max_size=20),
)
def test_whatever_a_site_answers_is_an_answer(lines: list[str], tail: bytes) -> None:
    text = "\n".join(lines).encode(errors="replace") + tail
    assert may(rules(text), "/a") in (True, False)


def test_the_crawlers_job_for_a_forbidden_page_fails_and_the_others_complete(
    site: Site, tmp_path: Path, monkeypatch: Any
) -> None:
    site.pages = {
        "/robots.txt": Page(body=b"User-agent: *\nDisallow: /b\n"),
        "/": Page(body=b"<a href=/a>a</a><a href=/b>b</a>"),
        "/a": Page(body=b"<a href=/>home</a>"),
        "/b": Page(body=b"<a href=/c>c</a>"),
    }
    monkeypatch.chdir(tmp_path)
    crawl = runpy.run_path(str(Path(__file__).parents[2] / "examples/ancestors/crawl.py"))
    jobs = crawl["run_here"](site.url("/"), fetch=Fetch(allow=HERE, ports=(site.port,)))
    assert {job.data["origin"]: job.state for job in jobs} == {
        site.url("/"): State.COMPLETED,
        site.url("/a"): State.COMPLETED,
        site.url("/b"): State.FAILED,
    }
    assert "/b" not in site.paths
