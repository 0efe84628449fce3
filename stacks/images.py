"""The images of the workers: built from the project, or from a registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from remotejob.domain.errors import SettingsError
from remotejob.settings import Architecture, QueueSettings
from remotejob.settings.machines import ecr_repository
from stacks.bundle import ROOT

DOCKERFILE: Final = "worker_container/Dockerfile"

_PLATFORM: Final = {
    # Explicit, so each laptop builds the image that Fargate runs. Not ARM by default: most build
    # machines are not, and some packages have no wheel for it.
    Architecture.X86_64: ecr_assets.Platform.LINUX_AMD64,
    Architecture.ARM64: ecr_assets.Platform.LINUX_ARM64,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerImage:
    """An image, and where it is pulled from."""

    image: ecs.ContainerImage
    repository_arn: str | None
    """Its private ECR repository; None for a registry that takes no AWS credentials."""


class Images:
    """The images of a stack; queues that want the same one share it."""

    def __init__(self, scope: Construct) -> None:
        self._scope = scope
        self._built: dict[tuple[str, Architecture], ecr_assets.DockerImageAsset] = {}

    def of(self, name: str, queue: QueueSettings) -> WorkerImage:
        """The image of a queue. Raises: SettingsError, when its Dockerfile is not there."""
        if queue.image is not None:
            return self._from_registry(queue.image)
        wanted = (queue.dockerfile or DOCKERFILE, queue.architecture)
        if wanted not in self._built:
            self._built[wanted] = self._build(name, *wanted)
        asset = self._built[wanted]
        return WorkerImage(
            image=ecs.ContainerImage.from_docker_image_asset(asset),
            repository_arn=asset.repository.repository_arn,
        )

    def _from_registry(self, image: str) -> WorkerImage:
        found, arn = ecr_repository(image), None
        if found is not None:
            arn = cdk.Stack.of(self._scope).format_arn(
                service="ecr",
                account=found.account,
                region=found.region,
                resource="repository",
                resource_name=found.name,
            )
        return WorkerImage(image=ecs.ContainerImage.from_registry(image), repository_arn=arn)

    def _build(
        self, name: str, dockerfile: str, architecture: Architecture
    ) -> ecr_assets.DockerImageAsset:
        if not (ROOT / dockerfile).is_file():
            raise SettingsError(
                f"[queues.{name}]: dockerfile = {dockerfile!r}: there is no such file in {ROOT}; "
                "give its path from there"
            )
        usual = (dockerfile, architecture) == (DOCKERFILE, Architecture.X86_64)
        return ecr_assets.DockerImageAsset(
            self._scope,
            # no path has a colon, so the id of no other image is the same
            "Image" if usual else f"Image:{architecture}:{dockerfile.replace('/', ':')}",
            # .dockerignore selects the files that go into the image.
            directory=str(ROOT),
            file=dockerfile,
            exclude=None if dockerfile == DOCKERFILE else [f"!{dockerfile}"],
            platform=_PLATFORM[architecture],
        )
