"""A name is a file inside its folder by the rules of every platform, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotejob import InvalidName, Queue
from remotejob.domain.file_names import (
    leads_out,
    nearest_file_name,
    nearest_path,
    spelled_alike,
    unportable,
)
from remotejob.domain.name_rules import check_file_name, check_output_name
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.manual.assets import read_assets

ONLY_ON_POSIX = {
    "backslashes": ("..\\..\\evil.bat", "no backslashes"),
    "a drive": ("C:\\evil.bat", "no backslashes"),
    "the folder of a drive": ("C:evil", "no colons"),
    "a share": ("\\\\host\\share\\x", "no backslashes"),
    "a device path": ("\\\\?\\C:\\x", "no backslashes"),
    "a stream": ("a:stream", "no colons"),
    "a hidden stream": ("a.txt::$DATA", "no colons"),
    "CON": ("CON", "device"),
    "a device with a suffix": ("nul.txt", "device"),
    "a device with two": ("Aux.tar.gz", "device"),
    "a device and a space": ("con .txt", "device"),
    "a port": ("COM1", "device"),
    "a raised digit": ("COM¹.log", "device"),
    "the console": ("CONOUT$", "device"),
    "a device as a folder": ("lpt9/x", "device"),
    "a dot at the end": ("trailing.", "end with a dot or a space"),
    "a dot and a space": ("trailing. ", "end with a dot or a space"),
    "a folder's space": ("a /b", "end with a dot or a space"),
    "dots": ("...", "end with a dot or a space"),
}
NEARLY = ["console.log", "com10", "nul_", "COMMON", "lpt", "a.con", ".con", "communication.txt"]
LETTERS = st.sampled_from("aA.:/\\ \0\n\u0301é￿|?*¹1$CONnul\u202e\ud800")
ANY = st.text() | st.text(LETTERS, max_size=12)
ROOT = PureWindowsPath("D:/folder")


def stays(path: str) -> bool:
    """Whether both platforms put a path inside a folder."""
    windows = ROOT / path
    posix = PurePosixPath("/folder") / path
    return (
        ROOT in windows.parents
        and PurePosixPath("/folder") in posix.parents
        and ".." not in windows.parts
        and ".." not in posix.parts
        and ":" not in path
        and "\0" not in path
        and not any(part.endswith((".", " ")) for part in windows.parts)
    )


@pytest.mark.parametrize(("name", "why"), ONLY_ON_POSIX.values(), ids=ONLY_ON_POSIX)
def test_a_name_that_windows_reads_otherwise_is_refused(name: str, why: str) -> None:
    checks: list[Callable[[Any], object]] = [
        check_output_name,
        lambda name: read_assets([{"name": name, "body": b""}]),
    ]
    if "/" not in name and "\\" not in name:
        checks.append(check_file_name)
    for check in checks:
        with pytest.raises(InvalidName, match=why) as refusal:
            check(name)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", NEARLY)
def test_a_name_that_only_resembles_a_device_is_taken(name: str) -> None:
    assert check_file_name(name) == check_output_name(name) == nearest_file_name(name) == name


@given(ANY)
def test_an_accepted_name_stays_in_its_folder_on_both_platforms(name: str) -> None:
    if leads_out(name) is None and unportable(name) is None:
        assert stays(name)


@given(ANY)
def test_the_nearest_name_is_accepted_and_stays(name: str) -> None:
    nearest = nearest_file_name(name)

    if nearest:
        assert check_file_name(nearest) == nearest
        assert stays(nearest)
    if leads_out(name) is None:
        assert unportable(nearest_path(name)) is None
        assert stays(nearest_path(name))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("../.aws/config", ".._.aws_config"),
        ("/etc/passwd", "_etc_passwd"),
        ("C:\\x\\y.bat", "C__x_y.bat"),
        ("CON", "_CON"),
        ("com¹.log", "_com¹.log"),
        ("a. ", "a._"),
        ("2026-01-01T10:00.csv", "2026-01-01T10_00.csv"),
        ("a\0b", "a_b"),
        ("..", ""),
        (". .", ""),
    ],
)
def test_the_nearest_name_keeps_what_it_can(name: str, nearest: str) -> None:
    assert nearest_file_name(name) == nearest


@pytest.mark.parametrize(
    ("one", "other"),
    [("Photo.JPG", "photo.jpg"), ("é", "e\u0301"), ("STRASSE", "straße"), ("a/É", "A/e\u0301")],
)
def test_names_that_some_disk_takes_for_one_are_spelled_alike(one: str, other: str) -> None:
    assert spelled_alike(one) == spelled_alike(other)


def test_different_names_are_not_spelled_alike() -> None:
    assert len({spelled_alike(name) for name in ("a", "b", "a.txt", "a/b", "e", "é")}) == 6


def test_the_input_of_a_record_has_a_safe_name() -> None:
    record = JobRecord(
        id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
        state=State.READY,
        task="work",
        queue="default",
        created_ms=0,
        updated_ms=0,
        input_json='{"b":"in","k":"x","s":1,"n":"../.aws/config"}',
    )

    assert record.input is not None
    assert record.input.name == ".._.aws_config"


def test_a_file_on_this_disk_is_submitted_under_the_nearest_name(
    queue: Queue, tmp_path: Any
) -> None:
    (tmp_path / "at 10:30.txt").write_bytes(b"x")

    assert queue.submit("work", body=tmp_path / "at 10:30.txt").filename == "at 10_30.txt"
