"""Who may not ask reads nothing, makes us read nothing, and is not taken for somebody else."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from remotejob.local.http_body import Body, TimedInput
from tests.local.hostile import SECRET, House, Sent

WHO: Final = "Action=GetCallerIdentity&Version=2011-06-15"

UNSIGNED: Final = [
    ("GET", "/"),
    ("GET", "/house/allowed/file"),
    ("POST", "/moto-api/reset"),
    ("GET", "/moto-api/data.json"),
    ("GET", "/%6doto-api/data.json"),
    ("GET", "/./moto-api/data.json"),
    ("GET", "//moto-api/data.json"),
    ("GET", "/latest/meta-data/iam/security-credentials/"),
    ("GET", "/favicon.ico"),
    ("GET", "/2015-03-31/functions"),
    ("GET", "/sts_eu-west-1/x?Action=GetCallerIdentity"),
    ("OPTIONS", "/house/allowed/file"),
    ("PUT", "/cloudformation_evil"),
    ("GET", "/cloudformation_eu-west-1/cfnresponse"),
    ("PUT", "/cloudformation_eu-west-1/cfnresponse?stack=x"),
    ("PUT", "/cloudformation_eu-west-1/../house/new"),
    ("GET", "/_remotejob/requests"),
    ("POST", "/_remotejob/workers"),
    ("GET", "/_remotejob/../house/allowed/file"),
    ("PUT", "/_remotejob/custom-resources/"),
    ("PUT", "/_remotejob/custom-resources/x"),
    ("GET", "/_remotejob/credentials/"),
]


@pytest.fixture(scope="module", autouse=True)
def untouched(house: House) -> Iterator[None]:
    """None of the tricks has changed anything."""
    before = house.guarded()
    yield
    assert house.guarded() == before


@pytest.mark.parametrize(("method", "target"), UNSIGNED)
@pytest.mark.parametrize("authorization", [None, "unverified", "Bearer x", ""])
def test_nothing_answers_without_a_signature(
    house: House, method: str, target: str, authorization: str | None
) -> None:
    if authorization == "unverified":
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={house.administrator.access_key}/20260101/eu-west-1/s3/"
            "aws4_request, SignedHeaders=host, Signature=00"
        )
    headers = [] if authorization is None else [("Authorization", authorization)]
    headers += [("Origin", "https://evil.example"), ("x-amz-copy-source", "/house/secret/file")]

    answer = house.send(Sent(method=method, target=target, headers=headers))

    assert 400 <= answer.status < 500
    assert SECRET not in answer.body
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "house.s3.amazonaws.com",
        "house.localhost:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1:{port}.evil.example",
        "127.0.0.2:{port}", "[::1]:{port}", "iam.amazonaws.com", "x.lambda-url.eu-west-1.on.aws",
        "user@127.0.0.1:{port}", "127.0.0.1:{port},evil.example", "127.1:{port}", "",
        "s3-control.localhost:{port}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["/house/allowed/file", "/_remotejob/requests"])
def test_another_host_is_refused_whoever_signs(house: House, host: str, target: str) -> None:
    named = host.format(port=house.port)
    request = house.signed(house.administrator, "s3", "GET", target, host=named)

    assert house.send(request, host=named or " ").status in (400, 421)


def test_both_names_of_this_machine_are_answered(house: House) -> None:
    for host in (f"127.0.0.1:{house.port}", f"localhost:{house.port}", f"LOCALHOST:{house.port}"):
        request = house.signed(house.nobody, "sts", "GET", f"/?{WHO}", host=host)
        assert house.send(request, host=host).status == 200


def test_host_must_be_signed(house: House) -> None:
    request = house.signed(house.nobody, "sts", "GET", f"/?{WHO}")
    request.headers = [(n, v.replace("host;", "")) for n, v in request.headers]

    assert house.send(request).status == 403


HEADS: Final[dict[str, list[bytes]]] = {
    "a length twice": [b"Content-Length: 0", b"Content-Length: 0"],
    "two lengths": [b"Content-Length: 0", b"Content-Length: 5"],
    "a length of two": [b"Content-Length: 0, 0"],
    "a negative length": [b"Content-Length: -1"],
    "a length with a sign": [b"Content-Length: +0"],
    "a length with an underscore": [b"Content-Length: 0_0"],
    "a hexadecimal length": [b"Content-Length: 0x0"],
    "no length": [b"Content-Length:"],
    "an absurd length": [b"Content-Length: " + b"9" * 30],
    "chunks": [b"Transfer-Encoding: chunked"],
    "chunks and a length": [b"Content-Length: 0", b"Transfer-Encoding: chunked"],
    "chunks and more": [b"Transfer-Encoding: gzip, chunked"],
    "chunks spelt oddly": [b"Transfer-Encoding: \x0bchunked"],
    "a header twice": [b"X-A: 1", b"x-a: 2"],
    "a date twice": [b"X-Amz-Date: 20260101T000000Z"],
    "a target with underscores": [b"X_Amz_Target: x.y"],
    "a host with an underscore": [b"X-Forwarded_Host: x"],
    "metadata that folds": [b"x-amz-meta-a_b: 1", b"x-amz-meta-a-b: 2"],
    "a folded header": [b"X-A: 1", b" Content-Length: 5"],
    "a space before a colon": [b"Content-Length : 0"],
    "a header without a colon": [b"Content-Length 0"],
    "a header without a name": [b": 0"],
    "a null": [b"X-A: a\0b"],
    "a control character": [b"X-A: a\x01b"],
    "many headers": [b"X-%d: 1" % n for n in range(200)],
    "a long header": [b"X-A: " + b"x" * 70_000],
    "long headers": [b"X-%d: " % n + b"x" * 9000 for n in range(9)],
}


@pytest.mark.parametrize("lines", HEADS.values(), ids=HEADS)
def test_head_that_could_be_read_in_two_ways_is_refused(house: House, lines: list[bytes]) -> None:
    request = house.signed(house.nobody, "sts", "GET", f"/?{WHO}")
    assert house.raw(request, []).status == 200

    answer = house.raw(request, lines)

    assert answer.status in (400, 411, 431)
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example/house/allowed/file", "*", "house/allowed/file", "//house/allowed/file",
        "/house/allowed/file#x", "/house/allowed/é", "/house/allowed/\x7f", "/house/a\tb",
    ],
)  # fmt: skip
def test_target_that_is_no_path_is_refused(house: House, target: str) -> None:
    request = house.signed(house.administrator, "s3", "GET", "/house/allowed/file")
    request.target = target

    assert house.raw(request, []).status in (400, 404)


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "http/1.1", ""])
def test_another_version_of_http_is_refused(house: House, version: str) -> None:
    sent = house.signed(house.nobody, "sts", "GET", f"/?{WHO}")
    lines = [f"GET {sent.target} {version}", f"Host: {house.host}:{house.port}"]
    lines += [f"{name}: {value}" for name, value in sent.headers]

    assert b" 200" not in first_line(house, "\r\n".join(lines))


def test_content_that_was_not_read_is_not_the_next_request(house: House) -> None:
    with socket.create_connection((house.host, house.port), timeout=20) as connection:
        hidden = f"GET /?{WHO} HTTP/1.1\r\nHost: {house.host}:{house.port}\r\n\r\n".encode()
        head = f"POST / HTTP/1.1\r\nHost: {house.host}:{house.port}\r\n"
        head += f"Content-Length: {len(hidden)}\r\n\r\n"
        connection.sendall(head.encode() + hidden)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()

        assert answer.status == 403
        assert connection.recv(1) == b""


# --- time ----------------------------------------------------------------------------------------


def at(monkeypatch: pytest.MonkeyPatch, moved: timedelta) -> None:
    """Let the signer's clock be wrong."""
    moment = datetime.now(UTC) + moved

    def now(remove_tzinfo: bool = True) -> datetime:  # noqa: FBT001, FBT002 (botocore's)
        return moment.replace(tzinfo=None) if remove_tzinfo else moment

    monkeypatch.setattr("botocore.auth.get_current_datetime", now)


