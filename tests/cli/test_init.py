"""`remotejob init` makes a whole project, and changes nothing of anybody's."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from remotejob import settings
from remotejob.cli import app as program
from remotejob.cli.exit_codes import Exit
from remotejob.cli.init import template
from tests.cli.conftest import Run
from tests.projects import complaints, pytest_in

ROOT = Path(__file__).parents[2]
Refused = Callable[..., str]
ALL = sorted((*template.FILES, *template.EXAMPLE))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs."""
    place = tmp_path / "a place"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def project(run: Run, place: Path) -> Path:
    run("init", "My Scans")
    return place / "My Scans"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def images_of(dockerfile: Path) -> list[str]:
    return re.findall(r"^FROM (\S+)", dockerfile.read_text(), re.MULTILINE)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """The one line of a refusal."""

    def refused(*arguments: str, code: Exit = Exit.INVALID) -> str:
        monkeypatch.setattr(sys, "argv", ["remotejob", "init", *arguments])
        assert program.run() == code
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
        return printed.err

    return refused


def test_the_template_is_all_that_its_folder_has() -> None:
    folder = Path(template.__file__).parent / "project"
    assert sorted(name for name in contents(folder) if not name.endswith(".pyc")) == ALL


def test_a_new_project_has_every_file_under_its_own_name(project: Path) -> None:
    made = contents(project)
    assert sorted(made) == ALL
    assert [name for name, data in made.items() if b"my-project" in data] == []
    assert tomllib.loads(made["pyproject.toml"].decode())["project"]["name"] == "my-scans"
    assert settings.load(project / "remotejob.toml").system.name == "my-scans"


def test_its_files_parse(project: Path) -> None:
    json.loads((project / "cdk.json").read_text())
    for path in project.rglob("*.py"):
        ast.parse(path.read_text())
    workflow = yaml.safe_load((project / ".github/workflows/deploy.yml").read_text())
    assert workflow["jobs"]["deploy"]["needs"] == "test"


def test_its_code_passes_our_own_lint(project: Path) -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["select"]
    found = complaints(project, ["."], rules=",".join(rules), ignored="S101,TRY003")
    assert found == ""


def test_a_second_run_adds_nothing(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(project)
    monkeypatch.chdir(project)
    lines = run("init", ".").output.splitlines()
    assert contents(project) == before
    assert [line for line in lines if line.startswith("added")] == []
    assert [line.split()[-1] for line in lines if line.startswith("kept")] == sorted(template.FILES)
    assert lines[-1] == "nothing is missing"


def test_what_is_there_is_kept_byte_for_byte_and_what_it_lacks_is_said(
    run: Run, place: Path
) -> None:
    yours = {
        ".gitignore": b"/build/\n",
        ".dockerignore": b".git\r\n.venv/\n",
        "app.py": b"print('mine')\n",
        "cdk.json": b'{"app": "node app.js"}',
        "pyproject.toml": b'[project]\nname = "x"\ndependencies = ["pypdf"]\n',
        "README.md": b"\xff\xfe not text",
    }
    for name, data in yours.items():
        (place / name).write_bytes(data)
    lines = run("init", ".").output.splitlines()

    made = contents(place)
    assert {name: made[name] for name in yours} == yours
    assert sorted(made) == ALL
    assert sorted(line.split()[-1] for line in lines if line.startswith("kept")) == sorted(yours)
    to_do = [line.removeprefix("to do").strip() for line in lines if line.startswith("to do")]
    assert to_do == [
        ".dockerignore: add build, which no image needs",
        ".dockerignore: add cdk.out, which no image needs",
        ".dockerignore: add secrets.local.toml, which no image needs",
        ".gitignore: add /cdk.out, which is generated",
        ".gitignore: add /secrets.local.toml, where `remotejob local` finds secrets",
        "app.py: make a RemoteJobSystem from remotejob.cdk in your app, with"
        " worker=WorkerImage(folder=...)",
        'cdk.json: let "app" run app.py, such as "app": "python app.py"',
        'pyproject.toml: add "remotejob-aws[worker]" to the dependencies',
        'pyproject.toml: add "remotejob-aws[local]" and "pytest>=9" to what you develop with',
    ]


def test_a_pyproject_that_is_no_toml_is_said(run: Run, place: Path) -> None:
    (place / "pyproject.toml").write_text("[project\n")
    assert "to do         pyproject.toml: not TOML (" in run("init", ".").output


@pytest.mark.parametrize("tasks", ["tasks.py", "tasks/__init__.py"])
def test_tasks_of_yours_get_no_example(run: Run, place: Path, tasks: str) -> None:
    (place / tasks).parent.mkdir(exist_ok=True)
    (place / tasks).write_text("")
    shown = run("init", ".").output
    assert sorted(contents(place)) == sorted((*template.FILES, tasks))
    assert "remotejob.toml: name your tasks" in shown


def test_an_empty_folder_is_as_good_as_a_new_one(run: Run, place: Path) -> None:
    (place / "scans").mkdir()
    run("init", "scans")
    assert sorted(contents(place / "scans")) == ALL


def test_json_says_the_same(run: Run, place: Path) -> None:
    said = json.loads(run("init", "scans", "--json").stdout)
    assert said == {
        "folder": str(place / "scans"),
        "name": "scans",
        "added": ALL,
        "kept": [],
        "to_do": [],
    }


def test_a_new_folder_has_the_mode_of_any_other(project: Path, place: Path) -> None:
    (place / "plain").mkdir()
    assert project.stat().st_mode == (place / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["full"], r"'full': the folder is not empty; name a new one, or go there and run"),
        (["file"], r"'file': that is no folder; name another one"),
        (["nowhere/scans"], r"there is no folder 'nowhere'; make it first"),
        (["数据"], r"folder '数据': .*none can be made of this one; add --name scans"),
        (["2024"], r"folder '2024': .*begins with a letter"),
        (["remotejob-aws"], r"'remotejob-aws': a package .* such as --name my-remotejob-aws"),
        (["Pytest"], r"'pytest': a package that the project needs"),
        (["new", "--name", "My Scans"], r"--name 'My Scans': use up to 31 of a-z, 0-9 and -"),
        (["new", "--name", "x" * 1000], r"--name 'x+…?'?.*: use up to 31"),
        (["x" * 300], r"File name too long"),
        ([], r"Missing argument 'FOLDER'"),
    ],
)
def test_bad_input_is_one_line_and_makes_nothing(
    refused: Refused, place: Path, arguments: list[str], said: str
) -> None:
    (place / "full").mkdir()
    (place / "full" / "mine").write_text("")
    (place / "file").write_text("")
    before = sorted(place.rglob("*"))
    line = refused(*arguments, code=Exit.TROUBLE if "too long" in said else Exit.INVALID)
    assert re.search(said, line, re.IGNORECASE)
    assert len(line) < 500
    assert sorted(place.rglob("*")) == before


