"""`fetch` brings files, from where it may."""

from __future__ import annotations

import dataclasses
import ssl
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob import InvalidData, Job, Queue, Retry, RunningJob, State
from remotejob.builtin import Fetch, FetchFailed, FetchRefused, fetch
from remotejob.builtin.address_guard import Guard, allowed
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from tests.builtin.conftest import Page, Run, Site

HERE = ("127.0.0.0/8",)


@pytest.fixture
def local(site: Site) -> Fetch:
    """What may reach the site."""
    return Fetch(allow=HERE, ports=(site.port,))


def said(job: Job) -> str:
    assert job.state is State.FAILED
    return f"{job.errors[-1].kind}: {job.errors[-1].message}"


def resolving(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda host, port: list(addresses)


def test_fetched_files_are_the_outputs_of_the_job(run: Run, site: Site, local: Fetch) -> None:
    site.pages = {"/a/cat.png": Page(body=b"cat"), "/dog.png?size=2": Page(body=b"dog")}

    job = run(local.run, data={"origin": [site.url("/a/cat.png"), site.url("/dog.png?size=2")]})

    assert job.result == {
        "location": ["cat.png", "dog.png"],
        "urls": [site.url("/a/cat.png"), site.url("/dog.png?size=2")],
    }
    assert job.outputs["cat.png"].open().read() == b"cat"
    assert job.outputs["dog.png"].open().read() == b"dog"
    assert job.progress == (2, 2)


def test_files_go_into_the_folder_asked_for(run: Run, site: Site, local: Fetch) -> None:
    site.pages["/cat.png"] = Page(body=b"cat")

    job = run(local.run, data={"origin": site.url("/cat.png"), "destination": "pets/small"})

    assert job.result["location"] == ["pets/small/cat.png"]
    assert list(job.outputs) == ["pets/small/cat.png"]


def test_files_of_one_name_do_not_overwrite_each_other(run: Run, site: Site, local: Fetch) -> None:
    site.pages = {"/a/x.txt": Page(body=b"a"), "/b/x.txt": Page(body=b"b")}

    job = run(local.run, data={"origin": [site.url("/a/x.txt"), site.url("/b/x.txt")]})

    assert [job.outputs[name].open().read() for name in job.result["location"]] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "download"),
        ("/a%2f..%2f..%2fpasswd", "passwd"),
        ("/%5c..%5cx", "_.._x"),
        ("/new%0aline", "new_line"),
        ("/con.txt", "_con.txt"),
        ("/nul", "_nul"),
        ("/" + "n" * 300 + ".png", "n" * 96 + ".png"),
    ],
)
def test_hostile_file_names_are_made_plain(
    run: Run, site: Site, local: Fetch, path: str, name: str
) -> None:
    site.pages[path] = Page(body=b"x")

    assert run(local.run, data={"origin": site.url(path)}).result["location"] == [name]


@pytest.mark.parametrize(
    "destination", ["../out", "/etc", "a/../..", "a\\b", "", "/", "x\n", "C:x", "a/NUL"]
)
def test_destination_cannot_leave_the_runs_folder(run: Run, destination: str) -> None:
    job = run(fetch, data={"origin": "http://example.com/x", "destination": destination})

    assert said(job).startswith("BadData: ")


def test_redirects_are_followed_and_the_last_address_is_returned(
    run: Run, site: Site, local: Fetch
) -> None:
    site.pages = {
        "/old": Page(status=302, headers={"Location": "/new.txt"}),
        "/new.txt": Page(body=b"found"),
    }

    job = run(local.run, data={"origin": site.url("/old")})

    assert job.result["urls"] == [site.url("/new.txt")]
    assert job.outputs["old"].open().read() == b"found"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "file:///etc/passwd",
        "//user@127.0.0.1/",
    ],
)
def test_each_redirect_is_looked_at(run: Run, site: Site, location: str) -> None:
    site.pages["/"] = Page(status=302, headers={"Location": location})
    options = Fetch(allow=HERE, ports=(80, site.port))

    assert said(run(options.run, data={"origin": site.url("/")})).startswith("FetchRefused: ")


