"""Whatever a record, a manifest or a key calls a file: it stays in the folder it is put in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from remotejob import InvalidInput, InvalidName, Job, RemoteJob, RunningJob
from remotejob.cli.app import run as run_command_line
from remotejob.cli.exit_codes import Exit
from remotejob.cli.local.process import download_outputs
from remotejob.cli.saving import save_outputs
from remotejob.domain.states import State
from remotejob.jobs.content.download_path import IfExists, check_spelling
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import Simulation
from remotejob.worker.runs.process_folder import process_folder
from remotejob.worker.runs.workspace import Workspace
from tests.boundaries.forging import completed_with, forged, input_named

LEADING_OUT = ["../.profile", "/proc/evil", "a/../../b", "..", "a//b", "", "x\0y", "-/result.json"]
ONLY_ON_WINDOWS = ["..\\..\\evil.bat", "C:\\evil.bat", "C:evil", "CON", "a:stream", "trailing. "]


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Somebody's home, with a folder for downloads."""
    (tmp_path / "victim" / "downloads").mkdir(parents=True)
    return tmp_path / "victim"


@pytest.mark.parametrize("name", [*LEADING_OUT, *ONLY_ON_WINDOWS, "../.aws/config", "A" * 300])
def test_a_worker_downloads_an_input_into_the_runs_folder_whatever_its_name(
    installation: Installation, worker: Simulation, tasks: Registry, name: str
) -> None:
    seen: list[tuple[Path, Path]] = []

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        path = job.download()
        assert path.read_bytes() == b"owned"
        assert path.name == job.filename
        seen.append((job.folder(), path))

    record = forged(installation, send=True, input_json=input_named(name, installation))
    worker.step()

    (folder, path) = seen[0]
    assert path.parent == folder
    assert RemoteJob(installation).job(record.id).state is State.COMPLETED


def test_an_absolute_input_name_writes_nothing_there(
    installation: Installation, worker: Simulation, tasks: Registry, tmp_path: Path
) -> None:
    tasks.task("work")(lambda job: str(job.download()))
    forged(installation, send=True, input_json=input_named(str(tmp_path / "outside"), installation))

    worker.step()

    assert list(tmp_path.iterdir()) == []


def test_two_inputs_that_differ_by_case_alone_do_not_meet(
    installation: Installation, worker: Simulation, tasks: Registry
) -> None:
    folders = []

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        folders.append(job.download().parent)

    for name in ("Photo.JPG", "photo.jpg"):
        forged(installation, send=True, input_json=input_named(name, installation))
    worker.step()

    assert len(set(folders)) == 2


@pytest.mark.parametrize("manifest", ["in the record", "next to it"])
@pytest.mark.parametrize("name", LEADING_OUT)
def test_an_output_that_leads_out_is_not_written_and_the_error_names_it(
    installation: Installation, victim: Path, name: str, manifest: str
) -> None:
    job = Job(
        completed_with(installation, name, "good.txt", long=manifest == "next to it"), installation
    )
    folder = victim / "downloads"

    for target in (folder, f"{folder}/"):
        for existing in IfExists:
            with pytest.raises(InvalidName) as refusal:
                job.outputs[name].download(target, if_exists=existing)
            assert repr(name) in str(refusal.value)
            assert "\n" not in str(refusal.value)

    assert files_in(victim) == set()
    # what it holds can still be read, and be saved where the reader says
    assert job.outputs[name].open().read() == b"owned"
    assert job.outputs[name].download(folder / "chosen").read_bytes() == b"owned"
    assert job.outputs["good.txt"].download(folder) == folder / "good.txt"


@pytest.mark.parametrize("name", ONLY_ON_WINDOWS)
def test_an_output_that_leads_out_on_windows_has_the_nearest_name(
    installation: Installation, victim: Path, name: str
) -> None:
    job = Job(completed_with(installation, name), installation)

    path = job.outputs[name].download(f"{victim}/downloads/")

    assert path.parent == victim / "downloads"
    assert not set(path.name) & set(":\\")
    assert files_in(victim) == {f"downloads/{path.name}"}


def test_the_command_saves_the_other_outputs_and_names_the_one_it_does_not(
    installation: Installation,
    victim: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = completed_with(
        installation, str(victim / ".bashrc"), "good.txt", "../.profile", "a/also.txt"
    )
    monkeypatch.setattr(RemoteJob, "connect", lambda *_, **__: RemoteJob(installation))
    folder = victim / "downloads"
    monkeypatch.setattr(sys, "argv", ["remotejob", "download", record.id, str(folder)])

    assert run_command_line() == Exit.INVALID

    assert files_in(victim) == {"downloads/good.txt", "downloads/a/also.txt"}
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(folder / "good.txt"), str(folder / "a" / "also.txt")]
    assert ".bashrc" in printed.err
    assert "1 more" in printed.err


