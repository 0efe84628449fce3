"""What `make dist` builds: the same bytes each time, and nothing that an index or a user minds."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import tomllib
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

from release.__main__ import main
from release.build import ROOT, Built, build, build_from, wheel_of
from release.page import index_page
from release.problem import ReleaseProblem
from release.source import copy_source
from remotejob.names import DISTRIBUTION

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION: str = PROJECT["version"]
STEM = f"remotejob_aws-{VERSION}"

# On the index, `remotejob` is another project.
STRANGERS = re.compile(
    r"\b(?:pip3?|pipx|uv|poetry|pdm)\s(?:[^\n|;&`]*\s)??(?:install|add)\s(?:[^\n|;&`]*?\s)??"
    r"[\"']?remotejob(?![\w./-])"
    r"|(?:--from|--with|--spec|\buvx|\buv tool run|\bpipx run)[ =][\"']?remotejob(?![\w./-])"
)


def tracked(*parts: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard", "--", *parts],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_source(ROOT, tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build_from(source, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def metadata(built: Built) -> Message:
    with ZipFile(built.wheel) as wheel:
        return message_from_bytes(wheel.read(f"{STEM}.dist-info/METADATA"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small one, with a file that git ignores."""
    root = tmp_path / "checkout"
    (root / "remotejob").mkdir(parents=True)
    (root / "remotejob/__init__.py").touch()
    (root / "remotejob/cached.pyc").touch()
    (root / ".gitignore").write_text("*.pyc\n")
    (root / "README.md").write_text("A [page](docs/page.md).\n")
    (root / "LICENSE").write_text("Do as you please.\n")
    (root / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def test_the_wheel_holds_the_library_and_nothing_else(built: Built) -> None:
    with ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}

    notes = {name for name in names if name.startswith(f"{STEM}.dist-info/")}
    assert {name.removeprefix(f"{STEM}.dist-info/") for name in notes} == {
        "METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE",
    }  # fmt: skip
    assert names - notes == set(tracked("remotejob"))
    assert {"remotejob/py.typed", "remotejob/jobs/queries/prices.toml"} < names


def test_the_source_distribution_holds_the_pages_and_no_tests(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {each.name.removeprefix(f"{STEM}/") for each in sdist if each.isfile()}

    made = {"PKG-INFO", "pyproject.toml.orig"}
    pages = set(tracked("docs"))
    files = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"}
    assert names - made == set(tracked("remotejob")) | pages | files


def test_the_same_files_make_the_same_bytes(checkout: Path, tmp_path: Path) -> None:
    first = build(tmp_path / "first", checkout)
    later = checkout.rename(tmp_path / "in another folder")
    for name in ("remotejob/__init__.py", "README.md"):
        os.utime(later / name, (2_000_000_000, 2_000_000_000))
        (later / name).chmod(0o700)

    second = build(tmp_path / "second", later)

    assert second.wheel.read_bytes() == first.wheel.read_bytes()
    assert second.sdist.read_bytes() == first.sdist.read_bytes()


@pytest.mark.exhaustive
def test_the_source_distribution_builds_the_same_wheel(built: Built, tmp_path: Path) -> None:
    assert wheel_of(built.sdist, tmp_path).read_bytes() == built.wheel.read_bytes()


def test_the_metadata_say_what_an_index_shows(metadata: Message) -> None:
    assert metadata["Name"] == DISTRIBUTION
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])


def test_no_link_of_the_index_page_needs_the_checkout(metadata: Message) -> None:
    page = metadata.get_payload()
    assert isinstance(page, str)
    assert page.startswith("# remotejob\n")
    assert not [target for target in re.findall(r"\]\(([^)]+)\)", page) if "://" not in target]


@pytest.mark.parametrize(
    ("link", "home", "shown"),
    [
        ("[why](docs/why.md)", "https://x.org/v1/", "[why](https://x.org/v1/docs/why.md)"),
        ("[why](docs/why.md)", None, "why (`docs/why.md`)"),
        ("[docs/why.md](docs/why.md)", None, "docs/why.md"),
        ("[below](#use-it)", "https://x.org", "below"),
        ("[there](https://y.org)", None, "[there](https://y.org)"),
        ("```py\nwork[a](b)\n```\n[c](d/e)", "https://x", "```py\nwork[a](b)\n```\n[c](https://x/d/e)"),
    ],
)  # fmt: skip
def test_links_are_made_absolute(link: str, home: str | None, shown: str) -> None:
    assert index_page(f"{link}\n", home=home) == f"{shown}\n"


def test_the_links_lead_to_the_version_in_the_repository(checkout: Path, tmp_path: Path) -> None:
    pyproject = checkout / "pyproject.toml"
    text = pyproject.read_text()
    pyproject.write_text(f'{text}\n[project.urls]\nSource = "https://x.org/team/remotejob/"\n')

    copy = copy_source(checkout, tmp_path / "copy")

    page = f"https://x.org/team/remotejob/blob/v{VERSION}/docs/page.md"
    assert (copy / "README.md").read_text() == f"A [page]({page}).\n"
    assert not (copy / "remotejob/cached.pyc").exists()


def test_a_file_that_git_does_not_know_is_not_released(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "remotejob/notes.py").touch()
    dist = tmp_path / "dist"

    assert main([str(dist)], checkout) == 1
    said = capsys.readouterr().err
    assert said == (
        "nothing was built: git does not know remotejob/notes.py: add it, or remove it\n"
    )
    assert not dist.exists()


def test_the_command_prints_the_digest_of_both(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "dist")], checkout) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [Path(line.split()[1]).name for line in lines] == [
        f"{STEM}-py3-none-any.whl",
        f"{STEM}.tar.gz",
    ]


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReleaseProblem, match="build in a clone"):
        build(tmp_path / "dist", tmp_path / "folder")


def test_the_version_is_said_in_one_place() -> None:
    code = [name for name in tracked("*.py", "pyproject.toml") if not name.startswith("tests/")]
    said = re.compile(
        rf"(?<![\d.]){re.escape(VERSION)}(?![\d.])|(?:^|remotejob\.)__version__", re.MULTILINE
    )
    saying = [name for name in code if said.search((ROOT / name).read_text())]

    assert saying == ["pyproject.toml"]
    assert (ROOT / "pyproject.toml").read_text().count(f'"{VERSION}"') == 1


@pytest.mark.parametrize(
    ("command", "is_the_strangers"),
    [
        ("pip install remotejob", True),
        ("python -m pip install -U boto3 'remotejob[local]'", True),
        ("uv add remotejob==0.2", True),
        ("uv pip install --quiet remotejob boto3", True),
        ("uvx remotejob init scans", True),
        ("uvx --from remotejob remotejob init scans", True),
        ("pip install remotejob-aws", False),
        ('uvx --from "remotejob-aws[local]" remotejob init scans', False),
        ('pip install "remotejob-aws[local]" && remotejob init scans', False),
        ("pip uninstall --yes remotejob remotejob-aws && pip install remotejob-aws", False),
    ],
)
def test_commands_that_install_the_strangers_package_are_known(
    command: str, *, is_the_strangers: bool
) -> None:
    assert bool(STRANGERS.search(command)) is is_the_strangers


def test_nothing_installs_the_strangers_package() -> None:
    telling = [
        f"{name}: {found[0]}"
        for name in tracked()
        for found in STRANGERS.finditer((ROOT / name).read_text(encoding="utf-8", errors="ignore"))
        if ROOT / name != Path(__file__)
    ]

    assert telling == []