def test_redirects_come_to_an_end(run: Run, site: Site, local: Fetch) -> None:
    site.pages["/"] = Page(status=301, headers={"Location": "/"})

    job = run(local.run, data={"origin": site.url("/")})

    assert "more than 5 redirects" in said(job)
    assert len(site.hosts) == 1 + 6, "robots.txt, and the page each time"


@pytest.mark.parametrize("status", [304, 404, 500])
def test_answers_that_are_no_success_fail_the_job(
    run: Run, site: Site, local: Fetch, status: int
) -> None:
    site.pages["/"] = Page(status=status)

    job = run(local.run, data={"origin": site.url("/")}, retry=Retry(max_attempts=2))

    assert job.state is State.WAITING  # it may be better another time
    assert str(status) in job.errors[-1].message


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",  # noqa: S104
        "169.254.169.254", "169.254.170.2", "192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254",
        "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "::127.0.0.1", "64:ff9b::169.254.170.2", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
        "2002:7f00:1::1", "2002:a9fe:a9fe::", "2001:0:808:808:0:0:f5ff:fffe",
        "2001:0:a00:1:0:0:f7f7:f7f7", "3fff::1", "5f00::1",
        "::10.0.0.1", "::1.1.1.1", "::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "::ffff:0:1.1.1.1",
        "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1.1.1.1",
        "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:ffff::10.0.0.1",
        "2002:a00:1::", "2002:c0a8:101:1::1", "2002:6440:1::1", "2002:101:101::5efe:10.0.0.1",
        "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:10.0.0.1",
        "2606:4700:1:2:0:5efe:169.254.169.254", "2606:4700:1:2:200:5efe:127.0.0.1",
        "2606:4700:1:2:200:5efe:192.168.0.1", "2606:4700:1:2:0:5efe:100.64.0.1",
        "2606:4700:1:2:0:5efe:0.0.0.0", "2606:4700:1:2:100:5efe:10.0.0.1",
        "2606:4700:1:2:300:5efe:10.0.0.1", "fe80::5efe:1.1.1.1", "fd00::200:5efe:1.1.1.1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    guard = _guard(resolving(address))

    with pytest.raises(FetchRefused, match="not public"):
        guard.admit("http://example.com/")


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1",
        "2606:4700::5efe:1.1.1.1", "2606:4700::200:5efe:1.1.1.1", "2606:4700::400:5efe:10.0.0.1",
        "2001:0:808:808:0:0:fefe:fefe",
    ],
)  # fmt: skip
def test_public_addresses_are_admitted(address: str) -> None:
    assert len(_guard(resolving(address)).admit("http://example.com/").addresses) == 1


def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    guard = _guard(resolving("1.1.1.1", "10.0.0.1"))

    with pytest.raises(FetchRefused):
        guard.admit("http://example.com/")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "example.com", "",
        "http://", "http:///x", "http://user:secret@example.com/", "http://@example.com/",
        "http://example.com:22/", "http://example.com:0/", "http://example.com:99999/",
        "http://exa mple.com/", "http://example.com/\r\nX: y", "http://example.com\\@10.0.0.1/",
        "http://[fe80::1%25eth0]/", "http://[::1/", "http://exämple..com/", "http://-/",
        "http://example.com/" + "x" * 5000,
    ],
)  # fmt: skip
def test_urls_that_are_not_plain_are_refused(url: str) -> None:
    with pytest.raises(FetchRefused) as refused:
        _guard(resolving("1.1.1.1")).admit(url)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost", "[::1]"])
def test_other_spellings_of_this_machine_are_refused(run: Run, host: str) -> None:
    job = run(fetch, data={"origin": f"http://{host}/"})

    assert said(job).startswith("FetchRefused: ")


def test_host_is_resolved_once_and_reached_at_that_address(run: Run, site: Site) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    site.pages["/"] = Page(body=b"x")
    options = Fetch(allow=HERE, ports=(site.port,), resolve=resolve)

    job = run(options.run, data={"origin": site.url("/", host="no-such-host.example")})

    assert job.state is State.COMPLETED
    assert asked == ["no-such-host.example"]
    assert site.hosts == [f"no-such-host.example:{site.port}"] * 2, "robots.txt, and the page"


