"""What `remotejob.backends.aws` needs from inside botocore, which promises none of it.

After raising the bound on botocore in pyproject.toml, run these tests first: a name, signature or
behavior that changed fails the test that bears its name.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.session import Session
from packaging.requirements import Requirement
from packaging.version import Version

from remotejob.backends.aws.account import DEFAULT_POLICY, Account
from remotejob.backends.aws.service import DYNAMODB, SQS, Api
from remotejob.testing import FakeClock

PROJECT: Final = Path(__file__).parents[2]
URL: Final = "http://127.0.0.1:9/"

CALLS: Final[dict[str, tuple[tuple[object, ...], dict[str, object]]]] = {
    "botocore:xform_name": (("GetItem",), {}),
    "botocore.awsrequest:AWSPreparedRequest": (("POST", URL, {}, b"", False), {}),
    "botocore.awsrequest:AWSResponse": ((URL, 200, {}, BytesIO()), {}),
    "botocore.config:Config": (
        (),
        {
            "retries": {"mode": "standard", "max_attempts": 4},
            "max_pool_connections": 64,
            "connect_timeout": 1,
            "read_timeout": 1,
            "user_agent_extra": "remotejob",
        },
    ),
    "botocore.exceptions:ClientError": (({"Error": {}}, "GetItem"), {}),
    "botocore.exceptions:NoCredentialsError": ((), {}),
    "botocore.hooks:HierarchicalEmitter.emit_until_response": ((None, "before-send"), {}),
    "botocore.hooks:HierarchicalEmitter.register": (
        (None, "after-call", print),
        {"unique_id": "one"},
    ),
    "botocore.httpsession:get_cert_path": ((), {"verify": True}),
    "botocore.retries.quota:RetryQuota": ((), {}),
    "botocore.retries.standard:ExponentialBackoff": (
        (),
        {"service_name": "dynamodb", "throttling_detector": None},
    ),
    "botocore.retries.standard:ExponentialBackoff.delay_amount": ((None, "context"), {}),
    "botocore.retries.standard:OrRetryChecker": (([],), {}),
    "botocore.retries.standard:OrRetryChecker.is_retryable": ((None, "context"), {}),
    "botocore.retries.standard:RetryContext": (
        (),
        {
            "attempt_number": 1,
            "http_response": None,
            "parsed_response": None,
            "caught_exception": None,
            "request_context": {},
        },
    ),
    "botocore.retries.standard:RetryQuotaChecker": (("quota", "detector"), {}),
    "botocore.retries.standard:RetryQuotaChecker.acquire_retry_quota": ((None, "context"), {}),
    "botocore.retries.standard:RetryQuotaChecker.release_retry_quota": ((None, {}, "answer"), {}),
    "botocore.retries.standard:ThrottledRetryableChecker": ((), {}),
    "botocore.retries.standard:ThrottlingErrorDetector": ((None,), {}),
    "botocore.retries.standard:ThrottlingStatusCodeChecker": ((), {}),
    "botocore.retries.standard:TransientRetryableChecker": ((), {}),
    "botocore.session:Session": ((), {}),
    "botocore.session:Session.get_component": ((None, "event_emitter"), {}),
    "botocore.session:Session.get_config_variable": ((None, "region"), {}),
    "botocore.session:Session.get_credentials": ((None,), {}),
    "botocore.session:Session.get_default_client_config": ((None,), {}),
    "botocore.session:Session.get_partition_for_region": ((None, "eu-west-1"), {}),
    "botocore.session:Session.get_scoped_config": ((None,), {}),
    "botocore.session:Session.user_agent": ((None,), {}),
    "botocore.utils:ensure_boolean": (("true",), {}),
    "botocore.utils:get_environ_proxies": ((URL,), {}),
    "boto3:Session": ((), {"botocore_session": None, "region_name": "eu-west-1"}),
}
"""Each function and class we use, with arguments as we pass them."""

RAISED: Final = {
    "ConnectionClosedError": "HTTPClientError",
    "ConnectTimeoutError": "ConnectionError",
    "EndpointConnectionError": "ConnectionError",
    "ReadTimeoutError": "HTTPClientError",
    "SSLError": "ConnectionError",
}
"""The errors we raise for a failed connection, with the base class by which they are retried."""

CAUGHT: Final = (
    "BotoCoreError",
    "FlexibleChecksumError",
    "IncompleteReadError",
    "PartialCredentialsError",
    "ResponseStreamingError",
    "UnknownRegionError",
)


def found(name: str) -> Any:
    return pkgutil.resolve_name(name)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Session:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return Session()


@pytest.mark.parametrize("name", CALLS)
def test_function_takes_the_arguments_we_pass(name: str) -> None:
    arguments, keywords = CALLS[name]

    inspect.signature(found(name)).bind(*arguments, **keywords)


@pytest.mark.parametrize("name", RAISED)
def test_connection_error_is_built_and_retried_as_we_expect(name: str) -> None:
    error = found(f"botocore.exceptions:{name}")(endpoint_url=URL, error=OSError("why"))

    assert isinstance(error, found(f"botocore.exceptions:{RAISED[name]}"))
    assert isinstance(error, found("botocore.exceptions:BotoCoreError"))
    assert URL in str(error)
    assert found("botocore.retries.standard:TransientRetryableChecker")().is_retryable(
        context(error=error)
    )


@pytest.mark.parametrize("name", CAUGHT)
def test_error_we_catch_exists(name: str) -> None:
    assert issubclass(found(f"botocore.exceptions:{name}"), Exception)


# botocore.retries


def context(
    *, status: int = 400, code: str = "", attempt: int = 1, error: Exception | None = None
) -> Any:
    failed = error is not None
    return found("botocore.retries.standard:RetryContext")(
        attempt_number=attempt,
        http_response=None if failed else AWSResponse(URL, status, HTTPHeaders(), Raw()),
        parsed_response=None if failed else {"Error": {"Code": code}},
        caught_exception=error,
        request_context={},
    )


class Raw(BytesIO):
    def stream(self, **_: object) -> list[bytes]:
        return [self.getvalue()]


@pytest.mark.parametrize(
    ("checker", "retried"),
    [
        ("TransientRetryableChecker", {"status": 500}),
        ("TransientRetryableChecker", {"status": 503}),
        ("ThrottledRetryableChecker", {"code": "ThrottlingException"}),
        ("ThrottledRetryableChecker", {"code": "ProvisionedThroughputExceededException"}),
        ("ThrottlingStatusCodeChecker", {"status": 429}),
    ],
)
def test_retry_checker_needs_no_model(checker: str, retried: dict[str, Any]) -> None:
    checks = found(f"botocore.retries.standard:{checker}")()

    assert checks.is_retryable(context(**retried))
    assert not checks.is_retryable(context(code="ValidationException"))


def test_or_retry_checker_asks_each_checker() -> None:
    standard = "botocore.retries.standard:"
    either = found(f"{standard}OrRetryChecker")(
        [
            found(f"{standard}TransientRetryableChecker")(),
            found(f"{standard}ThrottledRetryableChecker")(),
        ]
    )

    assert either.is_retryable(context(status=500))
    assert either.is_retryable(context(code="ThrottlingException"))
    assert not either.is_retryable(context(code="ValidationException"))


def test_throttling_error_detector_works_without_an_event_adapter() -> None:
    detector = found("botocore.retries.standard:ThrottlingErrorDetector")(None)

    assert detector.is_throttling_error_from_context(context(code="ThrottlingException"))
    assert detector.is_throttling_error_from_context(context(status=429))
    assert not detector.is_throttling_error_from_context(context(status=500))


def test_exponential_backoff_doubles_and_waits_longer_when_throttled() -> None:
    standard = "botocore.retries.standard:"
    detector = found(f"{standard}ThrottlingErrorDetector")(None)
    backoff = found(f"{standard}ExponentialBackoff")(
        random=lambda: 1.0, service_name="sqs", throttling_detector=detector
    )

    failed = [backoff.delay_amount(context(status=500, attempt=number)) for number in (1, 2, 3)]
    throttled = backoff.delay_amount(context(code="ThrottlingException"))

    assert 0 < failed[0] <= 1
    assert failed == [failed[0], 2 * failed[0], 4 * failed[0]]
    assert failed[0] < throttled <= 20


def test_retry_quota_runs_out_and_comes_back() -> None:
    quota = found("botocore.retries.quota:RetryQuota")()
    checker = found("botocore.retries.standard:RetryQuotaChecker")(quota, None)
    tries = context(status=500)
    granted = 0
    while checker.acquire_retry_quota(tries):
        granted += 1
    left = quota.available_capacity

    # a success returns what its last retry took
    success = AWSResponse(URL, 200, HTTPHeaders(), Raw())
    checker.release_retry_quota(tries.request_context, success)

    assert 10 < granted < 1000
    assert quota.available_capacity > left
    assert checker.acquire_retry_quota(tries)


# botocore.session


def test_session_answers_what_account_asks(session: Session) -> None:
    variable = session.get_config_variable

    assert variable("region") == "eu-west-1"
    assert not variable("use_fips_endpoint")
    assert not variable("use_dualstack_endpoint")
    assert variable("ca_bundle") is None
    assert session.get_default_client_config() is None
    assert dict(session.get_scoped_config()) == {}
    assert session.get_partition_for_region("eu-west-1") == "aws"
    assert session.get_partition_for_region("cn-north-1") == "aws-cn"
    assert session.get_partition_for_region("us-gov-west-1") == "aws-us-gov"
    assert session.user_agent().startswith("Botocore/")


def test_unknown_region_raises_unknown_region_error(session: Session) -> None:
    with pytest.raises(found("botocore.exceptions:UnknownRegionError")):
        session.get_partition_for_region("xx-nowhere-1")


def test_frozen_credentials_have_the_names_that_the_signer_reads(session: Session) -> None:
    credentials: Any = session.get_credentials()

    frozen = credentials.get_frozen_credentials()

    assert (frozen.access_key, frozen.secret_key, frozen.token) == ("AKID", "secret", None)


def test_boto3_session_wraps_a_botocore_session(session: Session) -> None:
    assert boto3.Session(botocore_session=session)._session is session


def test_get_cert_path_is_a_file() -> None:
    assert Path(found("botocore.httpsession:get_cert_path")(verify=True)).is_file()


def test_ensure_boolean_reads_environment_values() -> None:
    ensure_boolean = found("botocore.utils:ensure_boolean")

    assert [ensure_boolean(value) for value in ("true", "TRUE", "false", "", "1")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_get_environ_proxies_reads_the_proxy_of_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    proxies = found("botocore.utils:get_environ_proxies")
    assert not proxies(URL)

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    assert proxies("http://aws.example/")["http"] == "http://127.0.0.1:3128"
    monkeypatch.setenv("NO_PROXY", "aws.example")
    assert not proxies("http://aws.example/")


# events

ASKED: Final[list[tuple[str, str, dict[str, str]]]] = [
    ("dynamodb", "ListTables", {}),
    ("sqs", "ListQueues", {}),
    ("s3", "ListBuckets", {}),
]


def answering(
    session: Session, seen: list[tuple[str, dict[str, Any]]], status: int = 200
) -> Callable[..., AWSResponse]:
    """Stand in for AWS, and record each event that we register for."""

    def note(event_name: str, **kwargs: Any) -> None:
        seen.append((event_name, kwargs))

    def answer(request: Any, event_name: str, **kwargs: Any) -> AWSResponse:
        seen.append((event_name, {"request": request, **kwargs}))
        return AWSResponse(request.url, status, HTTPHeaders(), Raw(b"{}"))

    events = session.get_component("event_emitter")
    events.register("provide-client-params", note)
    events.register("after-call", note)
    events.register("before-send", answer)
    return answer


@pytest.mark.parametrize(("service", "operation", "request_"), ASKED)
def test_client_emits_the_events_we_register_for(
    session: Session, service: str, operation: str, request_: dict[str, str]
) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []
    answering(session, seen, status=400)
    client = Account(boto3.Session(botocore_session=session)).client(service, DEFAULT_POLICY)
    assert client.meta.service_model.service_id.hyphenize() == service

    with pytest.raises(found("botocore.exceptions:ClientError")):
        getattr(client, found("botocore:xform_name")(operation))(**request_)

    events = dict(seen)
    place = f"{service}.{operation}"
    assert list(events) == [
        f"provide-client-params.{place}",
        f"before-send.{place}",
        (f"after-call.{place}"),
    ]
    asked, done = events[f"provide-client-params.{place}"], events[f"after-call.{place}"]
    assert asked["params"] == request_
    # what one handler leaves there, the other finds
    assert asked["context"] is done["context"]
    assert done["parsed"]["Error"].keys() >= {"Code", "Message"}
    assert (done["model"].service_model.signing_name, done["model"].name) == (service, operation)
    sent = events[f"before-send.{place}"]["request"]
    assert isinstance(sent, found("botocore.awsrequest:AWSPreparedRequest"))


@pytest.mark.parametrize("api", [DYNAMODB, SQS], ids=lambda api: api.service)
def test_direct_client_emits_before_send_as_the_boto3_client_does(
    session: Session, api: Api
) -> None:
    operation = "ListTables" if api is DYNAMODB else "ListQueues"
    seen: list[tuple[str, dict[str, Any]]] = []
    answering(session, seen)
    account = Account(boto3.Session(botocore_session=session))

    account.service(api, clock=FakeClock()).call(operation, {})
    client = account.client(api.service, DEFAULT_POLICY)
    getattr(client, found("botocore:xform_name")(operation))()

    direct, boto = [
        (name, kwargs["request"]) for name, kwargs in seen if name.startswith("before-send")
    ]
    assert direct[0] == boto[0]
    assert type(direct[1]) is type(boto[1])
    assert (direct[1].method, direct[1].url) == (boto[1].method, boto[1].url)


def test_before_send_handler_can_be_put_first_and_taken_away() -> None:
    events = found("botocore.hooks:HierarchicalEmitter")()
    events.register("before-send", lambda **_: "second")
    events.register_first("before-send", first := lambda **_: "first", unique_id="faults")

    assert events.emit_until_response("before-send.sqs.ListQueues")[1] == "first"
    events.unregister("before-send", first, unique_id="faults")
    assert events.emit_until_response("before-send.sqs.ListQueues")[1] == "second"


# pyproject.toml


def declared(name: str) -> Requirement:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        dependencies = tomllib.load(file)["project"]["dependencies"]
    (requirement,) = (one for one in map(Requirement, dependencies) if one.name == name)
    return requirement


def test_botocore_bound_admits_the_installed_version_and_no_untested_minor() -> None:
    bound, installed = declared("botocore").specifier, Version(version("botocore"))

    assert installed in bound
    assert f"{installed.major}.{installed.minor}.999" in bound
    for untested in (f"{installed.major}.{installed.minor + 1}.0", f"{installed.major + 1}.0.0"):
        assert untested not in bound, f"botocore {untested} has not been tested"


def test_boto3_bound_admits_the_installed_version_and_no_next_major() -> None:
    bound, installed = declared("boto3").specifier, Version(version("boto3"))

    assert installed in bound
    assert f"{installed.major + 1}.0.0" not in bound


@pytest.mark.parametrize("file", ["dev.txt", "functions.txt", "worker.txt"])
def test_locked_botocore_is_the_tested_one(file: str) -> None:
    text = (PROJECT / "requirements" / file).read_text()
    (locked,) = re.findall(r"^botocore==(\S+)", text, re.MULTILINE)

    assert locked == version("botocore")
