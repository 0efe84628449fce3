"""Makes a job of each upload: the library's handler."""

from remotejob.functions.on_upload import handler

__all__ = ["handler"]
