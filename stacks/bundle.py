"""Builds the functions' code in one folder, without Docker.

Third-party code is installed from the locked wheels, and cached by the hash of the lock file. Our
own code and the settings are added, and the result is cached by the hash of everything, so a second
synth finds it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NoReturn

import uv

from remotejob.settings import DEFAULT_FILE

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "requirements" / "functions.txt"
CACHE: Final = ROOT / "build" / "functions"

PYTHON: Final = "3.14"
"""The same as in `stacks.functions.RUNTIME`; a test compares them."""

PLATFORM: Final = "aarch64-manylinux2014"
PACKAGES: Final = ("remotejob", "lambdas")
LEFT_OUT: Final = ("__main__.py", "builtin", "cli", "local", "testing")
"""Parts of `remotejob` that no function runs."""

AWS_SERVICES: Final = ("dynamodb", "s3", "sqs", "ssm", "sts")
"""The service models that functions need, of botocore's several hundred (26 MB)."""

NATIVE: Final = (".so", ".pyd", ".dylib")
RECIPE: Final = "2"
"""Part of every hash here: raise it when a change of this file changes what it builds."""


class BundleError(Exception):
    """The functions' code cannot be built."""


def bundle(settings_file: Path, *, root: Path = ROOT, cache: Path = CACHE) -> Path:
    """The folder to deploy as the functions' code. Its name changes with its content.

    Raises: BundleError, naming the package and the remedy.
    """
    lock = root / LOCK.relative_to(ROOT)
    recipe = f"{RECIPE} {PYTHON} {PLATFORM} {AWS_SERVICES}\n".encode()
    wheels = cache / f"wheels-{_digest(recipe, lock.read_bytes())}"
    if not wheels.exists():
        _build(wheels, lambda folder: _install(lock, folder))
    files = {**dict(_own_files(root)), DEFAULT_FILE: settings_file}
    content = (part for name in sorted(files) for part in (name.encode(), files[name].read_bytes()))
    code = cache / f"code-{_digest(wheels.name.encode(), *content)}"
    if not code.exists():
        _build(code, lambda folder: _assemble(wheels, files, folder))
    return code


def _build(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder, and rename it to `target` last, so nobody finds it half-made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as making:
        folder = Path(making) / target.name
        folder.mkdir()
        fill(folder)
        try:
            folder.rename(target)
        except OSError:
            # Another synth was faster; its result is the same.
            if not target.is_dir():
                raise


def _install(lock: Path, folder: Path) -> None:
    """Install the locked wheels for the functions' platform, whatever platform this is."""
    command = [
        *(uv.find_uv_bin(), "pip", "install", "--quiet", "--target", str(folder)),
        *("--python", sys.executable, "--python-version", PYTHON, "--python-platform", PLATFORM),
        *("--require-hashes", "--only-binary", ":all:", "--no-deps", "--link-mode", "copy"),
        *("--requirements", str(lock)),
    ]
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, env={**_certificates(), **os.environ}
    )
    if done.returncode:
        raise BundleError(
            f"{lock.name} cannot be installed for the functions; lock it again with `make lock`,"
            f" and check that the package index can be reached:\n{done.stderr.strip()}"
        )
    refuse_native(folder)
    _trim(folder)


def _certificates() -> dict[str, str]:
    """Let uv trust the system's certificates, for example that of a company proxy.

    Not on a Linux without a trust store: there, uv needs its own certificates.
    """
    paths = ssl.get_default_verify_paths()
    trusts_any = paths.cafile or paths.capath or sys.platform != "linux"
    return {"UV_SYSTEM_CERTS": "true"} if trusts_any else {}


def refuse_native(folder: Path) -> None:
    """Refuse compiled code, so the folder runs on any architecture and any Python.

    Raises: BundleError.
    """
    for wheel in sorted(folder.glob("*.dist-info/WHEEL")):
        tags = [line for line in wheel.read_text().splitlines() if line.startswith("Tag:")]
        if not any(tag.endswith("-none-any") for tag in tags):
            _refuse(wheel.parent.name.removesuffix(".dist-info"), ", ".join(tags))
    for file in sorted(folder.rglob("*")):
        if file.suffix in NATIVE:
            _refuse(file.relative_to(folder).parts[0], file.name)


def _refuse(package: str, evidence: str) -> NoReturn:
    raise BundleError(
        f"{package} has compiled code ({evidence}), and the functions' code must be Python only:"
        " take it out of the `functions` extra in pyproject.toml, or do that work in a task"
    )


def _trim(folder: Path) -> None:
    """Remove files that no function reads, or that differ from one installation to the next."""
    for package in ("botocore", "boto3"):
        for service in (folder / package / "data").iterdir():
            if service.is_dir() and service.name not in AWS_SERVICES:
                shutil.rmtree(service)
    for record in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"):
        for file in folder.glob(f"*.dist-info/{record}"):
            file.unlink()
    shutil.rmtree(folder / "bin", ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)


def _own_files(root: Path) -> Iterator[tuple[str, Path]]:
    left_out = {root / "remotejob" / name for name in LEFT_OUT}
    for package in PACKAGES:
        for folder, folders, names in os.walk(root / package):
            here = Path(folder)
            folders[:] = [
                name for name in folders if name != "__pycache__" and here / name not in left_out
            ]
            for name in names:
                if here / name not in left_out:
                    yield (here / name).relative_to(root).as_posix(), here / name


def _assemble(wheels: Path, files: Mapping[str, Path], folder: Path) -> None:
    # Link files if the file system can: a new version of our code then costs no space.
    shutil.copytree(wheels, folder, copy_function=_link, dirs_exist_ok=True)
    for name, file in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        # The function runs as another user, so ignore the umask of the checkout.
        target.chmod(0o644)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        # With its length, so no two lists of parts have the same digest.
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()[:16]