def test_a_file_in_the_place_of_a_folder_is_said_before_anything_is_written(
    refused: Refused, place: Path
) -> None:
    (place / "worker_container").write_text("mine")
    assert "worker_container: that is no folder" in refused(".")
    assert contents(place) == {"worker_container": b"mine"}


@pytest.mark.parametrize("folder", ["new", pytest.param(".", marks=pytest.mark.exhaustive)])
def test_a_full_disk_leaves_nothing_half_made(place: Path, folder: str) -> None:
    """A file may have no more than 4 KiB here, and cdk.json has more."""
    (place / "README.md").write_text("mine")
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 4; exec "$0" -m remotejob init "$1"', sys.executable, folder],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.TROUBLE, done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in place.iterdir()] == ["README.md"]


def test_it_has_one_source_with_our_own_checkout(project: Path) -> None:
    theirs, ours = (json.loads((each / "cdk.json").read_text()) for each in (project, ROOT))
    assert theirs["context"] == ours["context"]
    assert theirs["app"] == ours["app"]

    uv = "worker_container/uv.txt"
    assert (project / uv).read_text() == (ROOT / "requirements" / "uv.txt").read_text()

    images = [
        re.findall(
            r"^FROM (\S+)", (each / "worker_container" / "Dockerfile").read_text(), re.MULTILINE
        )
        for each in (project, ROOT)
    ]
    assert images[0] == images[1]

    for name in ("README.md", ".github/workflows/deploy.yml"):
        text = (project / name).read_text()
        assert "remotejob deploy " in text
        assert "aws-cdk@" not in text, "the library has the version of the CDK's command line"


def test_its_image_installs_what_is_locked_and_runs_as_nobody_special(project: Path) -> None:
    lines = (project / "worker_container" / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    images = images_of(project / "worker_container" / "Dockerfile")
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in images)
    assert re.search(r"pip install .*--require-hashes --only-binary :all:", text)
    assert re.search(r"uv sync --locked .*--no-build ", text)
    assert re.search(r"uv pip sync .*--verify-hashes --only-binary :all:", text)
    assert "USER 10001:10001" in text
    assert 'ENTRYPOINT ["python", "-m", "remotejob.container"]' in text
    sent = (project / ".dockerignore").read_text().splitlines()
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for name in copied.replace("[t]", "t").replace("*", "").split():
            assert f"!{name.split('/')[0]}" in sent


def test_its_workflow_holds_no_keys_and_names_actions_by_commit(project: Path) -> None:
    text = (project / ".github/workflows/deploy.yml").read_text()
    assert "secrets." not in text
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert [each for each in used if not re.search(r"@[0-9a-f]{40}$", each)] == []
    jobs = yaml.safe_load(text)["jobs"]
    assert [name for name in jobs if "id-token" in jobs[name]["permissions"]] == ["deploy"]
    assert jobs["deploy"]["if"] == "github.ref == 'refs/heads/main'"


def test_its_tests_pass_from_its_folder(project: Path, tmp_path: Path) -> None:
    done = pytest_in(project, home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^6 passed", done.stdout, re.MULTILINE)


@pytest.mark.exhaustive
def test_its_tests_fail_when_its_task_is_broken(project: Path, tmp_path: Path) -> None:
    task = project / "tasks" / "report.py"
    task.write_text(task.read_text().replace("escape(title)", "title"))
    done = pytest_in(project, home=tmp_path)
    assert done.returncode == 1
    assert "test_markup_in_a_name_is_shown_and_not_obeyed" in done.stdout
