"""Gives the files that a task writes to the input bucket the depth of its chain of jobs.

A file under a routed prefix becomes a job, also if a job wrote it. So that a task which feeds
itself ends, each such write carries a depth in the object's metadata, and the job that reaches
`max_depth` gets an error instead. This covers what goes through botocore in the worker's own
process and its child processes: boto3's clients and resources, `upload_file` and its threads, and
libraries on top.

It does not cover sessions made before `mark_writes`, programs that a task starts, presigned URLs,
access points, and other HTTP clients: their files begin new chains. `daily_jobs` ends those.

Source: boto3, "Extensibility guide", for the events; botocore has no public list of the handlers of
all sessions, so this adds to the one that it reads.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final
from urllib.parse import unquote

from remotejob.domain.chain import DEPTH_METADATA, next_depth_in_process
from remotejob.names import INPUT_PREFIX_SUBMITTED

_HANDLERS: Final = "botocore.handlers"
_WRITES: Final = ("PutObject", "CreateMultipartUpload", "CopyObject")
_KEPT: Final = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "Metadata",
    "WebsiteRedirectLocation",
)
"""What a copy has from its source unless it replaces the metadata."""


def mark_writes() -> None:
    """From now on, let every new botocore session mark the files that jobs write.

    It does not import botocore: a child process whose tasks do without has no memory to spare.
    """
    module = sys.modules.get(_HANDLERS)
    if module is not None:
        _add_handlers(module)
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())


class _WhenImported(importlib.abc.MetaPathFinder):
    """Adds our handlers to botocore's at its first import."""

    def __init__(self) -> None:
        self._looking = False

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 (the protocol's)
        target: ModuleType | None = None,  # noqa: ARG002 (as above)
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _HANDLERS or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenAdd(spec.loader)
        return spec


class _ThenAdd(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _add_handlers(module)


def _add_handlers(module: ModuleType) -> None:
    handlers: list[Any] = module.BUILTIN_HANDLERS
    ours: list[Any] = [(f"before-parameter-build.s3.{write}", _mark) for write in _WRITES]
    for one in (*ours, ("creating-client-class.s3", _wrap_copy)):
        if one not in handlers:
            handlers.append(one)


def _mark(params: dict[str, Any], **_: object) -> None:
    """Put the depth into a write's metadata. Raises: ChainTooLong."""
    depth = _depth_of(params)
    # a copy takes the metadata of its source unless it replaces them; `_wrap_copy` lets it
    copies = "CopySource" in params and params.get("MetadataDirective") != "REPLACE"
    if depth and not copies:
        params["Metadata"] = {**(params.get("Metadata") or {}), DEPTH_METADATA: str(depth)}


def _depth_of(params: Mapping[str, Any]) -> int:
    """The depth of what a write makes; 0 if no job comes of it. Raises: ChainTooLong."""
    bucket, key = params.get("Bucket"), params.get("Key")
    if not isinstance(bucket, str) or not isinstance(key, str):
        return 0
    if key.startswith(INPUT_PREFIX_SUBMITTED):
        return 0
    return next_depth_in_process(bucket)


def _wrap_copy(class_attributes: dict[str, Any], **_: object) -> None:
    original: Callable[..., Any] = class_attributes["copy_object"]
    if inspect.iscoroutinefunction(original):
        return

    def copy_object(self: Any, **params: Any) -> Any:
        if _depth_of(params) and params.get("MetadataDirective", "COPY") == "COPY":
            params = {**params, **_as_replaced(self, params)}
        return original(self, **params)

    class_attributes["copy_object"] = copy_object


def _as_replaced(client: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that make a copy with the metadata of its source, but as given anew."""
    found = client.head_object(**_source(params))
    kept = {name: found[name] for name in _KEPT if found.get(name)}
    return {**kept, "MetadataDirective": "REPLACE"}


def _source(params: Mapping[str, Any]) -> dict[str, str]:
    """The source of a copy, which may be given as `bucket/key?versionId=…`, URL-encoded."""
    source = params.get("CopySource")
    if not isinstance(source, str):
        return dict(source or {})
    path, _, version = source.partition("?versionId=")
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    return {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
