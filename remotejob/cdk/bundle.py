"""Builds the functions' code in one folder, without Docker and without the network.

The code is what is installed here: the library, and the distributions it needs. Whoever installs
them from a lock file with hashes deploys what the lock file says. The result is cached by the hash
of everything, so a second synth finds it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import remotejob
from remotejob.names import DISTRIBUTION
from remotejob.settings import DEFAULT_FILE

CACHE: Final = Path("build/functions")

PYTHON: Final = "3.14"
"""The same as in `remotejob.cdk.functions.RUNTIME`; a test compares them."""

LEFT_OUT: Final = (
    "__main__.py",
    "builtin",
    "cdk",
    "cli",
    "container",
    "local",
    "testing",
)
"""Parts of `remotejob` that no function runs."""

AWS_SERVICES: Final = ("dynamodb", "ecs", "lambda", "s3", "sqs", "ssm", "sts")
"""The service models that functions need, of botocore's several hundred (26 MB)."""

NATIVE: Final = (".so", ".pyd", ".dylib")
_RECORDS: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
"""Files of an installation that differ from one to the next."""
_EXTRA: Final = "functions"


class BundleError(Exception):
    """The functions' code cannot be built."""


def bundle(settings: bytes, *, packages: Iterable[Path] = (), cache: Path | None = None) -> Path:
    """The folder to deploy as the functions' code. Its name changes with its content.

    settings: the content of the settings file.
    packages: folders of further packages, such as handlers of yours.
    cache: default `build/functions` in the working directory, where the CDK runs an app.

    Raises: BundleError, naming the package and the remedy.
    """
    files = dict(_all_files(packages))
    content = (part for name in sorted(files) for part in (name.encode(), files[name].read_bytes()))
    code = (cache or CACHE.absolute()) / f"code-{_digest(settings, *content)}"
    if not code.exists():
        _build(code, lambda folder: _copy(files, settings, folder))
    return code


def needed(extra: str = _EXTRA) -> list[Distribution]:
    """The distributions that functions need besides the library's own, by name.

    Raises: BundleError, for one that is not installed.
    """
    found: dict[str, Distribution] = {}
    wanted = [Requirement(f"{DISTRIBUTION}[{extra}]")]
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        installed = _installed(requirement)
        if name in found and not requirement.extras:
            continue
        found[name] = installed
        for text in installed.requires or []:
            further = Requirement(text)
            if _applies(further, requirement.extras):
                wanted.append(further)
    del found[DISTRIBUTION]
    return [found[name] for name in sorted(found)]


def _installed(requirement: Requirement) -> Distribution:
    try:
        return distribution(requirement.name)
    except PackageNotFoundError:
        raise BundleError(
            f"{requirement.name} is not installed, and the functions need it; install it with:"
            f' pip install "{DISTRIBUTION}[cdk]"'
        ) from None


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Whether a requirement holds for the functions' Python and platform."""
    if requirement.marker is None:
        return True
    return any(
        requirement.marker.evaluate(
            {
                "extra": extra,
                "python_version": PYTHON,
                "python_full_version": f"{PYTHON}.0",
                "sys_platform": "linux",
                "platform_system": "Linux",
                "platform_machine": "aarch64",
                "os_name": "posix",
                "implementation_name": "cpython",
                "platform_python_implementation": "CPython",
            }
        )
        for extra in (*extras, "")
    )


def _all_files(packages: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    for dist in needed():
        yield from _files_of(dist)
    library = Path(remotejob.__file__).parent
    yield from _files_in(library, leaving_out={library / name for name in LEFT_OUT})
    for package in packages:
        yield from _files_in(package, leaving_out=set())


def _files_of(dist: Distribution) -> Iterator[tuple[str, Path]]:
    """The files of a distribution, without what no function reads.

    Raises: BundleError, for compiled code: the folder runs on any architecture and any Python; and
    for a file that is missing.
    """
    listed = _listed(dist)
    _refuse_native(dist, listed)
    for file in listed:
        parts = file.parts
        # scripts are outside
        if parts[0] == ".." or "__pycache__" in parts:
            continue
        if parts[0].endswith(".dist-info") and (parts[-1] in _RECORDS or "sboms" in parts):
            continue
        unread = parts[0] in ("botocore", "boto3") and parts[1:2] == ("data",) and len(parts) > 3
        if unread and parts[2] not in AWS_SERVICES:
            continue
        here = Path(str(dist.locate_file(file)))
        if not here.is_file():
            raise BundleError(f"{here} is missing; {_again(dist)}")
        yield file.as_posix(), here


def _listed(dist: Distribution) -> list[PurePosixPath]:
    """What its installer says that it has. Not `dist.files`, which leaves out what is missing.

    Raises: BundleError, for one whose code is elsewhere.
    """
    name = dist.metadata["Name"]
    if json.loads(dist.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"):
        raise BundleError(
            f"{name} is installed as editable, so its code is elsewhere; {_again(dist)}"
        )
    record = dist.read_text("RECORD")
    if dist.read_text("WHEEL") is not None and record is None:
        raise BundleError(
            f"{name} is installed without RECORD, the list of its files; {_again(dist)}"
        )
    return [PurePosixPath(row[0]) for row in csv.reader((record or "").splitlines()) if row]


def _again(dist: Distribution) -> str:
    name = dist.metadata["Name"]
    return f'install it again: pip install --force-reinstall "{name}=={dist.version}"'


def _refuse_native(dist: Distribution, listed: Iterable[PurePosixPath]) -> None:
    name = dist.metadata["Name"]
    wheel = (dist.read_text("WHEEL") or "").splitlines()
    tags = [line for line in wheel if line.startswith("Tag:")]
    if not any(tag.endswith("-none-any") for tag in tags):
        _refuse(name, ", ".join(tags) or "it was not installed from a wheel")
    for file in listed:
        if file.suffix in NATIVE:
            _refuse(name, file.name)


def _refuse(package: str, evidence: str) -> NoReturn:
    raise BundleError(
        f"{package} has compiled code ({evidence}), and the functions' code must be Python only:"
        " install a wheel of it that is, or do that work in a task"
    )


def _files_in(package: Path, *, leaving_out: set[Path]) -> Iterator[tuple[str, Path]]:
    for folder, folders, names in os.walk(package):
        here = Path(folder)
        folders[:] = [
            name for name in folders if name != "__pycache__" and here / name not in leaving_out
        ]
        for name in names:
            if here / name not in leaving_out and not name.endswith(".pyc"):
                yield (here / name).relative_to(package.parent).as_posix(), here / name


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


def _copy(files: Mapping[str, Path], settings: bytes, folder: Path) -> None:
    (folder / DEFAULT_FILE).write_bytes(settings)
    for name, file in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        # The function runs as another user, so ignore the umask of the installation.
        target.chmod(0o644)
    (folder / DEFAULT_FILE).chmod(0o644)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        # With its length, so no two lists of parts have the same digest.
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()[:16]
