"""The tasks this image runs. Replace them with your own: importing this package registers them."""

from worker_container.tasks import thumbnail

__all__ = ["thumbnail"]
