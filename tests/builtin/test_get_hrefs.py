"""`get_hrefs`: the links of a page, as a browser finds and resolves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from remotejob import Job, State, builtin
from remotejob.builtin import GetHrefs
from remotejob.builtin.html.markup import Tag, tags
from remotejob.builtin.urls import absolute
from tests.builtin.conftest import Run


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
    ["<", "<a ", "<!--", "<a href='", '<a href="', "</a", "<script>", "<title></titl", "<a =",
     "<a\n", "&#", "<![CDATA[", "<?", "<a href=x>", "<a/", "<!-- --", "\0", "<noscript>", "<svg>",
     "<b>", "<p>", "<table>x", "<template>", "<body a=1>", "<a x", "&amp", "<script><!--<script"],
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
