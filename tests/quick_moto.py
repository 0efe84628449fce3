"""What moto works out with each request and each start, though nothing here asks for it.

None of it changes an answer.
"""

from __future__ import annotations

import itertools
from functools import cache, lru_cache
from typing import Any, Final
from urllib.parse import urlparse

from moto.core import models, responses
from moto.core.botocore_stubber import BotocoreStubber
from moto.dynamodb.responses import DynamoHandler
from moto.sqs import models as sqs_models
from moto.sqs.responses import SQSResponse
from moto.utilities import aws_headers
from werkzeug.exceptions import HTTPException

from remotejob.local.gaps import comparisons, repeated_work

_HANDLERS: Final[dict[str, Any]] = {
    "DynamoDB_20120810": DynamoHandler,
    "AmazonSQS": SQSResponse,
}
"""By the service that a request names in its header."""


@cache
def install() -> None:
    """Patch moto in this process, once."""
    repeated_work.close_gap()
    comparisons.close_gap()
    _ask_json_services_at_once()
    _leave_requests_alone()
    _number_requests()
    _spell_names_once()


class _Headers(dict[str, str]):
    """In any case of letters; what is asked for is the same few names each time."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class _JsonRequest:
    """As much of a request as moto reads of one whose body is JSON: no form, and no files."""

    from_wsgi_server = False
    content_encoding = None

    def __init__(self, request: Any, headers: _Headers) -> None:
        self.method = request.method
        self.raw_url = request.url
        self.raw_path = self.path = urlparse(request.url).path
        self.data = request.body.encode() if isinstance(request.body, str) else request.body
        self.headers = headers
        self.content_type = headers.get("Content-Type", "")
        self.form: dict[str, str] = {}
        self.files: dict[str, Any] = {}
        self.values: dict[str, str] = {}
        self.environ: dict[str, str] = {}


def _ask_json_services_at_once() -> None:
    """moto tries the URL on the patterns of a hundred services, then makes an environment for WSGI
    of the request, and takes it apart again."""
    stock = BotocoreStubber.process_request

    def process_request(self: BotocoreStubber, request: Any) -> Any:
        headers = _Headers(
            (name.lower(), value.decode() if isinstance(value, bytes) else value)
            for name, value in request.headers.items()
        )
        handler = _HANDLERS.get(headers.get("X-Amz-Target", "").partition(".")[0])
        if handler is None or ".amazonaws.com/" not in request.url:
            return stock(self, request)
        try:
            return handler.dispatch(_JsonRequest(request, headers), request.url, headers)
        except HTTPException as problem:
            return problem.code, problem.get_headers(), problem.get_body()

    BotocoreStubber.process_request = process_request  # type: ignore[method-assign]


def _leave_requests_alone() -> None:
    """Each start makes 1,300 answers for the library `requests`, which nothing here uses."""
    models.__dict__["backend_index"] = _NoPatterns


class _NoPatterns:
    """In the place of moto's index of services where it prepares `requests`."""

    backend_url_patterns = ()


def _number_requests() -> None:
    """The id of a request is 52 characters, each drawn on its own."""
    numbers = itertools.count(1)

    def request_id(headerdict: dict[str, Any] | None = None) -> str:
        made = f"{next(numbers):052}"
        if headerdict is not None:
            headerdict["x-amzn-requestid"] = made
        return made

    for module in (aws_headers, responses):
        assert "gen_amzn_requestid_long" in module.__dict__
        module.__dict__["gen_amzn_requestid_long"] = request_id


def _spell_names_once() -> None:
    """`MessageRetentionPeriod` is put together again, letter by letter, for each queue."""
    spelled = lru_cache(1024)(responses.__dict__["camelcase_to_underscores"])
    for module in (responses, sqs_models):
        module.__dict__["camelcase_to_underscores"] = spelled