def test_the_command_refuses_the_one_output_that_was_asked_for(
    installation: Installation,
    victim: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = completed_with(installation, "../.profile", "good.txt")
    monkeypatch.setattr(RemoteJob, "connect", lambda *_, **__: RemoteJob(installation))
    folder = victim / "downloads"
    arguments = ["download", record.id, str(folder), "--name", "../.profile", "--force"]
    monkeypatch.setattr(sys, "argv", ["remotejob", *arguments])

    assert run_command_line() == Exit.INVALID

    assert files_in(victim) == set()
    assert "../.profile" in capsys.readouterr().err


def test_results_of_the_local_system_stay_in_their_folder(
    installation: Installation, victim: Path
) -> None:
    jobs = [
        Job(completed_with(installation, *names), installation)
        for names in (("../evil", "good.txt"), ("GOOD.txt", "jobs.json"))
    ]
    results = victim / "downloads"

    downloaded, refused = download_outputs(jobs, results, IfExists.REFUSE)

    # jobs.json is the command's own file
    assert downloaded == {
        jobs[0].id: [results / "good.txt"],
        jobs[1].id: [results / jobs[1].id / "GOOD.txt", results / jobs[1].id / "jobs.json"],
    }
    assert "'../evil'" in str(refused)
    assert {path.partition("/")[0] for path in files_in(victim)} == {"downloads"}


@pytest.mark.parametrize("existing", IfExists)
@pytest.mark.parametrize(
    "names", [("Photo.JPG", "photo.jpg"), ("é", "e\u0301"), ("a/B", "A/b"), ("a", "A/b")]
)
def test_outputs_that_differ_by_case_alone_never_overwrite_each_other(
    installation: Installation, victim: Path, names: tuple[str, str], existing: IfExists
) -> None:
    job = Job(completed_with(installation, *names), installation)
    outputs = [("", output) for output in job.outputs.values()]

    with pytest.raises(InvalidInput, match=r"two outputs would both be.*--name"):
        save_outputs(outputs, victim / "downloads", existing)

    assert files_in(victim) == set()
    # one by one, each can be had
    assert save_outputs(outputs[:1], victim / "downloads", existing)


def test_a_disk_that_ignores_case_overwrites_no_file_of_another_name() -> None:
    # as such a disk lists the folder in which "photo.jpg" exists
    with pytest.raises(InvalidInput, match=r"'photo\.jpg' would overwrite 'Photo\.JPG'"):
        check_spelling("photo.jpg", ["other", "Photo.JPG"])
    check_spelling("photo.jpg", ["Photo.JPG", "photo.jpg"])
    check_spelling("photo.jpg", ["other"])


@pytest.mark.parametrize("existing", IfExists)
def test_a_link_in_the_target_is_not_followed(
    installation: Installation, victim: Path, existing: IfExists
) -> None:
    folder = victim / "downloads"
    (victim / "secret").write_bytes(b"keep")
    (victim / "elsewhere").mkdir()
    (folder / "link").symlink_to(victim / "secret")
    (folder / "out").symlink_to(victim / "elsewhere")
    (folder / "dangling").symlink_to(victim / "new")
    names = ("link", "out/x", "out/deep/x", "dangling")
    job = Job(completed_with(installation, *names), installation)

    for name in names:
        if existing is IfExists.OVERWRITE and "/" not in name:
            path = job.outputs[name].download(folder, if_exists=existing)
            assert not path.is_symlink()
            assert path.read_bytes() == b"owned"
            continue
        with pytest.raises(InvalidInput):
            job.outputs[name].download(folder, if_exists=existing)

    assert (victim / "secret").read_bytes() == b"keep"
    assert not (victim / "new").exists()
    assert list((victim / "elsewhere").iterdir()) == []


def test_a_link_in_the_runs_folder_is_not_written_through(
    installation: Installation, worker: Simulation, tasks: Registry, victim: Path
) -> None:
    (victim / "secret").write_bytes(b"keep")

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        (job.folder() / "input.txt").symlink_to(victim / "secret")
        job.download()

    forged(installation, send=True, input_json=input_named("input.txt", installation))
    worker.step()

    assert (victim / "secret").read_bytes() == b"keep"


def test_a_file_where_a_folder_must_be_is_refused(installation: Installation, victim: Path) -> None:
    (victim / "downloads" / "file").write_bytes(b"mine")
    job = Job(completed_with(installation, "file/x", "y"), installation)

    with pytest.raises(InvalidInput, match="is no folder"):
        job.outputs["file/x"].download(victim / "downloads")
    with pytest.raises(InvalidInput, match="is no folder"):
        job.outputs["y"].download(f"{victim}/downloads/file/")
    assert (victim / "downloads" / "file").read_bytes() == b"mine"


def test_the_folder_itself_may_be_a_link(installation: Installation, victim: Path) -> None:
    (victim / "mine").symlink_to(victim / "downloads")
    job = Job(completed_with(installation, "a/b.txt"), installation)

    job.outputs["a/b.txt"].download(victim / "mine")

    assert files_in(victim / "downloads") == {"a/b.txt"}


@pytest.mark.parametrize("name", [*LEADING_OUT, *ONLY_ON_WINDOWS])
def test_a_replay_writes_in_its_own_folder(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    job = Job(
        forged(installation, state=State.FAILED, input_json=input_named(name, installation)),
        installation,
    )

    def work(job: RunningJob) -> bool:
        return job.download().parent == job.folder()

    assert job.replay_here(tasks=work).result is True
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_run_is_in_the_temporary_folder_whatever_its_id() -> None:
    workspace = Workspace("/../../x/../y")
    with workspace.cleaned():
        assert workspace.folder().parent == process_folder()


@pytest.mark.parametrize("name", [*LEADING_OUT, *ONLY_ON_WINDOWS, "CON.txt"])
def test_a_stored_file_is_saved_in_its_folder_whatever_its_metadata_say(
    installation: Installation, victim: Path, name: str
) -> None:
    queue = RemoteJob(installation).queue()
    metadata: dict[str, Any] = {"filename": name} if name.isprintable() else {}
    queue.store_raw("someone/../../else", metadata, b"content")

    path = queue.retrieve("input", "someone/../../else").download(f"{victim}/downloads/")

    assert path.parent == victim / "downloads"
    assert files_in(victim) == {f"downloads/{path.name}"}