def test_next_address_is_tried_when_one_does_not_answer(run: Run, site: Site) -> None:
    site.pages["/"] = Page(body=b"x")
    # the site listens at 127.0.0.1 alone
    options = Fetch(allow=HERE, ports=(site.port,), resolve=resolving("127.0.0.99", "127.0.0.1"))

    assert run(options.run, data={"origin": site.url("/", host="a.example")}).result


def test_allowed_host_may_be_private_but_never_this_machine_or_its_metadata() -> None:
    def admit(address: str, url: str = "http://files.internal/") -> Any:
        return _guard(resolving(address), allow=("Files.internal",)).admit(url)

    assert admit("10.0.0.1").addresses == ("10.0.0.1",)
    assert admit("10.0.0.1", "http://FILES.internal./").addresses == ("10.0.0.1",)
    assert admit("fc00::1").addresses == ("fc00::1",)
    assert admit("fd00::5efe:10.0.0.1").addresses == ("fd00::5efe:a00:1",)
    for address in (
        "127.0.0.1", "169.254.169.254", "fd00:ec2::254", "::ffff:169.254.170.2",
        "fd00::5efe:169.254.169.254", "fd00::200:5efe:127.0.0.1", "2002:a9fe:a9fe::",
        "2002:7f00:1::1", "64:ff9b::169.254.169.254", "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::", "::169.254.169.254", "::ffff:0:169.254.169.254",
        "2001:0:a9fe:a9fe:0:0:f7f7:f7f7", "2001:0:808:808:0:0:5601:5601",
    ):  # fmt: skip
        with pytest.raises(FetchRefused):
            admit(address)
    with pytest.raises(FetchRefused):
        admit("10.0.0.1", "http://others.internal/")


def test_allowed_network_holds_also_for_addresses_written_as_ipv6() -> None:
    guard = _guard(resolving("::ffff:10.1.0.1"), allow=("10.1.0.0/16",))

    assert guard.admit("http://a.example/").addresses == ("::ffff:a01:1",)


def test_refusal_does_not_tell_the_private_address() -> None:
    with pytest.raises(FetchRefused) as refused:
        _guard(resolving("10.9.8.7")).admit("http://a.example/")

    assert "10.9.8.7" not in str(refused.value)


@pytest.mark.parametrize(
    "page",
    [
        Page(body=b"x" * 101),
        Page(headers={"Content-Length": "101"}),
        Page(endless=True),
    ],
    ids=["sent", "promised", "endless"],
)
def test_bytes_are_limited(run: Run, site: Site, local: Fetch, page: Page) -> None:
    site.pages["/"] = page

    job = run(dataclasses.replace(local, max_bytes=100).run, data={"origin": site.url("/")})

    assert said(job).startswith("FetchRefused: ")
    assert "max_bytes" in said(job)
    if page.endless:
        assert site.given_up.wait(10)


def test_files_share_the_limit_of_bytes(run: Run, site: Site, local: Fetch) -> None:
    site.pages["/"] = Page(body=b"x" * 60)
    options = dataclasses.replace(local, max_bytes=100)

    assert run(options.run, data={"origin": site.url("/")}).state is State.COMPLETED


def test_second_file_beyond_the_limit_is_refused(run: Run, site: Site, local: Fetch) -> None:
    site.pages["/"] = Page(body=b"x" * 60)
    options = dataclasses.replace(local, max_bytes=100)

    job = run(options.run, data={"origin": [site.url("/")] * 2})

    assert "only 40 more" in said(job)
    assert not job.outputs


def test_time_is_limited_also_when_bytes_keep_coming(run: Run, site: Site, local: Fetch) -> None:
    site.pages["/"] = Page(endless=True)
    options = dataclasses.replace(local, timeout=timedelta(seconds=0.3))

    job = run(options.run, data={"origin": site.url("/")})

    assert "longer than 0.3 s" in said(job)
    assert site.given_up.wait(10)


