"""The parts of S3 requests that name other objects: copy sources, and lists of objects to delete.

moto parses them in another way than AWS. It gets them rebuilt from what was judged.

Source: Amazon S3 API Reference, "CopyObject" (x-amz-copy-source), "DeleteObjects".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from remotejob.local.access.calls import BadCall, Call

BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
COPY_SOURCE: Final = "x-amz-copy-source"


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """An object, and a version of it if the request names one."""

    key: str
    version: str | None
    bucket: str = ""


def copy_source(header: str) -> Named:
    """The object that a request copies. Raises: BadCall."""
    # split first: an encoded question mark belongs to the key
    path, _, query = header.removeprefix("/").partition("?")
    bucket, _, key = unquote(path).partition("/")
    fields = parse_qsl(query, keep_blank_values=True)
    versions = [value for name, value in fields if name == "versionId" and value]
    if not BUCKET.fullmatch(bucket) or not key or len(versions) != len(fields) or len(fields) > 1:
        message = f"{COPY_SOURCE} is {header[:200]!r}, not bucket/key or bucket/key?versionId="
        raise BadCall(message, code="InvalidArgument")
    return Named(bucket=bucket, key=key, version=versions[0] if versions else None)


def deleted(call: Call) -> list[Named]:
    """The objects that a DeleteObjects request names. Raises: BadCall."""
    return [_deleted(element) for element in _delete_list(call.body) if _tag(element) == "Object"]


def _delete_list(body: bytes) -> ET.Element:
    # entities could make the document larger than memory
    if b"<!" in body:
        raise _malformed("it has a document type, or comments")
    try:
        root = ET.fromstring(body)  # noqa: S314  (without entities, from a caller we know)
    except ET.ParseError as problem:
        raise _malformed(str(problem)) from None
    if _tag(root) != "Delete" or not {_tag(child) for child in root} <= {"Object", "Quiet"}:
        raise _malformed("it has other elements than Object and Quiet")
    return root


def _deleted(element: ET.Element) -> Named:
    entries = {_tag(child): child.text or "" for child in element}
    version = entries.get("VersionId")
    if len(entries) != len(element) or not entries.get("Key") or version == "":
        raise _malformed("an object has no Key, or an element twice")
    return Named(key=entries["Key"], version=version)


def _malformed(why: str) -> BadCall:
    return BadCall(f"the list of objects to delete is malformed: {why}", code="MalformedXML")


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def body_of(call: Call) -> bytes:
    """The body that moto gets. Raises: BadCall."""
    if call.operation != "DeleteObjects":
        return call.body
    quiet = [child.text or "" for child in _delete_list(call.body) if _tag(child) == "Quiet"]
    parts = [f"<Quiet>{escape(text)}</Quiet>" for text in quiet[:1]]
    for named in deleted(call):
        version = f"<VersionId>{_text(named.version)}</VersionId>" if named.version else ""
        parts.append(f"<Object><Key>{_text(named.key)}</Key>{version}</Object>")
    return f"<Delete>{''.join(parts)}</Delete>".encode()


def _text(value: str) -> str:
    # a parser would take a bare carriage return for a newline
    return escape(value, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


def headers_of(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that moto gets. Raises: BadCall."""
    return [(name, _rebuilt(value) if name == COPY_SOURCE else value) for name, value in headers]


def _rebuilt(header: str) -> str:
    source = copy_source(header)
    path = quote(f"{source.bucket}/{source.key}", safe="/-._~")
    return path if source.version is None else f"{path}?versionId={quote(source.version)}"
