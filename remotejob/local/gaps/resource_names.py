"""CloudFormation: the names of resources that the template gives none.

What moto does: it ends them with random characters.
What AWS does: so does it, but a stack lives on and keeps its names. Here each start makes the
stacks again, and finds kept data by these names (see `remotejob.local.keeping`). So they follow
from the stack's name and the logical id.
"""

from __future__ import annotations

import hashlib
from typing import Final

from moto.cloudformation import parsing

_SUFFIX: Final = 12
_LONGEST: Final = {
    "AWS::Events::Rule": 64,
    "AWS::IAM::ManagedPolicy": 128,
    "AWS::IAM::Role": 64,
    "AWS::Lambda::Function": 64,
    "AWS::S3::Bucket": 63,
    "AWS::SQS::Queue": 80,
    "AWS::ElasticLoadBalancingV2::TargetGroup": 32,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": 32,
}
_LONGEST_OTHERWISE: Final = 255


def close_gap() -> None:
    parsing.generate_resource_name = generate_resource_name


def generate_resource_name(resource_type: str, stack_name: str, logical_id: str) -> str:
    """The name of a resource without one: the same each time.

    A name that would be too long loses its middle, never its end, which tells it apart.
    """
    whole = f"{stack_name}/{logical_id}"
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_SUFFIX].upper()
    if resource_type == "AWS::IAM::Policy":
        return f"{stack_name[:5]}-{logical_id[:4]}-{digest}"
    longest = _LONGEST.get(resource_type, _LONGEST_OTHERWISE)
    start = f"{stack_name}-{logical_id}"[: longest - _SUFFIX - 1].rstrip("-")
    name = f"{start}-{digest}"
    return name.lower() if resource_type == "AWS::S3::Bucket" else name
