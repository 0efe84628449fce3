"""What a queue's workers run on: size, processor, disk and image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from remotejob.settings.table import Table

FARGATE_MEMORY_MIB: Final[Mapping[int, Sequence[int]]] = MappingProxyType(
    {
        256: (512, 1024, 2048),
        512: range(1024, 4096 + 1, 1024),
        1024: range(2048, 8192 + 1, 1024),
        2048: range(4096, 16384 + 1, 1024),
        4096: range(8192, 30720 + 1, 1024),
        8192: range(16384, 61440 + 1, 4096),
        16384: range(32768, 122880 + 1, 8192),
    }
)
"""Sizes Fargate offers. Source: Amazon ECS, "Task CPU and memory"."""

LEAST_STORAGE_GIB: Final = 21
MOST_STORAGE_GIB: Final = 200
"""Fargate gives 20 GiB, and takes these numbers for more.

Source: Amazon ECS Developer Guide, "Fargate task ephemeral storage for Amazon ECS".
"""

_PATH: Final = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_IMAGE: Final = re.compile(
    r"([a-z0-9.-]+(:[0-9]{1,5})?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)
_REGISTRY: Final = re.compile(
    r"[a-z0-9]+([.-][a-z0-9]+)*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*){0,8}"
)
_LONGEST_IMAGE: Final = 255
"""Source: Amazon ECS API Reference, ContainerDefinition, image."""
_ECR: Final = re.compile(
    r"(?P<account>[0-9]{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z0-9-]+)"
    r"\.(amazonaws\.com(\.cn)?|on\.aws)/(?P<name>[^:@]+)[:@].+"
)
"""Source: Amazon ECR User Guide, "Amazon ECR private registry", URLs."""


class Architecture(StrEnum):
    """The processor of the workers, for which their image is built."""

    X86_64 = "x86_64"
    ARM64 = "arm64"


@dataclass(frozen=True, kw_only=True, slots=True)
class EcrRepository:
    """A repository of a private registry of Amazon ECR."""

    account: str
    region: str
    name: str


def ecr_repository(image: str) -> EcrRepository | None:
    """The ECR repository that an image is in; None if it is elsewhere."""
    found = _ECR.fullmatch(image)
    return None if found is None else EcrRepository(**found.groupdict())


def read_size(table: Table) -> tuple[int, int]:
    """CPU units and MiB of memory. Raises: SettingsError."""
    cpu = table.whole("cpu", 256, 16384, default=1024)
    if cpu not in FARGATE_MEMORY_MIB:
        table.fail("cpu", cpu, f"Fargate offers {', '.join(map(str, sorted(FARGATE_MEMORY_MIB)))}")
    memory = table.whole("memory_mib", 512, 122880, default=FARGATE_MEMORY_MIB[cpu][0])
    if memory not in FARGATE_MEMORY_MIB[cpu]:
        offered = ", ".join(map(str, FARGATE_MEMORY_MIB[cpu]))
        table.fail("memory_mib", memory, f"with cpu = {cpu} Fargate offers {offered}")
    return cpu, memory


def read_registry(table: Table, key: str) -> str | None:
    """A registry, perhaps with a path in it; None if it is left out. Raises: SettingsError."""
    if not table.has(key):
        return None
    registry: str = table.value(key, str)
    if not _REGISTRY.fullmatch(registry):
        table.fail(
            key,
            registry,
            "give its host and the path before the image's name, without https:// and without a"
            " slash at the end, such as 'public.ecr.aws/docker/library'",
        )
    return registry


def read_image(table: Table) -> tuple[str | None, str | None]:
    """The Dockerfile and the image; at most one of them. Raises: SettingsError."""
    dockerfile: str = table.value("dockerfile", str, default="")
    image: str = table.value("image", str, default="")
    if dockerfile and image:
        table.fail(
            "image", image, "leave it out, or leave out dockerfile: the image has one source"
        )
    if dockerfile and (not _PATH.fullmatch(dockerfile) or {".", ".."} & set(dockerfile.split("/"))):
        table.fail(
            "dockerfile",
            dockerfile,
            "give its path from the project's folder, with slashes, such as"
            " 'worker_container/ocr.Dockerfile'",
        )
    if image:
        found = _IMAGE.fullmatch(image)
        if found is None:
            table.fail(
                "image", image, "give it as REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST"
            )
        if len(image) > _LONGEST_IMAGE:
            table.fail("image", image, f"ECS takes at most {_LONGEST_IMAGE} characters; shorten it")
        if not (found["tag"] or found["digest"]):
            table.fail("image", image, "add its tag or, better, its digest: NAME@sha256:DIGEST")
    return dockerfile or None, image or None
