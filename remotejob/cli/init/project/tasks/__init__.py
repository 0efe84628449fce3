"""Your tasks. Importing this package registers them, so import each module here."""

from tasks import report

__all__ = ["report"]
