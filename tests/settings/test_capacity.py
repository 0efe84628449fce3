"""Where workers run: Spot, a provider by name, and what cannot be had together."""

from __future__ import annotations

import tomllib

import pytest

from remotejob import SettingsError
from remotejob.settings import QueueSettings, parse
from remotejob.settings.document import as_toml


def queue(text: str) -> QueueSettings:
    read = parse(tomllib.loads(f'[queues.default]\ntasks = ["work"]\n{text}'))
    assert parse(tomllib.loads(as_toml(read))) == read
    return read.queues["default"]


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("", (("FARGATE", 1, 0),)),
        ("spot_percent = 70", (("FARGATE", 30, 0), ("FARGATE_SPOT", 70, 0))),
        (
            "spot_percent = 70\non_demand_base = 2",
            (("FARGATE", 30, 2), ("FARGATE_SPOT", 70, 0)),
        ),
        ("spot_percent = 100", (("FARGATE", 0, 0), ("FARGATE_SPOT", 100, 0))),
        ('capacity_provider = "gpu-machines"\ngpus = 1', (("gpu-machines", 1, 0),)),
    ],
)
def test_workers_run_where_the_settings_say(text: str, shares: tuple[object, ...]) -> None:
    assert queue(text).capacity.shares == shares


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spot_percent = 101", "it must be between 0 and 100"),
        ("spot_percent = 0.7", "it must be a whole number"),
        ("on_demand_base = 1", "all workers run on demand already"),
        ("spot_percent = 50\non_demand_base = 11", "it must be at most max_workers, 10"),
        ('capacity_provider = "FARGATE_SPOT"', "for Fargate Spot, say spot_percent"),
        ('capacity_provider = "aws-ours"', "not beginning with aws, ecs or fargate"),
        ('capacity_provider = ""', "name one of yours"),
        ('capacity_provider = "a b"', "name one of yours"),
        ('capacity_provider = "gpu"\nspot_percent = 50', "it is a share of Fargate"),
        ('capacity_provider = "gpu"\nephemeral_storage_gib = 50', "it is of Fargate alone"),
        ("gpus = 1", "Fargate has none; name a capacity_provider that does"),
        ('capacity_provider = "gpu"\ngpus = 17', "it must be between 0 and 16"),
    ],
)
def test_what_cannot_be_had_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        queue(text)

    message = str(refused.value)
    assert message.startswith("[queues.default]: ")
    assert "\n" not in message
    assert said in message
