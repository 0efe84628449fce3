"""Values that look right and that only AWS would refuse, in the middle of a deploy."""

from __future__ import annotations

import tomllib

import pytest

from remotejob import SettingsError
from remotejob.settings import parse

QUEUE = '[queues.default]\ntasks = ["work"]\n'
ROUTE = '[[routes]]\ntask = "work"\n'
IMAGE = f"{'a' * 240}/work@sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (f'{QUEUE}{ROUTE}prefix = "{"a" * 1025}"', "[[routes]] number 1", "at most 1,024 bytes"),
        (f'{QUEUE}{ROUTE}prefix = "{"ä" * 513}"', "[[routes]] number 1", "at most 1,024 bytes"),
        (f'{QUEUE}inputs = ["{"a" * 1025}"]', "[queues.default]", "at most 1,024 bytes"),
        (f'[system]\nreadable_buckets = ["a..b"]\n{QUEUE}', "[system]", "name a bucket"),
        (f'[system]\nreadable_buckets = ["10.0.0.1"]\n{QUEUE}', "[system]", "name a bucket"),
        (f'{QUEUE}image = "{IMAGE}"', "[queues.default]", "ECS takes at most 255 characters"),
    ],
    ids=["prefix", "prefix in bytes", "input", "two dots", "address", "image"],
)
def test_what_only_aws_would_refuse_is_refused_before(text: str, place: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse(tomllib.loads(text))

    message = str(refused.value)
    assert message.startswith(place)
    assert said in message
    assert "\n" not in message
    assert len(message) < 600


def test_the_longest_that_aws_takes_is_taken() -> None:
    parse(tomllib.loads(f'{QUEUE}inputs = ["{"a" * 1024}"]'))
