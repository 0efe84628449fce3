"""The task alone: run with a file, as a worker would."""

from pathlib import Path

import pytest
from remotejob import Fatal
from remotejob.testing import run_task

from tasks.report import report

SAMPLES = Path(__file__).parents[1] / "samples"


def test_a_text_becomes_a_page_with_its_most_frequent_words() -> None:
    run = run_task(report, SAMPLES / "harbour.txt", {"top": 3})

    assert run.result["first"] == "harbour"
    page = run.outputs["harbour.html"].read_text()
    assert page.count("<rect") == 3
    assert run.progress[-1] == (2, 2)


def test_markup_in_a_name_is_shown_and_not_obeyed() -> None:
    run = run_task(report, text="several words", filename="a&b.txt")

    assert "<title>a&amp;b.txt</title>" in run.outputs["a&b.html"].read_text()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\xfa"])
def test_a_file_without_words_fails_for_good(content: bytes) -> None:
    with pytest.raises(Fatal):
        run_task(report, content)
