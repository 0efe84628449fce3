"""Text that people saved, on any system."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotejob.domain.text_files import LineTooLong, Unreadable, decode, lines


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["", "-le", "-be"])
def test_a_byte_order_mark_says_the_encoding_and_is_no_text(encoding: str, order: str) -> None:
    text = '{"name": "é𝄞"}\n'
    if encoding.startswith("utf-8"):
        content = text.encode(encoding)
    else:
        content = f"\ufeff{text}".encode(f"{encoding}{order or '-le'}")
    assert decode(content) == text
    assert list(lines(BytesIO(content), longest=100)) == [(1, text)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_any_system_are_read(end: str) -> None:
    content = end.join(["one", "two", "", "four"]).encode()
    assert decode(content) == "one\ntwo\n\nfour"
    assert list(lines(BytesIO(content), longest=100)) == [
        *((1, f"one{end}"), (2, f"two{end}"), (3, end), (4, "four"))
    ]


@given(st.lists(st.sampled_from(["a", "é", "\r", "\n", "\u2028", "\x0b"]), max_size=30))
def test_lines_are_the_content_whole_however_it_arrives(letters: list[str]) -> None:
    text = "".join(letters)

    class Slow(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(1)

    found = [line for _, line in lines(Slow(text.encode()), longest=100)]
    assert "".join(found) == text
    assert found == [line for _, line in lines(BytesIO(text.encode()), longest=100)]


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [(b"a\nb\xff", 2, 2), (b"\xff", 1, 1), (b"a\r\n\r\n\xe9t\xe9", 3, 1), (b"a\rbc\0", 2, 3)],
)
def test_what_is_no_text_is_refused_with_its_place(content: bytes, line: int, column: int) -> None:
    with pytest.raises(Unreadable, match=f"line {line}, column {column}.*save the file as UTF-8"):
        decode(content)


def test_utf_16_without_its_mark_is_refused_by_its_nul_bytes() -> None:
    with pytest.raises(Unreadable, match="NUL"):
        decode("text".encode("utf-16-le"))


def test_a_line_without_end_is_given_up_before_it_is_read_whole() -> None:
    with pytest.raises(LineTooLong):
        list(lines(BytesIO(b"x" * 1_000_000), longest=1000))
