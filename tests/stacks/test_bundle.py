"""The functions' code: whole, Python only, the same for the same input, and quick."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stacks import bundle as bundling
from stacks.bundle import BundleError, bundle, refuse_native
from stacks.functions import RUNTIME
from tests.stacks.templates import System


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the real lock and a little code."""
    root = tmp_path / "project"
    (root / "requirements").mkdir(parents=True)
    shutil.copy(bundling.LOCK, root / "requirements")
    for package, name in (("remotejob", "__init__"), ("lambdas", "handler")):
        (root / package).mkdir()
        (root / package / f"{name}.py").write_text("ANSWER = 42\n")
    (root / "settings.toml").write_text("[system]\n")
    return root


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Installs a package of one file instead of the locked ones; lists what was installed."""
    installed: list[Path] = []

    def install(lock: Path, folder: Path) -> None:
        (folder / "package").mkdir()
        (folder / "package" / "__init__.py").write_text("")
        installed.append(lock)

    monkeypatch.setattr(bundling, "_install", install)
    return installed


def content(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def test_it_holds_our_code_the_settings_and_the_locked_wheels(settings_file: Path) -> None:
    code = bundle(settings_file)
    assert (code / "remotejob.toml").read_bytes() == settings_file.read_bytes()
    assert (code / "remotejob" / "names.py").is_file()
    for locked in bundling.LOCK.read_text().splitlines():
        if "==" in locked:
            name, version = locked.split()[0].split("==")
            assert (code / f"{name.replace('-', '_')}-{version}.dist-info").is_dir()


def test_it_leaves_out_what_no_function_runs(settings_file: Path) -> None:
    code = bundle(settings_file)
    for left_out in ("local", "cli", "testing", "__main__.py"):
        assert not (code / "remotejob" / left_out).exists()
    assert {p.name for p in (code / "botocore" / "data").iterdir() if p.is_dir()} == {
        *("dynamodb", "s3", "sqs", "ssm", "sts")
    }
    assert (code / "botocore" / "data" / "endpoints.json").is_file()
    assert not [f for f in code.rglob("*") if f.name == "__pycache__" or f.suffix == ".pyc"]


def test_it_is_python_only(settings_file: Path) -> None:
    refuse_native(bundle(settings_file))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("fast-1.0.dist-info/WHEEL", "Tag: cp314-cp314-manylinux2014_aarch64\n"),
        ("fast/engine.cpython-314-aarch64-linux-gnu.so", ""),
    ],
)
def test_compiled_code_is_refused_by_name(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(text)
    with pytest.raises(BundleError, match=r"fast.* has compiled code .*Python only"):
        refuse_native(tmp_path)


def test_a_refused_package_leaves_nothing_behind(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        (Path(command[command.index("--target") + 1]) / "engine.so").write_text("")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("subprocess.run", install)
    with pytest.raises(BundleError):
        bundle(project / "settings.toml", root=project, cache=project / "build")
    assert list((project / "build").iterdir()) == []


@pytest.mark.usefixtures("wheels")
def test_the_same_input_makes_the_same_code(project: Path) -> None:
    first, second = (
        bundle(project / "settings.toml", root=project, cache=project / cache)
        for cache in ("build-1", "build-2")
    )
    assert first.name == second.name
    assert content(first) == content(second)


def test_a_real_installation_is_the_same_twice(settings_file: Path, tmp_path: Path) -> None:
    again = bundle(settings_file, cache=tmp_path / "build")
    first = bundle(settings_file)
    assert (first.name, content(first)) == (again.name, content(again))


def test_where_a_name_ends_and_a_content_begins_counts() -> None:
    assert bundling._digest(b"ab", b"c") != bundling._digest(b"a", b"bc")


@pytest.mark.usefixtures("wheels")
@pytest.mark.parametrize(
    "changed", ["settings.toml", "remotejob/__init__.py", "lambdas/handler.py"]
)
def test_a_change_makes_other_code(project: Path, changed: str) -> None:
    def made() -> Path:
        return bundle(project / "settings.toml", root=project, cache=project / "build")

    before = made()
    (project / changed).write_text("OTHER = 1\n")
    assert made() != before
    assert content(made()) != content(before)


def test_wheels_are_installed_once_for_a_lock(project: Path, wheels: list[Path]) -> None:
    def made() -> Path:
        return bundle(project / "settings.toml", root=project, cache=project / "build")

    made()
    (project / "settings.toml").write_text("# other\n")
    made()
    assert len(wheels) == 1
    with (project / "requirements" / "functions.txt").open("a") as lock:
        lock.write("# other\n")
    made()
    assert len(wheels) == 2


@pytest.mark.usefixtures("wheels")
def test_what_is_not_run_does_not_change_the_code(project: Path) -> None:
    def made() -> Path:
        return bundle(project / "settings.toml", root=project, cache=project / "build")

    before = made()
    for file in ("remotejob/local/server.py", "remotejob/__pycache__/x.pyc", "stacks/new.py"):
        (project / file).parent.mkdir(exist_ok=True)
        (project / file).write_text("")
    assert made() == before


def test_a_lock_that_cannot_be_installed_says_what_to_do(project: Path) -> None:
    (project / "requirements" / "functions.txt").write_text("boto3==1.44.5\n")
    with pytest.raises(BundleError, match="make lock"):
        bundle(project / "settings.toml", root=project, cache=project / "build")


def test_a_second_time_is_quick(settings_file: Path) -> None:
    bundle(settings_file)
    started = time.perf_counter()
    bundle(settings_file)
    assert time.perf_counter() - started < 0.5


def test_the_wheels_are_for_the_python_that_runs_them() -> None:
    assert f"python{bundling.PYTHON}" == RUNTIME.name


def test_every_handler_of_the_template_is_in_the_code(system: System, settings_file: Path) -> None:
    code = bundle(settings_file)
    for function in system.resources("AWS::Lambda::Function"):
        module, name = function.properties["Handler"].rsplit(".", 1)
        tree = ast.parse((code / f"{module.replace('.', '/')}.py").read_text())
        defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        assert name in defined


def test_the_code_needs_nothing_that_is_not_in_it(settings_file: Path) -> None:
    """Every module of ours is imported with the standard library and the bundle alone."""
    code = bundle(settings_file)
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
