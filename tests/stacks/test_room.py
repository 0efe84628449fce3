"""Settings that make a policy or a rule longer than AWS takes are refused at synth."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from remotejob.cdk import RemoteJobApp, RemoteJobSystem
from remotejob.domain.errors import SettingsError
from tests.stacks.conftest import DEFAULTS, SETTINGS, Synthesize
from tests.stacks.own_apps import IMAGE, PROJECT


def test_prefixes_that_no_policy_has_room_for_are_refused(synthesize: Synthesize) -> None:
    inputs = [f"{number}/{'a' * 1000}/" for number in range(10)]

    with pytest.raises(SettingsError) as refused:
        synthesize(max_workers=f"9\ninputs = {inputs}")

    message = str(refused.value)
    assert message.startswith("[queues.default]: the policy of its workers has at least 1")
    assert "IAM takes 10,240: name fewer or shorter `inputs`" in message
    assert "\n" not in message


def test_prefixes_that_no_rule_has_room_for_are_refused(tmp_path: Path) -> None:
    app = RemoteJobApp(PROJECT, outdir=tmp_path)
    stack = cdk.Stack(app, "all")
    settings = tmp_path / "settings.toml"
    routes = "".join(
        f'[[routes]]\ntask = "thumbnail"\nprefix = "{number}{"a" * 180}/"\n' for number in range(10)
    )
    settings.write_text(SETTINGS.format(**{**DEFAULTS, "more": routes}))

    with pytest.raises(SettingsError, match=r"their prefixes have .* EventBridge takes 1,848"):
        RemoteJobSystem(
            stack,
            "One",
            settings=settings,
            worker=IMAGE,
            input_bucket=s3.Bucket.from_bucket_name(stack, "Bucket", "ours"),
        )
