"""`pluck_data` on pages: the texts that CSS selectors find."""

from __future__ import annotations

from typing import Any

import pytest

from remotejob import InvalidData, Job, State, builtin
from remotejob.builtin import PluckData
from tests.builtin.conftest import Run

PAGE = """<!DOCTYPE html><html><head><title>The  shop &amp; more</title></head><body>
<h1 id=top>Hello <b>big</b>
  world</h1>
<ul class="list plain"><li class="item new">one<li class=item>two <em>2</em><li>three</ul>
<div><p>first<p data-x="1">second <img alt=x></div>
<div class=item><span><em>deep</em></span></div></body></html>"""


def said(job: Job) -> str:
    assert job.state is State.FAILED
    return f"{job.errors[-1].kind}: {job.errors[-1].message}"


@pytest.mark.parametrize(
    ("selector", "texts"),
    [
        ("title", ["The shop & more"]),
        ("h1", ["Hello big world"]),
        ("#top", ["Hello big world"]),
        ("H1 b", ["big"]),
        ("li", ["one", "two 2", "three"]),
        (".item", ["one", "two 2", "deep"]),
        ("li.item.new", ["one"]),
        ("ul > li > em", ["2"]),
        ("ul>em", []),
        ("div > em", []),
        ("div em", ["deep"]),
        ("body .item em", ["2", "deep"]),
        ("div p", ["first", "second"]),
        ("[data-x]", ["second"]),
        ("p[data-x='1']", ["second"]),
        ('p[data-x="2"]', []),
        ("img[alt=x]", [""]),
        ("h1, em", ["Hello big world", "2", "deep"]),
        ("h1, #top", ["Hello big world"]),
        ("ul *", ["one", "two 2", "2", "three"]),
        ("li li", []),
        ("p p", []),
    ],
)
def test_texts_of_the_elements_are_found(run: Run, selector: str, texts: list[str]) -> None:
    data = {"selectors": {"found": selector}, "other": 1}

    job = run(builtin.pluck_data, body=PAGE.encode(), filename="page.html", data=data)

    assert job.result == {"found": texts}


def test_each_key_gets_what_its_selector_finds(run: Run) -> None:
    data = {"selectors": {"title": "title", "items": "li", "none": "video"}}

    job = run(builtin.pluck_data, body=PAGE.encode(), filename="page.html", data=data)

    assert job.result == {
        "title": ["The shop & more"], "items": ["one", "two 2", "three"], "none": []
    }  # fmt: skip


@pytest.mark.parametrize("page", ["</li></p>x<li>a</b></li>b", "<li>a", "x<li>a</ul></div>"])
def test_stray_and_missing_end_tags_are_put_up_with(run: Run, page: str) -> None:
    job = run(builtin.pluck_data, body=page.encode(), filename="x", data={"selectors": {"t": "li"}})

    assert job.result == {"t": ["a"]}


@pytest.mark.parametrize(
    "selectors",
    [
        {}, [], "h1", {"t": 7}, {"t": ""}, {"t": ","}, {"t": "h1,"}, {"t": "> h1"}, {"t": "h1 >"},
        {"t": "h1:hover"}, {"t": "h1 + p"}, {"t": "[a~=b]"}, {"t": ".a#"}, {"t": "*h1"},
        {"t": "h1**"}, {"t": "a" * 301}, {"t": " ".join("a" * 101)},
        {f"{n}": "a" for n in range(51)}, {"t": "[a='b]"},
    ],
)  # fmt: skip
def test_selectors_that_are_not_understood_are_refused(run: Run, selectors: Any) -> None:
    data = {"selectors": selectors}

    assert said(run(builtin.pluck_data, body=b"x", filename="x", data=data)).startswith("BadData: ")


@pytest.mark.parametrize(
    ("options", "page", "named"),
    [
        (PluckData(max_bytes=3), "<li>", "max_bytes"),
        (PluckData(max_matches=2), "<li><li><li>", "max_matches"),
        (PluckData(max_text=5), "<li>abc<b>def", "max_text"),
        (PluckData(), "<div>" * 513, "512 deep"),
    ],
)
def test_pages_beyond_the_limits_are_refused(
    run: Run, options: PluckData, page: str, named: str
) -> None:
    data = {"selectors": {"t": "li, b"}}

    message = said(run(options.run, body=page.encode(), filename="x", data=data))

    assert message.startswith("BadFile: ")
    assert named in message


def test_limit_of_none_is_refused() -> None:
    with pytest.raises(InvalidData, match="max_text"):
        PluckData(max_text=0)
