"""`fetch` takes URLs, redirects and compressed bodies as browsers do, and hands on the encoding."""

from __future__ import annotations

import dataclasses
import gzip
import zlib
from typing import Any

import pytest

from remotejob import Job, RunningJob, State, builtin
from remotejob.builtin import Fetch
from remotejob.tasks import Registry
from remotejob.tasks.compose import Step, compose
from tests.builtin.conftest import Page, Run, Site

TEXT = b"<p>Hello, hello, hello</p>" * 20


@pytest.fixture
def local(site: Site) -> Fetch:
    """Options that may reach the site, under any name."""
    return Fetch(
        allow=("127.0.0.0/8",), ports=(site.port,), resolve=lambda host, port: ["127.0.0.1"]
    )


def said(job: Job) -> str:
    assert job.state is State.FAILED
    return f"{job.errors[-1].kind}: {job.errors[-1].message}"


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT)),
        ("GZip", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
        ("gzip", gzip.compress(TEXT) + b"\0" * 100),
        ("gzip", gzip.compress(TEXT) + b"\x1f"),
        ("gzip", gzip.compress(TEXT, compresslevel=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("deflate", zlib.compress(TEXT) + b"more"),
        ("identity", TEXT),
        ("", TEXT),
        ("deflate, gzip", gzip.compress(zlib.compress(TEXT))),
        ("gzip, identity, gzip", gzip.compress(gzip.compress(TEXT))),
    ],
)
def test_compressed_body_is_stored_decompressed(
    run: Run, site: Site, local: Fetch, coding: str, body: bytes
) -> None:
    site.pages["/x.html"] = Page(body=body, headers={"Content-Encoding": coding})

    job = run(local.run, data={"origin": site.url("/x.html")})

    assert job.outputs["x.html"].open().read() == TEXT


@pytest.mark.parametrize("size", [0, 1, 1 << 16, (1 << 16) + 1, 3_000_000])
@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, raw_deflate])
def test_body_of_any_size_is_decompressed_whole(
    run: Run, site: Site, local: Fetch, size: int, compress: Any
) -> None:
    content = bytes(n * n % 251 for n in range(1000)) * (size // 1000) + b"." * (size % 1000)
    coding = "gzip" if compress is gzip.compress else "deflate"
    site.pages["/x"] = Page(body=compress(content), headers={"Content-Encoding": coding})
    options = dataclasses.replace(local, max_ratio=2000)

    job = run(options.run, data={"origin": site.url("/x")})

    assert job.outputs["x"].open().read() == content


def test_empty_body_needs_no_decompression(run: Run, site: Site, local: Fetch) -> None:
    site.pages["/x"] = Page(body=b"", headers={"Content-Encoding": "gzip"})

    assert run(local.run, data={"origin": site.url("/x")}).outputs["x"].open().read() == b""


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, br", "aes\x1b[31m"])
def test_coding_that_cannot_be_undone_fails_at_once_and_is_named(
    run: Run, site: Site, local: Fetch, coding: str
) -> None:
    site.pages["/x"] = Page(body=b"x", headers={"Content-Encoding": coding})

    message = said(run(local.run, data={"origin": site.url("/x")}))

    assert message.startswith("FetchRefused: ")
    assert ascii(coding.rpartition(", ")[2]) in message
    assert "only gzip and deflate" in message


@pytest.mark.parametrize(
    ("options", "body", "named"),
    [
        ({}, gzip.compress(bytes(30 << 20)), "max_ratio"),
        ({"max_ratio": 5}, gzip.compress(bytes(2 << 20)), "max_ratio"),
        ({"max_ratio": 9000, "max_bytes": 5 << 20}, gzip.compress(bytes(6 << 20)), "max_bytes"),
        ({"max_ratio": 9000, "max_bytes": 99}, gzip.compress(b"x" * 100), "max_bytes"),
    ],
)
def test_decompression_bomb_is_refused(
    run: Run, site: Site, local: Fetch, options: dict[str, Any], body: bytes, named: str
) -> None:
    site.pages["/x"] = Page(body=body, headers={"Content-Encoding": "gzip"})

    message = said(run(dataclasses.replace(local, **options).run, data={"origin": site.url("/x")}))

    assert message.startswith("FetchRefused: ")
    assert named in message


def test_bomb_within_a_bomb_is_refused(run: Run, site: Site, local: Fetch) -> None:
    # the first stage's gigabyte holds empty members only, so that nothing comes out at the end
    body = gzip.compress(gzip.compress(b"") * 2_000_000)
    site.pages["/x"] = Page(body=body, headers={"Content-Encoding": "gzip, gzip"})

    assert "max_ratio" in said(run(local.run, data={"origin": site.url("/x")}))


def test_body_compressed_very_often_is_refused(run: Run, site: Site, local: Fetch) -> None:
    site.pages["/x"] = Page(headers={"Content-Encoding": ", ".join(["gzip"] * 1000)})

    assert "more than 5 times" in said(run(local.run, data={"origin": site.url("/x")}))


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(TEXT)[:-1]),
        ("gzip", gzip.compress(TEXT)[:1]),
        ("gzip", gzip.compress(TEXT)[:-8] + b"\0" * 8),
        ("gzip", TEXT),
        ("deflate", zlib.compress(TEXT)[:-5]),
        ("deflate", raw_deflate(TEXT)[:-5]),
        ("deflate", b"x"),
    ],
)
def test_damaged_compressed_body_fails_the_fetch(
    run: Run, site: Site, local: Fetch, coding: str, body: bytes
) -> None:
    site.pages["/x"] = Page(body=body, headers={"Content-Encoding": coding})

    job = run(local.run, data={"origin": site.url("/x")})

    assert said(job).startswith("FetchFailed: ")
    assert not job.outputs


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("/a b?c d", "/a%20b?c%20d"),
        ("/a%20b%2Fc?d%26e", "/a%20b%2Fc?d%26e"),
        ("/100%", "/100%"),
        ("/ü/日?ß=é", "/%C3%BC/%E6%97%A5?%C3%9F=%C3%A9"),
        ("/%C3%BC ü", "/%C3%BC%20%C3%BC"),
        ("/a\tb\nc\r", "/abc"),
        ("\\a\\b", "/a/b"),
        ("/a/../b/./%2e%2e/c", "/c"),
        ("/a#b?c", "/a"),
        ("?q", "/?q"),
        ("", "/"),
        ('/<">`{}', "/%3C%22%3E%60%7B%7D"),
        ("/|[]'", "/|[]'"),
        ("/a  ", "/a"),
    ],
)
def test_address_is_encoded_once(
    run: Run, site: Site, local: Fetch, written: str, asked: str
) -> None:
    site.pages[asked] = Page(body=b"found")

    job = run(local.run, data={"origin": f" \n{site.url(written)}"})

    assert job.state is State.COMPLETED, job.errors
    assert job.outputs[job.result["location"][0]].open().read() == b"found"


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/new file?a b", "/new%20file?a%20b"),
        ("/new%20file", "/new%20file"),
        ("/\xc3\xbc", "/%C3%BC"),  # UTF-8, as Python reads a header's bytes
        ("/\xfc", "/%FC"),
        ("/%C3%BC-\xc3\xbc", "/%C3%BC-%C3%BC"),
        ("new", "/dir/new"),
        ("./../new", "/new"),
        ("?page=2", "/dir/old?page=2"),
        ("//127.0.0.1:{port}/new", "/new"),
        ("\\\\127.0.0.1:{port}\\new", "/new"),
        ("HTTP://127.0.0.1:{port}/new", "/new"),
        ("  /new#part ", "/new"),
    ],
)
def test_redirect_is_resolved_and_encoded_once(
    run: Run, site: Site, local: Fetch, location: str, path: str
) -> None:
    where = location.format(port=site.port)
    site.pages["/dir/old"] = Page(status=301, headers={"Location": where})
    site.pages[path] = Page(body=b"found")

    job = run(local.run, data={"origin": site.url("/dir/old")})

    assert job.state is State.COMPLETED, job.errors
    assert job.result["urls"][0].partition("#")[0] == site.url(path)
    assert job.outputs["old"].open().read() == b"found"


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("b%C3%BCcher.example", "xn--bcher-kva.example"),
        ("日本。example", "xn--wgv71a.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_international_host_is_asked_by_its_ascii_name(
    run: Run, site: Site, local: Fetch, host: str, asked: str
) -> None:
    site.pages["/"] = Page(body=b"x")

    run(local.run, data={"origin": site.url("/", host=host)})

    assert site.hosts == [f"{asked}:{site.port}"] * 2, "robots.txt, and the page"


