"""Functions run from their deployed code alone, with their role, and fail as Lambda says."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Literal

import pytest
from botocore.exceptions import ClientError

from remotejob.local.embedded import EmbeddedAws
from remotejob.local.errors import FunctionFailed
from tests.local.helpers import physical

Received = Callable[..., list[dict[str, Any]]]


def describe(aws: EmbeddedAws) -> Any:
    return aws.invoke("Functions/Direct", {"do": "describe"})


def test_function_sees_its_code_and_the_standard_library_only(aws: EmbeddedAws) -> None:
    described = describe(aws)
    assert not described["boto3"]
    assert not any("site-packages" in path for path in described["path"])


def test_environment_is_that_of_the_template_and_of_lambda(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "x")
    environment = describe(aws)["environment"]
    name = physical(aws, "Lambda::Function", "Functions/Direct")
    assert environment["TABLE"] == physical(aws, "DynamoDB::Table", "Table")
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["_HANDLER"] == "handlers.direct"
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == aws.region
    assert environment["TZ"] == ":UTC"
    assert environment["AWS_SESSION_TOKEN"]
    assert "SECRET_OF_THE_CALLER" not in environment


def test_context_is_that_of_lambda(aws: EmbeddedAws) -> None:
    context = describe(aws)["context"]
    name = physical(aws, "Lambda::Function", "Functions/Direct")
    assert context["function_name"] == name
    assert context["memory_limit_in_mb"] == "256"
    assert context["log_group_name"] == f"/aws/lambda/{name}"
    assert context["invoked_function_arn"].endswith(f":function:{name}")
    assert 0 < context["remaining_ms"] <= 1000


def test_process_stays_warm_between_invocations(aws: EmbeddedAws) -> None:
    first, second = describe(aws), describe(aws)
    assert first["pid"] == second["pid"]
    assert second["calls"] == first["calls"] + 1


def test_calls_are_made_with_the_permissions_of_the_role(
    aws: EmbeddedAws, results: Received
) -> None:
    mark = uuid.uuid4().hex
    assert "MessageId" in aws.invoke("Functions/Direct", {"do": "send", "body": mark})
    assert results(lambda body: body.get("sent") == mark)
    assert aws.invoke("Functions/Direct", {"do": "put", "pk": mark}) == {}
    denied = aws.invoke("Functions/Direct", {"do": "get", "pk": mark})
    assert denied["__type"] == "AccessDeniedException"
    assert "dynamodb:GetItem" in denied["message"]


def test_exception_is_reported_as_lambda_does(aws: EmbeddedAws) -> None:
    with pytest.raises(FunctionFailed) as failed:
        aws.invoke("Functions/Direct", {"do": "raise"})
    assert failed.value.payload["errorType"] == "ValueError"
    assert failed.value.payload["errorMessage"] == "no such thing: ünïcode"
    assert any("handlers.py" in line for line in failed.value.payload["stackTrace"])


def test_crash_is_reported_and_the_next_invocation_works(aws: EmbeddedAws) -> None:
    with pytest.raises(FunctionFailed) as failed:
        aws.invoke("Functions/Direct", {"do": "exit"})
    assert failed.value.payload["errorType"] == "Runtime.ExitError"
    assert "exit status 7" in failed.value.payload["errorMessage"]
    assert aws.invoke("Functions/Direct", {"do": "nothing"}) == "nothing"


def test_timeout_ends_the_process_and_the_next_invocation_works(aws: EmbeddedAws) -> None:
    began = time.monotonic()
    with pytest.raises(FunctionFailed) as failed:
        aws.invoke("Functions/Direct", {"do": "sleep", "seconds": 30})
    assert time.monotonic() - began < 25, "it did not sleep to the end"
    assert "timed out after 1.00 seconds" in failed.value.payload["errorMessage"]
    assert aws.invoke("Functions/Direct", {"do": "nothing"}) == "nothing"


@pytest.mark.parametrize("payload", [b"{", b"no JSON"])
@pytest.mark.parametrize("kind", ["RequestResponse", "Event"])
def test_payload_that_is_no_json_is_refused_as_lambda_does(
    aws: EmbeddedAws, kind: Literal["RequestResponse", "Event"], payload: bytes
) -> None:
    name = physical(aws, "Lambda::Function", "Functions/Direct")

    with pytest.raises(ClientError) as refused:
        aws.client("lambda").invoke(FunctionName=name, InvocationType=kind, Payload=payload)

    answer = refused.value.response
    assert answer["Error"]["Code"] == "InvalidRequestContentException"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_error_of_the_function_is_marked_unhandled(aws: EmbeddedAws) -> None:
    name = physical(aws, "Lambda::Function", "Functions/Direct")
    answer = aws.client("lambda").invoke(FunctionName=name, Payload=b'{"do": "raise"}')
    with answer["Payload"] as payload:
        payload.read()
    assert answer["FunctionError"] == "Unhandled"
    assert answer["StatusCode"] == 200


def test_asynchronous_invocation_does_not_wait(aws: EmbeddedAws, results: Received) -> None:
    mark = uuid.uuid4().hex
    answer = aws.client("lambda").invoke(
        FunctionName=physical(aws, "Lambda::Function", "Functions/Direct"),
        InvocationType="Event",
        Payload=json.dumps({"do": "send", "body": mark}),
    )
    answer["Payload"].close()
    assert answer["StatusCode"] == 202
    assert results(lambda body: body.get("sent") == mark)


def test_two_invocations_run_side_by_side(aws: EmbeddedAws) -> None:
    pids: list[int] = []

    def invoke() -> None:
        aws.invoke("Functions/Direct", {"do": "sleep", "seconds": 0.5})
        pids.append(1)

    threads = [threading.Thread(target=invoke) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 2


def test_lines_that_a_function_prints_are_in_its_log(aws: EmbeddedAws) -> None:
    mark = uuid.uuid4().hex
    aws.invoke("Functions/Direct", {"do": mark})
    log = aws.logs / f"{physical(aws, 'Lambda::Function', 'Functions/Direct')}.log"
    assert f"doing {mark}" in log.read_text().splitlines()


def test_function_that_cannot_be_imported_says_so(aws: EmbeddedAws) -> None:
    client = aws.client("lambda")
    source = client.get_function(FunctionName=physical(aws, "Lambda::Function", "Functions/Direct"))
    role = source["Configuration"]["Role"]
    client.create_function(
        FunctionName="broken",
        Runtime="python3.13",
        Role=role,
        Handler="absent.handler",
        Code={"ZipFile": _empty_zip()},
    )
    with pytest.raises(FunctionFailed) as failed:
        aws.invoke(f"arn:aws:lambda:{aws.region}:{aws.deployment.account}:function:broken")
    assert failed.value.payload["errorType"] == "ModuleNotFoundError"


def test_role_that_does_not_trust_lambda_is_refused(aws: EmbeddedAws) -> None:
    role = aws.client("iam").get_role(RoleName="Nobody")["Role"]["Arn"]
    aws.client("lambda").create_function(
        FunctionName="untrusted",
        Runtime="python3.13",
        Role=role,
        Handler="handlers.direct",
        Code={"ZipFile": _empty_zip()},
    )
    with pytest.raises(FunctionFailed, match=r"lambda\.amazonaws\.com may not assume"):
        aws.invoke(f"arn:aws:lambda:{aws.region}:{aws.deployment.account}:function:untrusted")


def test_process_of_a_function_is_not_ours(aws: EmbeddedAws) -> None:
    assert describe(aws)["pid"] != os.getpid()


def _empty_zip() -> bytes:
    return b"PK\x05\x06" + b"\0" * 18
