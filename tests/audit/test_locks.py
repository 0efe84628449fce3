"""A lock installs what it names, or nothing: by hashes, and from git by the commit."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit.locks import main, options, read_lock
from audit.problem import AuditProblem
from release.build import ROOT

COMMIT = 40 * "a"
HASH = f"--hash=sha256:{64 * '0'}"
GIT = f"mine @ git+https://example.org/team/mine@{COMMIT}"


def lock_of(folder: Path, *lines: str) -> Path:
    lock = folder / "lock.txt"
    lock.write_text("".join(f"{line}\n" for line in lines))
    return lock


def test_packages_with_hashes_and_commits_are_read(tmp_path: Path) -> None:
    lock = lock_of(
        tmp_path,
        "# written by a tool",
        "six==1.17.0 ; python_version < '3.14' \\",
        f"    {HASH} \\",
        f"    {HASH}  # on two lines",
        f"mine @ git+ssh://git@example.org/mine@{COMMIT}#subdirectory=py ; os_name == 'posix'",
        f"other[fast] @ https://example.org/other-1-py3-none-any.whl {HASH}",
    )

    assert [(each.name, each.commit) for each in read_lock(lock)] == [
        ("six", None),
        ("mine", COMMIT),
        ("other", None),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mine @ git+https://example.org/mine@main", "not at a commit"),
        ("mine @ git+https://example.org/mine@v1.0", "not at a commit"),
        ("mine @ git+https://example.org/mine", "not at a commit"),
        (f"mine @ git+https://example.org/mine@{COMMIT[:12]}", "not at a commit"),
        (f"mine @ git+https://{COMMIT}@example.org/mine", "not at a commit"),
        ("six==1.17.0", "has no hash"),
        ("six==1.17.0 --hash=sha256:1234", "has no hash"),
        (f"six==1.17.0  # {HASH}", "has no hash"),
        ("mine @ file:///home/me/mine", "has no hash"),
        (f"six>=1 {HASH}", "no package with its version"),
        ("--index-url https://example.org/simple", "no package with its version"),
        ("-e .", "no package with its version"),
        ("-r more.txt", "no package with its version"),
    ],
)
def test_a_line_that_may_change_is_refused_by_its_number(
    line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = lock_of(tmp_path, f"six==1 {HASH}", line)

    assert main([str(lock)]) == 1

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"the lock is refused: {lock}, line 2: ")
    assert said in told.err
    assert "`make lock`" in told.err
    assert told.err.count("\n") == 1


def test_a_login_in_an_address_is_not_shown(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, "mine @ git+https://me:secret@example.org/mine@main")

    with pytest.raises(AuditProblem) as refused:
        read_lock(lock)

    assert "secret" not in str(refused.value)
    assert "example.org/mine@main" in str(refused.value)


def test_a_lock_that_is_not_there_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none.txt")]) == 1
    assert "cannot be read: No such file or directory; run `make lock`" in capsys.readouterr().err


def test_without_git_uv_checks_by_itself(tmp_path: Path) -> None:
    assert options(lock_of(tmp_path, f"six==1 {HASH}")) == ("--require-hashes",)


def test_what_comes_from_git_may_be_built_and_nothing_else(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, f"six==1 {HASH}", GIT)

    assert options(lock) == (
        "--verify-hashes", "--build-constraints", str(lock), "--no-binary", "mine",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    """A copy of this checkout's Makefile and check, with a dependency from git."""

    root: Path
    commit: str

    def make(self, target: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "--silent", "--file", self.root / "Makefile", target],
            cwd=self.root,
            # offline: the one package of the lock comes from git
            env={**os.environ, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(self.root / "cache")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def tools(self) -> Path:
        return self.root / ".tools/audit"

    @property
    def lock(self) -> Path:
        return self.root / "requirements" / "audit.txt"


def git(folder: Path, *arguments: str) -> str:
    named = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    done = subprocess.run(
        ["git", *named, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    library = tmp_path / "mine"
    (library / "src/mine").mkdir(parents=True)
    (library / "src/mine/__init__.py").write_text("SAID = 'from git'\n")
    (library / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1.0"\n[build-system]\n'
        'requires = ["uv_build>=0.13,<0.14"]\nbuild-backend = "uv_build"\n'
    )
    git(library, "init", "--quiet", "--initial-branch", "main", ".")
    git(library, "add", ".")
    git(library, "commit", "--quiet", "--message", "the library")
    git(library, "tag", "v1.0")
    root = tmp_path / "checkout"
    (root / "requirements").mkdir(parents=True)
    (root / "requirements/audit.in").write_text(f"mine @ git+{library.as_uri()}@v1.0\n")
    (root / "requirements/uv.txt").touch()
    os.utime(root / "requirements/uv.txt", (0, 0))
    (root / ".tools/bin").mkdir(parents=True)
    (root / ".tools/bin/uv").symlink_to(ROOT / ".tools/bin/uv")
    shutil.copytree(ROOT / "audit", root / "audit", ignore=shutil.ignore_patterns("__pycache__"))
    # of all that `make lock` and `make audit` do, only what concerns this one lock
    (root / "Makefile").write_text(
        f"{(ROOT / 'Makefile').read_text()}\n"
        "lock-it:\n\t$(call compile,requirements/audit.in,-o requirements/audit.txt)\n"
        "install-it: $(AUDIT_READY)\n"
    )
    return Checkout(root=root, commit=git(library, "rev-parse", "HEAD"))


def test_a_dependency_from_git_is_locked_by_its_commit_and_installed(checkout: Checkout) -> None:
    locked = checkout.make("lock-it")
    assert locked.returncode == 0, locked.stderr
    assert [each.commit for each in read_lock(checkout.lock)] == [checkout.commit]

    installed = checkout.make("install-it")

    assert installed.returncode == 0, installed.stderr
    said = subprocess.run(
        [checkout.tools / "bin/python", "-c", "import mine; print(mine.SAID)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "from git\n"


@pytest.mark.exhaustive
def test_a_branch_in_the_lock_installs_nothing(checkout: Checkout) -> None:
    checkout.lock.write_text(f"mine @ git+{(checkout.root.parent / 'mine').as_uri()}@main\n")

    installed = checkout.make("install-it")

    assert installed.returncode == 2
    assert "requirements/audit.txt, line 1: 'mine @ git+file://" in installed.stderr
    assert not (checkout.tools / ".ready").exists()