@pytest.mark.parametrize("origin", ["a b", "//host/x", "/x", "http://a b/", "http://[::1", "http:"])
def test_what_is_no_address_is_refused(run: Run, origin: str) -> None:
    assert said(run(builtin.fetch, data={"origin": origin})).startswith("FetchRefused: ")


@pytest.mark.parametrize(
    ("content_type", "body", "link"),
    [
        ("text/html; charset=ISO-8859-1", "<a href=/é>".encode("latin-1"), "/%C3%A9"),
        ('text/html; charset="shift_jis"', "<meta charset=utf-8><a href=/日>".encode("sjis"),
         "/%E6%97%A5"),
        ("text/html; charset=koi8-r", "\ufeff<a href=/é>".encode(), "/%C3%A9"),
        ("text/html; charset=nonsense", "<meta charset=koi8-r><a href=/и>".encode("koi8-r"),
         "/%D0%B8"),
        ("text/html", "<meta charset=koi8-r><a href=/и>".encode("koi8-r"), "/%D0%B8"),
        ("text/html", "<a href=/é>".encode(), "/%C3%A9"),
    ],
)  # fmt: skip
def test_links_of_a_fetched_page_are_read_in_the_encoding_its_server_names(
    run: Run,
    site: Site,
    local: Fetch,
    tasks: Registry,
    content_type: str,
    body: bytes,
    link: str,
) -> None:
    builtin.register(tasks, local)
    site.pages["/"] = Page(body=body, headers={"Content-Type": content_type})

    job = run(compose(["fetch", "get_hrefs"], registry=tasks), data={"origin": site.url("/")})

    assert job.result["links"] == [site.url(link)]


