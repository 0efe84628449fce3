"""`get_hrefs`: the links of a page, as a browser finds and resolves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from remotejob import Job, RunningJob, State, builtin
from remotejob.builtin import GetHrefs
from remotejob.builtin.html.markup import Tag, tags
from remotejob.builtin.urls import absolute
from remotejob.tasks import Registry
from remotejob.tasks.compose import compose
from tests.builtin.conftest import Run
from tests.sampling import some


def said(job: Job) -> str:
    assert job.state is State.FAILED
    return f"{job.errors[-1].kind}: {job.errors[-1].message}"


def links(run: Run, page: str | bytes, **data: Any) -> list[str]:
    body = page if isinstance(page, bytes) else page.encode()
    job = run(builtin.get_hrefs, body=body, filename="page.html", data=data)
    assert job.state is State.COMPLETED, job.errors
    found: list[str] = job.result["links"]
    return found


def test_links_are_found_once_each_and_resolved(run: Run) -> None:
    page = """<A HREF='/a?x=1&amp;y=2'>a</a> <a class=x href=b.html>b</a> <a href="//c.example/">c
    <a href="/a?x=1&amp;y=2">a</a> <area href="/no"> <a name=x> <a href="https://d.example/">"""

    assert links(run, page, url="http://s.example/dir/page") == [
        "http://s.example/a?x=1&y=2",
        "http://s.example/dir/b.html",
        "http://c.example/",
        "https://d.example/",
    ]


@pytest.mark.parametrize(
    ("base", "link"),
    [
        ("<base href='/b/'><base href='/c/'>", "http://s.example/b/a"),
        ("<base target=_top><base href=b/>", "http://s.example/d/b/a"),
        ("<base href='//t.example'>", "http://t.example/a"),
        ("<base href=' https://t.example/\nx '>", "https://t.example/a"),
        ("<base href='http://['><base href=/c/>", "http://s.example/d/a"),
        ("<base href='javascript:1'>", "http://s.example/d/a"),
        ("<base href='data:text/html,x'>", "http://s.example/d/a"),
        ("<base href='mailto:x'>", None),
        ("<!-- <base href=/b/> -->", "http://s.example/d/a"),
    ],
)
@pytest.mark.parametrize("order", ["base first", "link first"])
def test_base_of_the_page_counts_for_all_its_links(
    run: Run, base: str, link: str | None, order: str
) -> None:
    page = f"{base}<a href=a>" if order == "base first" else f"<a href=a>{base}"

    assert links(run, page, url="http://s.example/d/x") == ([link] if link else [])


def test_base_that_every_link_would_repeat_is_limited(run: Run) -> None:
    page = f"<base href='/{'b' * 5000}/'><a href=a>"
    job = run(builtin.get_hrefs, body=page.encode(), filename="x", data={"url": "http://s.example"})

    assert "<base> is too long" in said(job)


def test_relative_links_of_a_page_from_nowhere_are_left_out(run: Run) -> None:
    assert links(run, '<a href="a"><a href="http://s.example/">') == ["http://s.example/"]


@pytest.mark.parametrize(
    ("href", "link"),
    [
        ("next", "http://s.example/dir/next"),
        ("/top", "http://s.example/top"),
        ("../../up", "http://s.example/up"),
        ("./%2e%2E/up", "http://s.example/up"),
        ("//t.example/x", "http://t.example/x"),
        ("///t.example/x", "http://t.example/x"),
        ("https:t.example", "https://t.example/"),
        ("http:next", "http://s.example/dir/next"),
        ("#part", "http://s.example/dir/page?q#part"),
        ("?r", "http://s.example/dir/page?r"),
        ("?", "http://s.example/dir/page?"),
        ("", "http://s.example/dir/page?q"),
        (" \t\n next \r\f", "http://s.example/dir/next"),
        ("ne\nx\tt", "http://s.example/dir/next"),
        ("\\top\\x", "http://s.example/top/x"),
        ("\\\\t.example", "http://t.example/"),
        ("a b?c d#e f", "http://s.example/dir/a%20b?c%20d#e%20f"),
        ("a%20b%C3%BC%zz", "http://s.example/dir/a%20b%C3%BC%zz"),
        ("ü?ü#ü", "http://s.example/dir/%C3%BC?%C3%BC#%C3%BC"),
        ("日/😀", "http://s.example/dir/%E6%97%A5/%F0%9F%98%80"),
        ("HTTPS://T.Example:443/X", "https://t.example/X"),
        ("http://t.example:8080", "http://t.example:8080/"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://BU\u0308CHER.example", "http://xn--bcher-kva.example/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://[2606:4700:0::1]/", "http://[2606:4700::1]/"),
    ],
)
def test_link_is_resolved_and_encoded_once(run: Run, href: str, link: str) -> None:
    page = f'<a href="{href}">'

    assert links(run, page, url="http://s.example/dir/page?q#f") == [link]


@pytest.mark.parametrize(
    "href",
    [
        "mailto:a@x.example", "javascript:alert(1)", "JavaScript:1", "java\nscript:1", "data:,x",
        "tel:1", "ftp://x.example/", "file:///x", "blob:http://x.example/1", "ws://x.example/",
        "about:blank", "http://", "http://[x", "http://a b/", "http://x.example:99999/",
        "http://user@x.example/", "http://u:p@x.example/", "http://a..b/", "http://-/",
        "http://x_%20/", "http://a<b/", "http://1.2.3.4.5/", "http://256.1.1.1/",
        "http://" + "a" * 64 + ".example/", "http://x.example/" + "ü" * 1000, "//",
    ],
)  # fmt: skip
def test_link_that_fetch_would_not_take_is_left_out(run: Run, href: str) -> None:
    page = f'<a href="{href}"><a href="/kept">'

    assert links(run, page, url="http://s.example/") == ["http://s.example/kept"]


@pytest.mark.parametrize("href", ["next", "/top", "#part", "?q", "", "//t.example/"])
def test_relative_link_of_a_page_from_nowhere_is_left_out(run: Run, href: str) -> None:
    assert links(run, f'<a href="{href}">') == []


@pytest.mark.parametrize(
    ("page", "data"),
    [
        ("<a href=/é>".encode("latin-1"), {"encoding": "latin-1"}),
        ("<a href=/é>".encode("cp1252"), {"encoding": "iso-8859-1"}),
        ("<meta charset=koi8-r><a href=/é>".encode(), {"encoding": "utf-8"}),
        ("<meta charset=latin1><a href=/é>".encode("latin-1"), {}),
        ("<meta charset=latin-1><a href=/é>".encode("latin-1"), {}),
        ("<meta charset=utf-16><a href=/é>".encode(), {}),
        ("<meta charset=zip><a href=/é>".encode(), {}),
        ("<meta charset=zip><meta charset=cp850><meta charset=l2><a href=/é>".encode("l2"), {}),
        ("<!-- <meta charset=koi8-r> --><a href=/é>".encode(), {}),
        (
            "<META content='text/html; charset = windows-1250' http-equiv=Content-Type>"
            "<a href=/é>".encode("cp1250"),
            {},
        ),
        ("\ufeff<meta charset=koi8-r><a href=/é>".encode(), {}),
        ("\ufeff<a href=/é>".encode(), {"encoding": "koi8-r"}),
        ("<a href=/é>".encode("utf-16"), {}),
        ("\ufeff<a href=/é>".encode("utf-16-be"), {"encoding": "latin-1"}),
        ("<a href=/é>".encode(), {}),
        ("<a href=/é>".encode("latin-1"), {}),
    ],
)
def test_page_is_read_in_its_encoding(run: Run, page: bytes, data: dict[str, str]) -> None:
    assert links(run, page, url="http://s.example/", **data) == ["http://s.example/%C3%A9"]


@pytest.mark.parametrize(
    ("encoding", "query"),
    [
        ("utf-8", "%C3%A9%E2%82%AC"),
        ("utf-16", "%C3%A9%E2%82%AC"),
        ("windows-1252", "%E9%80"),
        ("iso-8859-2", "%E9%26%238364%3B"),
        ("gb18030", "%A8%A6%A2%E3"),
    ],
)
def test_query_is_sent_in_the_encoding_of_its_page(run: Run, encoding: str, query: str) -> None:
    page = "<a href='/é?é&euro;#é'>".encode(encoding)

    assert links(run, page, url="http://s.example/", encoding=encoding) == [
        f"http://s.example/%C3%A9?{query}#%C3%A9"
    ]


@pytest.mark.parametrize(
    ("content_type", "link"),
    [
        ("text/html; charset=koi8-r", "%D0%B8"),
        ('text/html; Charset="KOI8-R"', "%D0%B8"),
        ("text/html; charset=nonsense", "%C3%89"),
        ("text/html", "%C3%89"),
    ],
)
def test_content_type_of_the_input_names_its_encoding(
    run: Run, content_type: str, link: str
) -> None:
    body = b"<a href=/\xc9>"
    data = {"url": "http://s.example"}
    job = run(builtin.get_hrefs, body=body, filename="x", content_type=content_type, data=data)

    assert job.result["links"] == [f"http://s.example/{link}"]


@pytest.mark.parametrize(
    "data",
    [
        {"encoding": "zip"}, {"encoding": 7}, {"encoding": ""}, {"encoding": "\0"},
        {"url": "page.html"}, {"url": "http://["},
    ],
)  # fmt: skip
def test_encodings_and_addresses_that_do_not_exist_are_refused(
    run: Run, data: dict[str, Any]
) -> None:
    assert said(run(builtin.get_hrefs, body=b"x", filename="x", data=data)).startswith("BadData: ")


@pytest.mark.parametrize("encodings", [[], ["utf-8", "utf-8"], "utf-8", [7], {}])
def test_encodings_that_fit_no_files_are_refused(
    run: Run, tasks: Registry, encodings: object
) -> None:
    def page(job: RunningJob, data: dict[str, Any]) -> dict[str, Any]:
        (job.folder() / "page").write_text("<a href=/x>")
        return {"location": "page"}

    builtin.register(tasks)
    steps = compose([page, "get_hrefs"], registry=tasks)

    assert "encodings" in said(run(steps, data={"encodings": encodings}))


@pytest.mark.parametrize(
    "page",
    [
        "<!-- <a href=http://x.example/> -->",
        "<!-- <a href=http://x.example/>",
        "<script>'<a href=http://x.example/>'</script>",
        "<title><a href=http://x.example/>",
        "<STYLE><a href=http://x.example/></style >",
        "<a title='<a href=http://x.example/>'>",
        "<a href='http://x.example/",
        "</a href=http://x.example/>",
        "<a href=javascript:alert(1)>",
        "<a href='java\nscript:alert(1)'>",
        "<a href=mailto:a@x.example>",
        "<a href=file:///etc/passwd>",
        "<a href='http://[x'>",
        "<a href='http://'>",
        f"<a href='http://x.example/{'x' * 5000}'>",
        f"<a href='&#{'9' * 5000};'>",
        "<",
        "<a",
        "<!",
    ],
)
def test_what_is_no_link_is_not_found(run: Run, page: str) -> None:
    assert links(run, page) == []


@pytest.mark.parametrize(
    "piece",
    some(["<", "<a ", "<!--", "<a href='", '<a href="', "</a", "<script>", "<title></titl", "<a =",
     "<a\n", "&#", "<![CDATA[", "<?", "<a href=x>", "<a/", "<!-- --", "\0", "<noscript>", "<svg>",
     "<b>", "<p>", "<table>x", "<template>", "<body a=1>", "<a x", "&amp", "<script><!--<script",
     "<svg><title>",
     "<svg><title/>", "<svg><style></style>", "<svg><![CDATA[]]>", "<svg><title>&amp;</title>",
     "<noscript></noscript>", "<math><mi>", "<svg><g></x>"], every=3),
)  # fmt: skip
def test_hostile_markup_takes_time_in_proportion_to_its_length(piece: str) -> None:
    def work(length: int) -> int:
        seen = 0
        page = piece * (length // len(piece))

        def check() -> None:
            nonlocal seen
            seen += 1

        try:
            found = sum(1 for _ in tags(page, check=check))
        except builtin.BadFile:
            found = 0
        return seen + found

    # 1 MB would take hours in square time, and the suite would not end
    assert work(1 << 20) <= 1 << 20


def test_page_whose_tree_would_be_a_hundred_thousand_times_its_size_is_read(run: Run) -> None:
    # each <p> repeats all the open <b> in a browser's tree
    page = "<p>" + "".join(f"<b {n}>" for n in range(5000)) + "<p>x" * 100_000 + "<a href=/end>"

    assert links(run, page, url="http://s.example/") == ["http://s.example/end"]


@pytest.mark.parametrize("name", ["amp", "copy", "lt", "not", "para", "reg", "region", "sect"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_parameter_named_like_a_character_reference_is_kept(
    run: Run, name: str, quote: str
) -> None:
    page = f"<a href={quote}/x?a=1&{name}=2&{name}s=3&{name}4{quote}>"

    assert links(run, page, url="http://s.example/") == [
        f"http://s.example/x?a=1&{name}=2&{name}s=3&{name}4"
    ]


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("<a href='/&amp;&#38;&#x26;&amp'>", "/&&&&"),
        ("<a href='/&lang;'>", "/%E2%9F%A8"),
        ("<a href='/&lang'>", "/&lang"),
        ("<a href='/&notit;'>", "/&notit;"),
        ("<a href='/&#0;&#x110000;'>", "/%EF%BF%BD%EF%BF%BD"),
        ("<a href='/&#128;'>", "/%E2%82%AC"),
        ("<a href='/\0'>", "/%EF%BF%BD"),
        ("<a href=/1 HREF=/2>", "/1"),
        ("<a/href=/1/>", "/1/"),
        ("<a x='>' href=/1>", "/1"),
        ("<a =href=/2 href=/1>", "/1"),
        ("<a href\n=\t/1>", "/1"),
        ("<!--><a href=/1>-->", "/1"),
        ("<!---><a href=/1>-->", "/1"),
        ("<!--x--!><a href=/1>", "/1"),
        ("<!-- <!-- --><a href=/1>", "/1"),
        ("<!x><a href=/1>", "/1"),
        ("<?x ?><a href=/1>", "/1"),
        ("</ <a href=/2>><a href=/1>", "/1"),
        ("<script><!--<script></script><a href=/2>--></script><a href=/1>", "/1"),
        ("<textarea><a href=/2></TEXTAREA\n><a href=/1>", "/1"),
        ("<xmp><a href=/2></xmp><iframe><a href=/2></iframe><a href=/1>", "/1"),
        ("<noscript><p><a href=/1></noscript>", "/1"),
        ("<noscript><noscript><!-- </noscript> --><a href=/1>", "/1"),
        ("<a href=/1><plaintext><a href=/2>", "/1"),
        ("<template><a href=/1></template>", "/1"),
        ("<svg><a href=/1><title>x</title></svg>", "/1"),
        ("<svg><title/><style/><script/></svg><a href=/1>", "/1"),
        ("<svg><title></svg><a href=/1>", "/1"),
        ("<svg><title>&lt;a href=/2></title></svg><a href=/1>", "/1"),
        ("<svg><style><![CDATA[ a>b {} <a href=/2> ]]></style></svg><a href=/1>", "/1"),
        ("<svg><![CDATA[<b><a href=/2>]]></svg><![CDATA[<b><a href=/1>", "/1"),
        ("<svg><desc><title><a href=/2></title></desc></svg><a href=/1>", "/1"),
        ("<svg><foreignObject><style><a href=/2></style><a href=/1>", "/1"),
        ("<svg><p><script>'<a href=/2>'</script><a href=/1>", "/1"),
        ("<svg></p><style><a href=/2></style><a href=/1>", "/1"),
        ("<math><mi><style><a href=/2></style></mi><style><a href=/1>", "/1"),
    ],
)
def test_page_is_read_as_browsers_read_it(run: Run, page: str, link: str) -> None:
    assert links(run, page, url="http://s.example/") == [f"http://s.example{link}"]


HTML5LIB: Final = json.loads(Path(__file__).with_name("html5lib.json").read_text())


def test_tags_and_texts_are_those_of_html5libs_tokenizer_tests() -> None:
    wrong = []
    for page, expected_tags, expected_text in HTML5LIB["tokens"]:
        parts = list(tags(page, check=lambda: None))
        found = [[x.name, x.attributes] for x in parts if isinstance(x, Tag) and not x.closing]
        texts = "".join(x for x in parts if isinstance(x, str))
        if (found, texts) != (expected_tags, expected_text):
            wrong.append(page)

    assert not wrong


@pytest.mark.parametrize(("page", "hrefs"), HTML5LIB["links"])
def test_links_are_those_of_html5libs_tree_construction_tests(
    run: Run, page: str, hrefs: list[str]
) -> None:
    base = "http://s.example/"

    assert links(run, page, url=base) == [absolute(href, base=base) for href in hrefs]


@pytest.mark.parametrize(
    ("options", "page", "named"),
    [
        (GetHrefs(max_bytes=10), "<a href=x></a>", "max_bytes"),
        (GetHrefs(max_links=1), "<a href=x><a href=y>", "max_links"),
        (GetHrefs(), f"<a {' '.join(f'x{n}' for n in range(600))}>", "attributes"),
    ],
)
def test_pages_beyond_the_limits_are_refused(
    run: Run, options: GetHrefs, page: str, named: str
) -> None:
    job = run(options.run, body=page.encode(), filename="x", data={"url": "http://s.example/"})

    assert named in said(job)


@pytest.mark.parametrize(
    "data", [{"url": 7}, {"url": "x" * 5000}, {"urls": []}, {"urls": ["a", "b"]}, {"urls": 7}]
)
def test_addresses_that_fit_no_page_are_refused(run: Run, data: dict[str, Any]) -> None:
    assert said(run(builtin.get_hrefs, body=b"x", filename="x", data=data)).startswith("BadData")
