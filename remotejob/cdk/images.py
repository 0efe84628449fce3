"""The images of the workers: built from a folder of the user's, or from a registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from remotejob.domain.errors import SettingsError
from remotejob.settings import Architecture, QueueSettings
from remotejob.settings.machines import ecr_repository

DOCKERFILE = "worker_container/Dockerfile"

REGISTRY_ARGUMENT: Final = "REGISTRY"
"""The build argument by which our Dockerfiles name the registry of their base image."""

_MADE_HERE: Final = ("build/functions", "build/local", "cdk.out")
"""What synthesis writes into a project. In the image's asset it would be copied into itself, level
after level, where no `.dockerignore` leaves it out."""

_PLATFORM: Final = {
    # Explicit, so each laptop builds the image that Fargate runs. Not ARM by default: most build
    # machines are not, and some packages have no wheel for it.
    Architecture.X86_64: ecr_assets.Platform.LINUX_AMD64,
    Architecture.ARM64: ecr_assets.Platform.LINUX_ARM64,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerImage:
    """The workers' image, built from a folder of yours when the app is deployed."""

    folder: Path
    """What is sent to the build; its `.dockerignore` selects files. `cdk.out` and what
    `remotejob local` keeps in `build` are never sent."""
    dockerfile: str = DOCKERFILE
    """Its path in the folder, for queues whose settings name none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RepositoryImage:
    """The workers' image, from an ECR repository of the app, which others build and push to."""

    repository: ecr.IRepository
    tag_or_digest: str
    """A digest, `sha256:…`, is the same image for ever; a tag is what was pushed last, once a
    worker starts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueImage:
    """The image of a queue's workers, and where it is pulled from."""

    image: ecs.ContainerImage
    repository_arn: str | None
    """Its private ECR repository; None for a registry that takes no AWS credentials."""


class Images:
    """The images of a system; queues that want the same one share it."""

    def __init__(
        self,
        scope: Construct,
        worker: WorkerImage | RepositoryImage,
        *,
        registry: str | None,
    ) -> None:
        """registry: of the base images; None for the default of each Dockerfile."""
        self._scope = scope
        self._worker = worker
        self._build_args = {} if registry is None else {REGISTRY_ARGUMENT: registry}
        self._built: dict[tuple[str, Architecture], ecr_assets.DockerImageAsset] = {}

    def of(self, name: str, queue: QueueSettings) -> QueueImage:
        """The image of a queue. Raises: SettingsError, when its Dockerfile is not there."""
        if queue.image is not None:
            return self._from_registry(queue.image)
        if isinstance(self._worker, RepositoryImage):
            return _from_repository(self._worker, name, queue)
        wanted = (queue.dockerfile or self._worker.dockerfile, queue.architecture)
        if wanted not in self._built:
            _check(self._worker, name, queue)
            self._built[wanted] = self._asset(self._worker, *wanted)
        asset = self._built[wanted]
        return QueueImage(
            image=ecs.ContainerImage.from_docker_image_asset(asset),
            repository_arn=asset.repository.repository_arn,
        )

    def _from_registry(self, image: str) -> QueueImage:
        found, arn = ecr_repository(image), None
        if found is not None:
            arn = Stack.of(self._scope).format_arn(
                service="ecr",
                account=found.account,
                region=found.region,
                resource="repository",
                resource_name=found.name,
            )
        return QueueImage(image=ecs.ContainerImage.from_registry(image), repository_arn=arn)

    def _asset(
        self, worker: WorkerImage, dockerfile: str, architecture: Architecture
    ) -> ecr_assets.DockerImageAsset:
        own = dockerfile == worker.dockerfile
        return ecr_assets.DockerImageAsset(
            self._scope,
            # no path has a colon, so the id of no other image is the same
            "Image"
            if own and architecture is Architecture.X86_64
            else f"Image:{architecture}:{dockerfile.replace('/', ':')}",
            directory=str(worker.folder),
            file=dockerfile,
            # its .dockerignore may leave out other Dockerfiles
            exclude=[*_MADE_HERE, *([] if own else [f"!{dockerfile}"])],
            platform=_PLATFORM[architecture],
            build_args=self._build_args or None,
        )


def _from_repository(worker: RepositoryImage, name: str, queue: QueueSettings) -> QueueImage:
    if queue.dockerfile is not None:
        raise SettingsError(
            f"[queues.{name}]: dockerfile = {queue.dockerfile!r}: this app takes the image from a"
            " repository and builds none; leave it out, or give the construct a WorkerImage"
        )
    return QueueImage(
        image=ecs.ContainerImage.from_ecr_repository(worker.repository, worker.tag_or_digest),
        repository_arn=worker.repository.repository_arn,
    )


def _check(worker: WorkerImage, name: str, queue: QueueSettings) -> None:
    folder = worker.folder
    if queue.dockerfile is None and not (folder / worker.dockerfile).is_file():
        raise SettingsError(
            f"{folder / worker.dockerfile}: no such file; write the Dockerfile of the"
            " workers there (`remotejob init .` adds one), or name another one"
        )
    if queue.dockerfile is not None and not (folder / queue.dockerfile).is_file():
        raise SettingsError(
            f"[queues.{name}]: dockerfile = {queue.dockerfile!r}: there is no such file in"
            f" {folder}; give its path from there"
        )