@pytest.mark.parametrize("minutes", [-16, 16, -100_000, 100_000])
def test_signature_of_another_time_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    at(monkeypatch, timedelta(minutes=minutes))

    assert house.send(house.signed(house.nobody, "sts", "GET", f"/?{WHO}")).status == 403


@pytest.mark.parametrize("minutes", [-14, 14])
def test_clock_that_is_a_little_wrong_is_accepted(
    house: House, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    at(monkeypatch, timedelta(minutes=minutes))

    assert house.send(house.signed(house.nobody, "sts", "GET", f"/?{WHO}")).status == 200


@pytest.mark.parametrize(("minutes", "status"), [(-9, 200), (-11, 403), (16, 403)])
def test_presigned_url_ends_with_its_time(
    house: House, monkeypatch: pytest.MonkeyPatch, minutes: int, status: int
) -> None:
    at(monkeypatch, timedelta(minutes=minutes))
    sent = house.presigned(house.limited, "s3", target="/house/allowed/file", expires=600)

    assert house.send(sent).status == status


Change = Callable[[Sent], None]


def query(old: str, new: str) -> Change:
    def change(sent: Sent) -> None:
        assert old in sent.target
        sent.target = sent.target.replace(old, new)

    return change


def header(name: str, value: str) -> Change:
    return lambda sent: sent.headers.append((name, value))


PRESIGNED: Final[dict[str, Change]] = {
    "a longer life": query("X-Amz-Expires=60", "X-Amz-Expires=600"),
    "a life beyond a week": query("X-Amz-Expires=60", "X-Amz-Expires=604801"),
    "no life": query("X-Amz-Expires=60", "X-Amz-Expires=0"),
    "a negative life": query("X-Amz-Expires=60", "X-Amz-Expires=-60"),
    "an odd life": query("X-Amz-Expires=60", "X-Amz-Expires=6e1"),
    "no end": query("&X-Amz-Expires=60", ""),
    "two lives": query("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=600"),
    "another case": query("X-Amz-Expires=60", "x-amz-expires=60"),
    "two cases": query("X-Amz-Expires=60", "X-Amz-Expires=60&x-amz-expires=600"),
    "another algorithm": query("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
    "another key": query("/allowed/file", "/secret/file"),
    "another service": query("%2Fs3%2F", "%2Fsts%2F"),
    "another part": query("/allowed/file?", "/allowed/file?acl&"),
    "an old signature": query("X-Amz-Expires=60", "X-Amz-Expires=60&AWSAccessKeyId=x&Signature=x"),
    "an unknown parameter": query("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Acl=public-read"),
    "a header that is not signed": header("x-amz-acl", "public-read"),
    "a token that is not signed": header("x-amz-security-token", "x"),
    "a second signature": header("Authorization", "AWS4-HMAC-SHA256 Credential=x"),
    "no signed headers": query("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders="),
    "a signed header that is not there": query("=host", "=host%3Bx-a"),
    "signed headers out of order": query("=host", "=x-a%3Bhost"),
    "a signed header twice": query("=host", "=host%3Bhost"),
}


@pytest.mark.parametrize("change", PRESIGNED.values(), ids=PRESIGNED)
def test_presigned_url_that_was_changed_is_refused(house: House, change: Change) -> None:
    sent = house.presigned(house.administrator, "s3", target="/house/allowed/file")
    assert house.send(sent).status == 200
    change(sent)

    answer = house.send(sent)

    assert answer.status in (400, 403)
    assert SECRET not in answer.body


# --- content -------------------------------------------------------------------------------------


def first_line(house: House, head: str, body: bytes = b"") -> bytes:
    with socket.create_connection((house.host, house.port), timeout=20) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n")
        connection.sendall(body)
        return connection.recv(100).partition(b"\r\n")[0]


@pytest.mark.parametrize("target", ["/", "/house/new", "/cloudformation_x", "/_remotejob/x"])
@pytest.mark.parametrize(("length", "status"), [(99_999_999_999, b"413"), (1 << 32, b"403")])
def test_content_of_who_may_not_ask_is_not_read(
    house: House, target: str, length: int, status: bytes
) -> None:
    head = f"POST {target} HTTP/1.1\r\nHost: {house.host}:{house.port}\r\nContent-Length: {length}"

    # the answer comes although most of the content never does
    line = first_line(house, head, b"x" * 100_000)

    assert (b"413" if target.startswith("/_remotejob/") else status) in line


@pytest.mark.parametrize("service", ["sts", "dynamodb", "lambda"])
def test_content_beyond_a_services_bound_is_not_read_even_from_a_known_key(
    house: House, service: str
) -> None:
    sent = {
        "sts": house.form(house.nobody, "sts", WHO),
        "dynamodb": house.json(house.nobody, "dynamodb", "DynamoDB_20120810.GetItem", {}),
        "lambda": house.signed(
            house.nobody, "lambda", "POST", "/2015-03-31/functions/x/invocations"
        ),
    }[service]
    head = [f"POST {sent.target} HTTP/1.1", f"Host: {house.host}:{house.port}"]
    head += [f"{name}: {value}" for name, value in sent.headers]

    assert b"413" in first_line(house, "\r\n".join([*head, f"Content-Length: {200 << 20}"]))


def test_object_of_a_wrong_signature_is_refused_before_it_is_sent(house: House) -> None:
    sent = house.signed(house.nobody, "s3", "PUT", "/house/allowed/new", payload="0" * 64)
    headers = [(n, v[:-4] + "0000" if n == "Authorization" else v) for n, v in sent.headers]
    head = [f"PUT {sent.target} HTTP/1.1", f"Host: {house.host}:{house.port}"]
    head += [f"{name}: {value}" for name, value in headers]
    head += ["Expect: 100-continue", "Content-Length: 1000000000"]

    assert b" 403 " in first_line(house, "\r\n".join(head))


def test_large_object_is_stored(house: House) -> None:
    content = os.urandom(1 << 20) * 9
    s3 = house.aws.client("s3")
    s3.put_object(Bucket="house", Key="allowed/large", Body=content)

    assert s3.get_object(Bucket="house", Key="allowed/large")["Body"].read() == content
    s3.delete_object(Bucket="house", Key="allowed/large")


def test_client_that_is_too_slow_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timed = TimedInput(ours)
        timed.within(-1)
        theirs.sendall(b"late")
        with pytest.raises(TimeoutError):
            timed.readinto(bytearray(4))
        timed.within(60)

        assert timed.readinto(bytearray(4)) == 4


def test_each_piece_of_content_has_a_time_of_its_own(tmp_path: Any) -> None:
    content = b"x" * (5 << 19)
    (tmp_path / "content").write_bytes(content)
    asked = []
    with (tmp_path / "content").open("rb") as stream:
        body = Body(stream, len(content), before_piece=lambda: asked.append(time.monotonic()))
        states = [(body.unread, len(asked))]
        assert body.read() == body.read() == content
        states.append((body.unread, len(asked)))

    assert states == [(True, 0), (False, 3)]
    with (tmp_path / "content").open("rb") as stream, pytest.raises(ConnectionError, match="early"):
        Body(stream, len(content) + 1, before_piece=lambda: None).read()
