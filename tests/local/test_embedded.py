"""The embedded AWS starts, deploys, says what is wrong, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from remotejob.local.embedded import EmbeddedAws
from remotejob.local.errors import DeploymentFailed, InvalidAssembly, UnknownResource
from tests.local.helpers import SAMPLE, physical
from tests.sampling import some

ROOT = Path(__file__).parents[2]

#: Deploys, starts a function and a worker, tells their process ids, and waits.
PROGRAM = """
import json, signal, sys
from pathlib import Path
from remotejob.local.embedded import EmbeddedAws
# a shell starts what runs in the background with Ctrl-C ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
folder, state, worker = (Path(a) for a in sys.argv[1:])
with EmbeddedAws.for_assembly(folder, state=state) as aws:
    aws.deploy(folder)
    function = aws.invoke("Functions/Direct", {"do": "describe"})["pid"]
    pids = [function, aws.start_worker(directory=worker).pid, aws._process.pid]
    print(json.dumps(pids), flush=True)
    sys.stdin.read()
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that nobody has waited for yet is dead all the same.
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def gone(pids: list[int], within_s: float = 10) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("how", some([signal.SIGKILL, signal.SIGINT, None], every=3))
def test_no_process_is_left_however_the_caller_ends(
    cloud_assembly: Path, tmp_path: Path, how: signal.Signals | None
) -> None:
    arguments = [str(cloud_assembly), str(tmp_path), str(SAMPLE / "worker")]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as caller:
        assert caller.stdin is not None
        assert caller.stdout is not None
        pids = json.loads(caller.stdout.readline())
        assert all(alive(pid) for pid in pids)
        if how is None:
            caller.stdin.close()
        else:
            caller.send_signal(how)
        caller.wait(20)
        assert gone(pids)


def test_server_ends_on_sigterm(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "remotejob.local.server", "--state", str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdout is not None
        assert json.loads(server.stdout.readline())["endpoint_url"].startswith("http://127.0.0.1:")
        server.terminate()
        assert server.wait(10) == 0


def test_only_the_loopback_is_listened_on(aws: EmbeddedAws) -> None:
    port = int(aws.endpoint_url.rpartition(":")[2])
    addresses = {a[4][0] for a in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
    for address in addresses - {"127.0.0.1", "127.0.1.1"}:
        with socket.socket() as probe:
            assert probe.connect_ex((address, port)) != 0


def test_callers_settings_do_not_lead_clients_elsewhere(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch, cloud_assembly: Path
) -> None:
    for name, value in {
        "AWS_PROFILE": "absent",
        "AWS_ENDPOINT_URL": "http://elsewhere.invalid",
        "AWS_ENDPOINT_URL_SQS": "http://elsewhere.invalid",
        "AWS_CA_BUNDLE": "/nowhere",
        "HTTP_PROXY": "http://proxy.invalid:1",
        "http_proxy": "http://proxy.invalid:1",
        "AWS_REGION": "us-west-2",
    }.items():
        monkeypatch.setenv(name, value)
    with EmbeddedAws() as other:
        assert other.client("sqs").list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert other.requests() == {("sqs", "ListQueues", "administrator"): 1}


def test_exported_environment_is_enough_for_an_sdk(aws: EmbeddedAws) -> None:
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    environment = {"PATH": os.environ["PATH"], **aws.environment()}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert shown.stdout.strip() == f"arn:aws:iam::{aws.deployment.account}:user/administrator"


def test_versioning_of_the_template_is_on(aws: EmbeddedAws) -> None:
    bucket = physical(aws, "S3::Bucket", "Storage/Uploads")
    assert aws.client("s3").get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_resource_is_found_by_path_or_id_and_named_when_it_is_not(aws: EmbeddedAws) -> None:
    found = aws.deployment.one("AWS::Lambda::Function", "consumer")
    assert found == aws.deployment.one("AWS::Lambda::Function", found.logical_id)
    assert found == aws.deployment.one("AWS::Lambda::Function", found.physical_id)
    with pytest.raises(UnknownResource, match="Functions/Consumer"):
        aws.deployment.one("AWS::Lambda::Function", "absent")


def test_moto_cannot_be_reset_from_outside(aws: EmbeddedAws) -> None:
    import urllib.error
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for path in ("/moto-api/reset", "/_remotejob/requests"):
        with pytest.raises(urllib.error.HTTPError, match=r"40[34]") as refused:
            opener.open(aws.endpoint_url + path, data=b"")
        refused.value.close()


def test_folder_without_an_assembly_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidAssembly, match="synthesize"):
        EmbeddedAws.for_assembly(tmp_path)


def test_stack_that_fails_is_named_with_its_reason(cloud_assembly: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(cloud_assembly, broken)
    template = broken / "Functions.template.json"
    document = json.loads(template.read_text())
    for resource in document["Resources"].values():
        if resource["Type"] == "AWS::IAM::Policy":
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                statement["Action"] = "sqs:GetQueueUrl"
    template.write_text(json.dumps(document))
    with (
        EmbeddedAws.for_assembly(broken) as other,
        pytest.raises(DeploymentFailed, match=r"stack Functions .* lacks sqs:ReceiveMessage"),
    ):
        other.deploy(broken)
