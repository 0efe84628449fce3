"""References of templates: dynamic ones, `{{resolve:ssm:/name:version}}`, and to no value at all.

What moto does: it takes dynamic references for text, and keeps a place in a list for AWS::NoValue.

What AWS does: AWS CloudFormation User Guide, "Get a plaintext value from Systems Manager Parameter
Store": a reference is resolved when its resource is created or updated for another reason;
"Pseudo parameters reference", AWS::NoValue.
"""

from __future__ import annotations

import re
from typing import Any, Final

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.parsing import ResourceMap
from moto.ssm.models import ssm_backends

_REFERENCE: Final = re.compile(r"\{\{resolve:ssm:([A-Za-z0-9_./-]+(?::[0-9]+)?)\}\}")


def close_gap() -> None:
    """Resolve references, and say which parameter is not there."""
    stock = parsing.clean_json
    stock_parameter = ResourceMap.parse_ssm_parameter

    def clean_json(resource_json: Any, resources_map: ResourceMap) -> Any:
        found = stock(resource_json, resources_map)
        if isinstance(found, str) and "{{resolve:ssm:" in found:
            return _REFERENCE.sub(lambda match: _value(match[1], resources_map), found)
        if isinstance(resource_json, list):
            return [one for one in found if one is not None]
        return found

    def parse_ssm_parameter(self: ResourceMap, value: str, value_type: str) -> Any:
        # moto would fail with an internal error
        _value(value, self)
        return stock_parameter(self, value, value_type)

    parsing.clean_json = clean_json
    ResourceMap.parse_ssm_parameter = parse_ssm_parameter  # type: ignore[method-assign]


def _value(name: str, resources: ResourceMap) -> str:
    """Raises: moto's ValidationError, as CloudFormation has it."""
    backend = ssm_backends[resources._account_id][resources._region_name]
    found = backend.get_parameter(name)
    if found is None:
        raise ValidationError(message=f"Parameters: [ssm:{name}] cannot be found.")
    return str(found.value)
