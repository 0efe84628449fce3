"""Dispatch: moto does what the gateway judged, and nothing else.

What moto does: it looks for the service in the path, the host and headers, for the operation in the
query, in the body whatever its type and in headers, and for parameters in all of them. It takes any
body for a form if it is said to be one. It writes to a multipart upload that the request names,
whatever the request's key.

What AWS does: each protocol has one place for each part. Smithy, "AWS protocols"; Amazon S3 API
Reference, "UploadPart": an upload belongs to its key.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs, urlparse

from moto.core.responses import BaseResponse
from moto.moto_server.werkzeug_app import BackendRequest, DomainDispatcherApplication
from moto.s3.exceptions import NoSuchUpload, S3ClientError
from moto.s3.responses import S3Response

from remotejob.local.access.forwarding import JUDGED, Judged

_S3: Final = "s3"
_NAMES: Final = {"lambda": "awslambda"}
"""moto's names of services, where they differ from the SDK's by more than a dash."""


class Misdirected(Exception):
    """moto took a request for another service's than the gateway did."""


def close_gap() -> None:
    """Let the gateway's reading of a request be the only one."""
    _take_judged_service()
    _take_judged_operation()
    _parse_only_forms()
    _bind_uploads_to_keys()


def _take_judged_service() -> None:
    def get_application(self: DomainDispatcherApplication, environ: dict[str, Any]) -> Any:
        judged: Judged | None = environ.get(JUDGED)
        if judged is None:
            raise Misdirected("a request that nobody has judged")
        name = _NAMES.get(judged.service, judged.service.replace("-", ""))
        with self.lock:
            if name not in self.app_instances:
                self.app_instances[name] = self.create_app(name)  # type: ignore[arg-type]
            return self.app_instances[name]

    DomainDispatcherApplication.get_application = get_application  # type: ignore[method-assign]


def _take_judged_operation() -> None:
    stock_setup = BaseResponse.setup_class
    stock_action = BaseResponse._get_action

    def setup_class(self: BaseResponse, request: Any, *args: Any, **kw: Any) -> None:
        judged: Judged | None = request.environ.get(JUDGED)
        if judged is None or self.boto3_service_name != judged.service:
            raise Misdirected(f"a request for {judged and judged.service} came to another service")
        stock_setup(self, request, *args, **kw)
        # stock reads the body and the headers for parameters if the query has none
        self.querystring = self.data = {n: list(v) for n, v in judged.parameters.items()}

    def get_action(self: BaseResponse) -> str:
        judged: Judged = self.normalized_request.environ[JUDGED]
        # within one request, S3 goes through several names
        return stock_action(self) if judged.service == _S3 else judged.operation

    BaseResponse.setup_class = setup_class  # type: ignore[method-assign]
    BaseResponse._get_action = get_action  # type: ignore[method-assign]


def _parse_only_forms() -> None:
    def want_form_data_parsed(self: BackendRequest) -> bool:
        judged: Judged | None = self.environ.get(JUDGED)
        return judged is not None and judged.form

    BackendRequest.want_form_data_parsed = property(  # type: ignore[assignment,method-assign]
        want_form_data_parsed
    )


def _bind_uploads_to_keys() -> None:
    stock = S3Response._key_response

    def key_response(self: S3Response, request: Any, full_url: str) -> Any:
        for upload in parse_qs(urlparse(full_url).query).get("uploadId", []):
            try:
                uploads = self.backend.get_bucket(self.bucket_name).multiparts
            except S3ClientError:
                break
            if upload in uploads and uploads[upload].key_name != self.parse_key_name():
                raise NoSuchUpload(upload_id=upload)
        return stock(self, request, full_url)

    S3Response._key_response = key_response  # type: ignore[method-assign]