def test_encodings_are_returned_in_the_order_of_the_files(
    run: Run, site: Site, local: Fetch
) -> None:
    site.pages = {
        "/a": Page(body=b"a", headers={"Content-Type": "text/plain; charset=UTF-8"}),
        "/b": Page(body=b"b"),
    }

    job = run(local.run, data={"origin": [site.url("/a"), site.url("/b")]})

    assert job.result["encodings"] == ["utf-8", None]


def test_links_that_are_found_can_be_fetched_and_read(
    run: Run, site: Site, local: Fetch, tasks: Registry
) -> None:
    builtin.register(tasks, local)
    utf8 = {"Content-Type": "text/html; charset=utf-8"}
    links = "<a href='/a b?é#x'><a href='mailto:a@b.example'><a href='\\c'>"
    site.pages = {
        "/": Page(body=links.encode(), headers=utf8),
        "/a%20b?%C3%A9": Page(body=b"found"),
        "/c": Page(body=b"<a href=/d>"),
    }

    def follow(job: RunningJob, data: dict[str, Any]) -> dict[str, Any]:
        return {"origin": data["links"]}

    steps: list[Step] = ["fetch", "get_hrefs", follow, "fetch", "get_hrefs"]
    job = run(compose(steps, registry=tasks), data={"origin": site.url("/")})

    assert job.outputs["a b"].open().read() == b"found"
    assert job.result["links"] == [site.url("/d")]
    assert job.result["encodings"] == [None, None]
