"""Downloads keep the folders of a key, overwrite nothing unasked, and stay in their folder."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from remotejob import InvalidInput, InvalidName, Job, RemoteJob
from remotejob.cli.app import run as run_command_line
from remotejob.cli.exit_codes import Exit
from remotejob.cli.saving import folder_of, save_outputs
from remotejob.domain.record import OutputFile
from remotejob.jobs.content.download_path import IfExists
from remotejob.jobs.content.outputs import Output
from remotejob.ports import Area, Installation
from remotejob.testing import Simulation
from tests.cli.conftest import Run


def output(installation: Installation, name: str, content: bytes = b"made") -> Output:
    stored = installation.files.put(Area.OUTPUT, f"key/{name}", content)
    file = OutputFile(
        name=name, key=f"key/{name}", size=stored.size, etag=stored.etag, content_type=None
    )
    return Output(file, installation)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_outputs_of_two_uploads_keep_the_folders_of_their_keys(
    installation: Installation, tmp_path: Path
) -> None:
    made = output(installation, "page.png")

    for year in ("2023", "2024"):
        save_outputs([(year, made)], tmp_path, IfExists.REFUSE)

    assert set(files_in(tmp_path)) == {"2023/page.png", "2024/page.png"}


def test_existing_file_is_refused_by_name_and_nothing_is_written(
    installation: Installation, tmp_path: Path
) -> None:
    (tmp_path / "b.png").write_bytes(b"mine")
    outputs = [("", output(installation, name)) for name in ("a.png", "b.png")]

    with pytest.raises(InvalidInput, match=r"b\.png exists already.*--force"):
        save_outputs(outputs, tmp_path, IfExists.REFUSE)
    assert files_in(tmp_path) == {"b.png": b"mine"}

    save_outputs(outputs, tmp_path, IfExists.OVERWRITE)
    assert files_in(tmp_path) == {"a.png": b"made", "b.png": b"made"}


@pytest.mark.parametrize(
    ("under", "name", "where"),
    [
        ("../../up", "x", "_/_/up/x"),
        ("/etc", "x", "etc/x"),
        ("a//./b", "x", "a/b/x"),
        ("..\\..", "..\\x", ".._._/.._x"),
        ("C:\\con", "nul.txt", "C__con/_nul.txt"),
        ("a./b ", "x.", "a_/b_/x_"),
        ("a\n\x1b\u202e", "x", "a___/x"),
    ],
)
def test_no_key_leads_out_of_the_folder(
    installation: Installation, tmp_path: Path, under: str, name: str, where: str
) -> None:
    folder = tmp_path / "to"

    save_outputs([(under, output(installation, name))], folder, IfExists.REFUSE)

    assert set(files_in(tmp_path)) == {f"to/{where}"}


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//x", ".."])
def test_output_name_that_leads_out_is_refused(
    installation: Installation, tmp_path: Path, name: str
) -> None:
    with pytest.raises(InvalidName, match="leads out of its folder"):
        save_outputs([("", output(installation, name))], tmp_path / "to", IfExists.OVERWRITE)

    assert list(tmp_path.iterdir()) == []


def test_symbolic_links_in_the_folder_are_not_followed(
    installation: Installation, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    folder = tmp_path / "to"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "link").symlink_to(mine)

    with pytest.raises(InvalidInput, match="symbolic link"):
        save_outputs([("out", output(installation, "mine"))], folder, IfExists.OVERWRITE)
    with pytest.raises(InvalidInput, match="exists already"):
        save_outputs([("", output(installation, "link"))], folder, IfExists.REFUSE)
    save_outputs([("", output(installation, "link"))], folder, IfExists.OVERWRITE)

    assert mine.read_bytes() == b"mine"
    assert (folder / "link").read_bytes() == b"made"


@pytest.mark.parametrize("names", [("a\\b", "a_b"), ("a", "a/b")])
def test_outputs_that_collide_are_refused_before_anything_is_written(
    installation: Installation, tmp_path: Path, names: tuple[str, str]
) -> None:
    outputs = [("", output(installation, name)) for name in names]

    with pytest.raises(InvalidInput, match="two outputs would both be"):
        save_outputs(outputs, tmp_path / "to", IfExists.OVERWRITE)

    assert list(tmp_path.iterdir()) == []


def test_download_that_breaks_off_leaves_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    first, second = output(installation, "a.png"), output(installation, "b.png")
    installation.files.delete(Area.OUTPUT, [second.key])

    with pytest.raises(FileNotFoundError):
        save_outputs([("new/er", first), ("new", second)], tmp_path / "to", IfExists.REFUSE)

    assert list(tmp_path.iterdir()) == []


def test_download_of_the_api_refuses_an_existing_file(
    installation: Installation, tmp_path: Path
) -> None:
    made = output(installation, "a.png")
    mine = tmp_path / "a.png"
    mine.write_bytes(b"mine")

    for target in (tmp_path, mine, f"{tmp_path}/"):
        with pytest.raises(InvalidInput, match=r"a\.png exists already.*if_exists='overwrite'"):
            made.download(target)
    assert files_in(tmp_path) == {"a.png": b"mine"}
    assert made.download(tmp_path, if_exists="overwrite") == mine
    assert files_in(tmp_path) == {"a.png": b"made"}
    with pytest.raises(InvalidName, match="use one of refuse, overwrite"):
        made.download(tmp_path / "b", if_exists="yes")


def test_download_command_refuses_and_overwrites_with_force(
    installation: Installation,
    worker: Simulation,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    job = made_job(installation, worker)
    mine = tmp_path / "page.png"
    mine.write_bytes(b"mine")

    monkeypatch.setattr(sys, "argv", ["remotejob", "download", job.id, str(tmp_path)])
    assert run_command_line() == Exit.INVALID
    assert f"{mine} exists already" in capsys.readouterr().err
    assert files_in(tmp_path) == {"page.png": b"mine"}

    assert run("download", job.id, str(tmp_path), "--force").stdout == f"{mine}\n"
    assert mine.read_bytes() == b"made"
    assert folder_of(job) == ""


def made_job(installation: Installation, worker: Simulation) -> Job:
    queue = RemoteJob(installation).queue()
    job = queue.submit("work", data="output", body=b"x", filename="page.pdf")
    worker.step()
    return job.refresh()


def test_local_refuses_a_results_folder_with_files_before_it_deploys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    arguments = ["local", "--process", "examples/photos", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["remotejob", *arguments])

    assert run_command_line() == Exit.INVALID
    assert f"--results {tmp_path}: the folder is not empty" in capsys.readouterr().err
    assert files_in(tmp_path) == {"mine": b"mine"}


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("scans/2023/page.pdf", "scans/2023"),
        ("page.pdf", ""),
        ("jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV/page.pdf", ""),
        ("jobs/stored/2023/page.pdf", "2023"),
    ],
)
def test_folder_is_that_of_an_uploads_key(
    installation: Installation, worker: Simulation, key: str, folder: str
) -> None:
    record = made_job(installation, worker).record
    assert record.input is not None

    uploaded = replace(record, input_json=replace(record.input, key=key).to_json())

    assert folder_of(Job(uploaded, installation)) == folder
