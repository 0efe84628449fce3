"""The tasks of this image; replace them with your own. Importing this package registers them."""

from worker_container.tasks import thumbnail

__all__ = ["thumbnail"]
