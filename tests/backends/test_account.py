"""How services are asked: directly where that is plain, by boto3's clients where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

from remotejob import SettingsError
from remotejob.backends.aws.account import Account
from remotejob.backends.aws.direct.json_service import DirectService
from remotejob.backends.aws.direct.objects import DirectObjects
from remotejob.backends.aws.service import DYNAMODB, SQS, Boto3Service, Service
from remotejob.names import Env
from remotejob.testing import FakeClock


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_DYNAMODB",
        Env.TRANSPORT,
        "AWS_ENDPOINT_URL_S3",
        "AWS_ACCOUNT_ID",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


def asked() -> Service:
    return Account().service(DYNAMODB, clock=FakeClock())


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-west-1", "https://dynamodb.eu-west-1.amazonaws.com/"),
        ("us-gov-west-1", "https://dynamodb.us-gov-west-1.amazonaws.com/"),
        ("cn-north-1", "https://dynamodb.cn-north-1.amazonaws.com.cn/"),
    ],
)
def test_a_plain_region_is_asked_directly_where_boto3_would_ask(
    monkeypatch: pytest.MonkeyPatch, region: str, url: str
) -> None:
    monkeypatch.setenv("AWS_REGION", region)

    service = asked()

    assert isinstance(service, DirectService)
    assert service.url == url
    client = boto3.client("dynamodb", region_name=region)
    assert client.meta.endpoint_url == url.rstrip("/")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"])
def test_an_endpoint_of_the_environment_is_asked_directly(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv(name, "http://127.0.0.1:5000")

    service = asked()

    assert isinstance(service, DirectService)
    assert service.url == "http://127.0.0.1:5000/"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "http://127.0.0.1:3128"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ("AWS_REGION", "xx-nowhere-1"),
        (Env.TRANSPORT, "boto3"),
    ],
)
def test_what_only_boto3_knows_how_to_follow_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    assert isinstance(asked(), Boto3Service)


def test_an_endpoint_of_the_profile_is_left_to_boto3(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://127.0.0.1:5000\n")

    assert isinstance(asked(), Boto3Service)


def test_a_session_with_a_configuration_of_its_own_is_left_to_boto3() -> None:
    session = boto3.Session(region_name="eu-west-1")
    # boto3 has no name for it: what is within does
    session._session.set_default_client_config(Config(proxies={"https": "http://127.0.0.1:3128"}))
    account = Account(session)

    assert isinstance(account.service(SQS, clock=FakeClock()), Boto3Service)
    assert account.objects(["bucket"], clock=FakeClock()) is None


def objects() -> DirectObjects | None:
    return Account().objects(["bucket"], clock=FakeClock())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "http://127.0.0.1:3128"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_REGION", "xx-nowhere-1"),
        # its buckets are hosts of their own, or are not
        ("AWS_ENDPOINT_URL_S3", "http://storage.example:9000"),
        (Env.TRANSPORT, "boto3"),
    ],
)
def test_files_that_only_boto3_knows_how_to_ask_for_are_left_to_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert objects() is not None
    monkeypatch.setenv(name, value)

    assert objects() is None


def test_files_are_left_to_boto3_where_the_profile_says_how_s3_is_asked(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\ns3 =\n  addressing_style = path\n")

    assert objects() is None


def test_a_bucket_whose_name_no_certificate_covers_is_left_to_boto3() -> None:
    session = boto3.Session(region_name="eu-west-1")
    events: Any = session.events
    asked: list[str] = []

    def refuse(request: Any, **_: object) -> AWSResponse:
        asked.append(request.url)
        return AWSResponse(request.url, 503, HTTPHeaders(), BytesIO())

    events.register("before-send", refuse)
    direct = Account(session).objects(["a.bucket", "a-bucket"], clock=FakeClock())
    assert direct is not None
    for bucket in ("a.bucket", "a-bucket"):
        direct.put(bucket, "key", b"", content_type=None, metadata={})

    assert asked == ["https://a-bucket.s3.eu-west-1.amazonaws.com/key"]


def test_a_session_that_is_given_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    session = boto3.Session(region_name="eu-central-1")

    service = Account(session).service(DYNAMODB, clock=FakeClock())

    assert isinstance(service, DirectService)
    assert "eu-central-1" in service.url


def test_another_transport_is_refused_with_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(Env.TRANSPORT, "carrier pigeon")

    with pytest.raises(SettingsError, match=r"carrier pigeon.*direct.*boto3"):
        asked()


def boto3_asks(region: str) -> str:
    """Where boto3's client sends a request, without the path."""
    urls: list[str] = []

    def note(request: Any, **_: object) -> AWSResponse:
        urls.append(request.url)
        return AWSResponse(request.url, 200, HTTPHeaders(), Body(b"{}"))

    # not boto3's own session, which keeps the credentials of an earlier test
    client = boto3.Session().client("dynamodb", region_name=region)
    events: Any = client.meta.events
    events.register_first("before-send", note)
    client.list_tables()
    return urls[0]


class Body(BytesIO):
    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.getvalue()


@pytest.mark.parametrize("region", ["eu-west-1", "us-gov-west-1", "cn-north-1"])
@pytest.mark.parametrize(
    ("mode", "account"),
    [
        (None, "123456789012"),
        ("preferred", "123456789012"),
        ("PREFERRED", None),
        ("required", "123456789012"),
        ("disabled", "123456789012"),
    ],
)
def test_an_account_has_its_own_endpoint_where_boto3_would_ask_it(
    monkeypatch: pytest.MonkeyPatch, region: str, mode: str | None, account: str | None
) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    if account is not None:
        monkeypatch.setenv("AWS_ACCOUNT_ID", account)
    if mode is not None:
        monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", mode)

    service = asked()

    assert isinstance(service, DirectService)
    assert service.url == boto3_asks(region)
    assert (account or "none") in service.url or mode in ("disabled", "PREFERRED")


def test_boto3_explains_an_account_endpoint_without_an_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "required")

    assert isinstance(asked(), Boto3Service)


def test_an_unknown_mode_of_account_endpoints_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "sometimes")

    with pytest.raises(SettingsError, match=r"'sometimes': use preferred, required, disabled"):
        asked()


def test_boto3s_client_retries_while_kms_throttles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(Env.TRANSPORT, "boto3")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    throttled = b'{"__type": "com.amazonaws.sqs#KmsThrottled", "message": "why"}'
    answers = [(400, throttled)] * 3 + [(200, b"{}")]
    session = boto3.Session(region_name="eu-west-1")

    def answer(request: Any, **_: object) -> AWSResponse:
        status, body = answers.pop(0)
        return AWSResponse(request.url, status, HTTPHeaders(), Body(body))

    events: Any = session.events
    events.register("before-send", answer)
    service = Account(session).service(SQS, clock=FakeClock())

    assert isinstance(service, Boto3Service)
    service.call("ListQueues", {})
    assert not answers