def test_body_that_is_cut_short_fails_the_job(run: Run, site: Site, local: Fetch) -> None:
    site.pages["/"] = Page(body=b"half", headers={"Content-Length": "8"})

    assert said(run(local.run, data={"origin": site.url("/")})).startswith("FetchFailed: ")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-length": "2"},
        {"content-length": "4"},
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "-4"},
        {"Content-Length": "4, 4"},
        {"Content-Length": "0x4"},
        {"Content-Length": "4", "Transfer-Encoding": "gzip"},
    ],
    ids=str,
)
def test_answer_whose_end_is_not_clear_fails_the_job(
    run: Run, site: Site, local: Fetch, headers: dict[str, str]
) -> None:
    # the server adds a length of its own, unless there is one in its own spelling
    site.pages["/"] = Page(body=b"four", headers=headers)

    job = run(local.run, data={"origin": site.url("/")})

    assert said(job).startswith("FetchFailed: ")
    assert not job.outputs


def test_nothing_is_left_of_a_file_that_failed(run: Run, site: Site, local: Fetch) -> None:
    site.pages["/"] = Page(body=b"half", headers={"Content-Length": "8"})

    def work(job: RunningJob) -> list[str]:
        with pytest.raises(FetchFailed):
            local.run(job)
        return [path.name for path in job.folder().rglob("*")]

    assert run(work, data={"origin": site.url("/")}).result == []


def test_job_that_is_cancelled_stops_fetching(
    installation: Installation, queue: Queue, tasks: Registry, clock: FakeClock, site: Site
) -> None:
    worker = Simulation(installation=installation, tasks=tasks)
    site.pages["/"] = Page(endless=True)

    def resolve(host: str, port: int) -> list[str]:
        job.cancel()
        clock.advance(timedelta(seconds=25))
        worker.beat()
        return ["127.0.0.1"]

    tasks.task("work")(Fetch(allow=HERE, ports=(site.port,), resolve=resolve).run)
    job = queue.submit("work", data={"origin": site.url("/", host="a.example")})
    worker.step()

    assert job.refresh().state is State.CANCELLED
    assert site.given_up.wait(10)


@pytest.mark.parametrize("origin", [None, 7, [], [7], {}, ["http://a"] * 101])
def test_origin_that_is_no_list_of_urls_is_refused(run: Run, origin: object) -> None:
    job = run(fetch, data={"origin": origin}, retry=Retry(max_attempts=5))

    assert said(job).startswith("BadData: ")  # for good: the data will not be better next time


def test_https_checks_the_name_of_the_host_it_asked_for(
    run: Run, site: Site, local: Fetch, tmp_path: Path
) -> None:
    certificate = _serve_https(site, tmp_path, host="good.example")
    site.pages["/"] = Page(body=b"x")
    options = dataclasses.replace(local, ca_file=certificate, resolve=resolving("127.0.0.1"))

    job = run(options.run, data={"origin": f"https://good.example:{site.port}/"})

    assert job.state is State.COMPLETED
    assert site.hosts == [f"good.example:{site.port}"] * 2, "robots.txt, and the page"


@pytest.mark.parametrize("wrong", ["host", "authority"])
def test_https_refuses_a_certificate_that_does_not_fit(
    run: Run, site: Site, local: Fetch, tmp_path: Path, wrong: str
) -> None:
    certificate = _serve_https(site, tmp_path, host="good.example")
    options = dataclasses.replace(
        local, ca_file=certificate if wrong == "host" else None, resolve=resolving("127.0.0.1")
    )
    host = "bad.example" if wrong == "host" else "good.example"

    job = run(options.run, data={"origin": f"https://{host}:{site.port}/"})

    assert "SSLCertVerificationError" in said(job)
    assert not site.hosts


@pytest.mark.parametrize(
    "options",
    [
        {"allow": ("10.0.0.1/8",)},
        {"allow": ("https://a.example",)},
        {"allow": ("",)},
        {"ports": ()},
        {"ports": (0,)},
        {"max_bytes": 0},
        {"max_files": 0},
        {"max_redirects": -1},
        {"timeout": timedelta(0)},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidData, match=next(iter(options))):
        Fetch(**options)


def _guard(resolve: Callable[[str, int], list[str]], *, allow: tuple[str, ...] = ()) -> Any:
    hosts, networks = allowed(allow)
    return Guard(hosts=hosts, networks=networks, ports=frozenset({80, 443}), resolve=resolve)


def _serve_https(site: Site, folder: Path, *, host: str) -> Path:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", str(key),
         "-out", str(certificate)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    return certificate
