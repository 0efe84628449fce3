"""S3: keys of any characters.

What moto does: it finds an object's operation by regular expressions whose dot stops at a newline,
so a key that has one is answered 404, or is an operation that no policy names. It lists versions
with unencoded keys, although boto3 asks to encode them: a control character breaks the response.

What AWS does: a key is any Unicode text of up to 1024 bytes in UTF-8. S3 User Guide, "Naming Amazon
S3 objects"; S3 API Reference, "ListObjectVersions", encoding-type.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from moto.core import routing
from moto.moto_server import werkzeug_app
from moto.moto_server.utilities import RegexConverter
from moto.s3.responses import S3Response

_LISTS: Final = ("Versions", "DeleteMarkers", "CommonPrefixes")
_ENCODED: Final = ("Key", "Prefix", "Delimiter", "KeyMarker", "NextKeyMarker")


class AnyCharacter(RegexConverter):
    """A part of a path, in which a dot stands for a newline too."""

    def __init__(self, url_map: Any, *items: Any) -> None:
        super().__init__(url_map, *items)
        self.regex = f"(?s:{self.regex})"


def close_gap() -> None:
    werkzeug_app.RegexConverter = AnyCharacter  # type: ignore[attr-defined]
    for converter in (routing.GreedyLabelConverter, routing.ImplicitGreedyLabelConverter):
        converter.regex = f"(?s:{converter.regex})"
    _encode_listed_versions()


def _encode_listed_versions() -> None:
    stock = S3Response.serialized

    def serialized(self: S3Response, action_result: Any) -> Any:
        asked = self.querystring.get("encoding-type") == ["url"]
        if asked and self.data.get("Action") == "ListObjectVersions":
            result = action_result.result
            for part in (result, *(item for name in _LISTS for item in result.get(name) or ())):
                part.update({name: quote(part[name]) for name in _ENCODED if part.get(name)})
            result["EncodingType"] = "url"
        return stock(self, action_result)

    S3Response.serialized = serialized  # type: ignore[assignment,method-assign]
