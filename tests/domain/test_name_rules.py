"""What files and outputs may be called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotejob import InvalidName
from remotejob.domain.name_rules import (
    check_file_name,
    check_output_name,
    check_tenant,
    nearest_file_name,
)

PLAIN = ["photo.jpg", "写真 ü.jpg", ".hidden", "...a", "a b", "-", "x" * 255, "a\u200db"]
NEVER = {
    "empty": ("", "empty"),
    "dot": (".", "'.'"),
    "dots": ("..", "'..'"),
    "line end": ("a\nb", "control"),
    "null": ("a\0b", "control"),
    "escape": ("a\x1b[31m", "control"),
    "C1 control": ("a\x85b", "control"),
    "half a surrogate pair": ("a\ud800", "control"),
    "256 bytes": ("x" * 256, "255 bytes"),
    "256 bytes in 86 letters": ("写" * 86, "255 bytes"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_names_are_taken_as_they_are(name: str) -> None:
    assert check_file_name(name) == name
    assert check_output_name(name) == name


@pytest.mark.parametrize(("name", "problem"), NEVER.values(), ids=NEVER)
def test_no_file_and_no_output_is_called(name: str, problem: str) -> None:
    for check in (check_file_name, check_output_name):
        with pytest.raises(InvalidName, match=problem) as refusal:
            check(name)
        assert "\n" not in str(refusal.value)


@given(st.text() | st.text("ab.\\/\t\nü写😀\ud800", max_size=400))
def test_nearest_name_is_a_name(name: str) -> None:
    nearest = nearest_file_name(name)

    assert nearest == "" or check_file_name(nearest) == nearest
    assert nearest != "" or not name.strip(". ")


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\:."), min_size=1)
)
def test_valid_name_is_its_own_nearest(name: str) -> None:
    name = name[:50] + "_.pdf"

    assert nearest_file_name(name) == name


@pytest.mark.parametrize("suffix", [".pdf", ".tar.gz", ".JPEG", ".7z", ".x-unknown"])
@given(stem=st.text("aü写😀 \t\\", min_size=300, max_size=400))
def test_nearest_name_of_a_long_one_keeps_its_suffix(stem: str, suffix: str) -> None:
    nearest = nearest_file_name(stem + suffix)

    assert nearest.endswith(suffix)
    assert 251 < len(nearest.encode()) <= 255
    assert "\N{REPLACEMENT CHARACTER}" not in nearest


@pytest.mark.parametrize("name", ["a/b", "/a", "a/", "a\\b", "../a"])
def test_a_file_name_has_no_slashes(name: str) -> None:
    with pytest.raises(InvalidName, match="slashes"):
        check_file_name(name)


def test_slashes_make_folders_of_outputs() -> None:
    assert check_output_name("pages/1.png") == "pages/1.png"


@pytest.mark.parametrize("name", ["/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a/.."])
def test_an_output_never_leaves_its_folder(name: str) -> None:
    with pytest.raises(InvalidName, match="parts"):
        check_output_name(name)


@pytest.mark.parametrize("name", ["-/result.json", "-/x"])
def test_the_folder_of_the_library_itself_is_reserved(name: str) -> None:
    with pytest.raises(InvalidName, match="reserved"):
        check_output_name(name)


@given(st.text(max_size=300))
def test_a_name_that_is_taken_stays_in_the_folder_it_is_put_in(name: str) -> None:
    for check in (check_file_name, check_output_name):
        try:
            check(name)
        except InvalidName:
            continue
        folder = Path("/some/folder")
        assert ".." not in (folder / name).parts
        assert (folder / name).is_relative_to(folder)
        assert (folder / name) != folder


@pytest.mark.parametrize(
    "name", ["7", "customer-17", "a@b.example", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"]
)
def test_a_tenant_is_named_in_letters_digits_and_punctuation(name: str) -> None:
    assert check_tenant(name) == name
    assert check_tenant("x" * 128) == "x" * 128


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "empty"),
        ("x" * 129, "129 characters; shorten it to 128"),
        ("two words", "' '"),
        ("line\nend", "ASCII"),
        ("Müller", "'ü'"),
        ("del\x7f", "ASCII"),
    ],
)
def test_no_tenant_is_called(name: str, problem: str) -> None:
    with pytest.raises(InvalidName, match=problem) as refusal:
        check_tenant(name)
    assert "\n" not in str(refusal.value)
