"""The functions' code: whole, Python only, the same for the same input."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from remotejob.cdk import bundle as bundling
from remotejob.cdk.bundle import BundleError, bundle, needed
from remotejob.cdk.functions import RUNTIME
from stacks.system import ROOT
from tests.stacks.templates import System

LOCK = ROOT / "requirements" / "functions.txt"
HANDLERS = ROOT / "lambdas"

Install = Callable[..., None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with settings and handlers of its own."""
    root = tmp_path / "project"
    (root / "handlers").mkdir(parents=True)
    (root / "handlers" / "on_upload.py").write_text("ANSWER = 42\n")
    (root / "settings.toml").write_text("[system]\n")
    return root


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lets the functions need one distribution of these files, and no other."""

    def install(files: dict[str, str], wheel: str = "Tag: py3-none-any\n") -> None:
        site = tmp_path / "site"
        info = site / "needed-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Name: needed\nVersion: 1.0\n")
        (info / "WHEEL").write_text(wheel)
        for name, text in files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(text)
        listed = [*files, "needed-1.0.dist-info/METADATA", "needed-1.0.dist-info/WHEEL"]
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in listed))
        monkeypatch.setattr(bundling, "needed", lambda: [Distribution.at(info)])

    return install


def content(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def test_it_holds_the_library_the_settings_and_what_the_lock_names(settings_file: Path) -> None:
    code = bundle(settings_file.read_bytes())
    assert (code / "remotejob.toml").read_bytes() == settings_file.read_bytes()
    assert (code / "remotejob" / "names.py").is_file()
    locked = {line.split()[0] for line in LOCK.read_text().splitlines() if "==" in line}
    found = {f"{canonicalize_name(dist.metadata['Name'])}=={dist.version}" for dist in needed()}
    assert found == locked
    for name, version in (line.split("==") for line in locked):
        assert (code / f"{name.replace('-', '_')}-{version}.dist-info").is_dir()


def test_it_leaves_out_what_no_function_runs(settings_file: Path) -> None:
    code = bundle(settings_file.read_bytes())
    for left_out in ("cdk", "cli", "container", "local", "testing", "__main__.py"):
        assert not (code / "remotejob" / left_out).exists()
    assert {p.name for p in (code / "botocore" / "data").iterdir() if p.is_dir()} == {
        *("dynamodb", "ecs", "lambda", "s3", "sqs", "ssm", "sts")
    }
    assert (code / "botocore" / "data" / "endpoints.json").is_file()
    assert not [f for f in code.rglob("*") if f.name == "__pycache__" or f.suffix == ".pyc"]


def test_it_needs_no_network_and_no_installer(
    settings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert bundle(settings_file.read_bytes(), cache=tmp_path / "build").is_dir()


@pytest.mark.parametrize(
    ("file", "wheel"),
    [
        ("needed/__init__.py", "Tag: cp314-cp314-manylinux2014_aarch64\n"),
        ("needed/__init__.py", ""),
        ("needed/engine.cpython-314-aarch64-linux-gnu.so", "Tag: py3-none-any\n"),
    ],
)
def test_compiled_code_is_refused_by_name_and_leaves_nothing_behind(
    project: Path, install: Install, file: str, wheel: str
) -> None:
    install({file: ""}, wheel)
    with pytest.raises(BundleError, match=r"needed has compiled code .*Python only"):
        bundle((project / "settings.toml").read_bytes(), cache=project / "build")
    assert not (project / "build").exists()


def test_what_is_not_installed_is_named(
    settings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Distribution:
        if name == "cronsim":
            raise PackageNotFoundError(name)
        return Distribution.from_name(name)

    monkeypatch.setattr(bundling, "distribution", missing)
    with pytest.raises(BundleError, match=r'cronsim is not installed.*"remotejob-aws\[cdk\]"'):
        bundle(settings_file.read_bytes(), cache=tmp_path / "build")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("RECORD", None, r"needed is installed without RECORD"),
        ("direct_url.json", '{"dir_info": {"editable": true}}', r"needed is installed as editable"),
        ("../needed/engine.py", None, r"needed/engine\.py is missing"),
    ],
)
def test_an_installation_that_lacks_code_is_refused_and_leaves_nothing_behind(
    project: Path, install: Install, tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    install({"needed/__init__.py": "", "needed/engine.py": ""})
    file = tmp_path / "site" / "needed-1.0.dist-info" / name
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(BundleError, match=f'{said}.*--force-reinstall "needed==1.0"'):
        bundle((project / "settings.toml").read_bytes(), cache=project / "build")
    assert not (project / "build").exists()


def test_the_same_input_makes_the_same_code(project: Path, install: Install) -> None:
    install({"needed/__init__.py": "", "needed/data.json": "{}"})
    first, second = (
        bundle(
            (project / "settings.toml").read_bytes(),
            packages=[project / "handlers"],
            cache=project / cache,
        )
        for cache in ("build-1", "build-2")
    )
    assert first.name == second.name
    assert content(first) == content(second)
    assert (first / "needed" / "data.json").is_file()
    assert (first / "handlers" / "on_upload.py").is_file()


def test_where_a_name_ends_and_a_content_begins_counts() -> None:
    assert bundling._digest(b"ab", b"c") != bundling._digest(b"a", b"bc")


@pytest.mark.parametrize(
    "changed", ["project/settings.toml", "project/handlers/on_upload.py", "site/needed/__init__.py"]
)
def test_a_change_makes_other_code(
    project: Path, install: Install, tmp_path: Path, changed: str
) -> None:
    def made() -> Path:
        return bundle(
            (project / "settings.toml").read_bytes(),
            packages=[project / "handlers"],
            cache=project / "build",
        )

    install({"needed/__init__.py": ""})
    before = made()
    (tmp_path / changed).write_text("OTHER = 1\n")
    assert made() != before
    assert content(made()) != content(before)


def test_what_is_not_run_does_not_change_the_code(project: Path, install: Install) -> None:
    def made() -> Path:
        return bundle(
            (project / "settings.toml").read_bytes(),
            packages=[project / "handlers"],
            cache=project / "build",
        )

    install({"needed/__init__.py": ""})
    before = made()
    for file in ("handlers/__pycache__/x.pyc", "handlers/old.pyc", "stacks/new.py"):
        (project / file).parent.mkdir(exist_ok=True)
        (project / file).write_text("")
    assert made() == before


def test_the_wheels_are_for_the_python_that_runs_them() -> None:
    assert f"python{bundling.PYTHON}" == RUNTIME.name


def test_every_handler_of_the_template_is_in_the_code(system: System, settings_file: Path) -> None:
    code = bundle(settings_file.read_bytes(), packages=[HANDLERS])
    for function in system.resources("AWS::Lambda::Function"):
        module, name = function.properties["Handler"].rsplit(".", 1)
        tree = ast.parse((code / f"{module.replace('.', '/')}.py").read_text())
        defined = {
            alias.name for n in tree.body if isinstance(n, ast.ImportFrom) for alias in n.names
        }
        assert name in defined


def test_the_code_needs_nothing_that_is_not_in_it(settings_file: Path) -> None:
    """Every module of ours is imported with the standard library and the bundle alone."""
    code = bundle(settings_file.read_bytes(), packages=[HANDLERS])
    files = [
        f.relative_to(code) for p in ("remotejob", "lambdas") for f in (code / p).rglob("*.py")
    ]
    modules = sorted(".".join(f.with_suffix("").parts).removesuffix(".__init__") for f in files)
    program = "import importlib, sys; [importlib.import_module(m) for m in sys.argv[1:]]"
    done = subprocess.run(
        [sys.executable, "-S", "-s", "-B", "-c", program, *modules],
        cwd=code,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(code),
            "AWS_DEFAULT_REGION": "eu-west-1",
            "REMOTEJOB_SYSTEM": "{}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
