"""The secrets of a queue: ECS reads them when a worker starts, with the agent's role.

Source: Amazon ECS Developer Guide, "Pass sensitive data to an Amazon ECS container" and "Amazon ECS
task execution IAM role": kms:Decrypt is needed for a customer's key alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from remotejob.cdk.permissions import allow
from remotejob.settings import Secret

_SUFFIX: Final = "-??????"
"""Secrets Manager adds six characters to a name. Source: AWS Secrets Manager User Guide, "Example:
Permission to retrieve individual secret values"."""


class Secrets(Construct):
    """What a container's variables are read from, and the permission to read exactly that."""

    def __init__(self, scope: Construct, id: str, secrets: Mapping[str, Secret]) -> None:  # noqa: A002
        super().__init__(scope, id)
        self.injected: dict[str, ecs.Secret] = {}
        # several variables may come from one secret, with different keys
        self._parameters: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        for name, secret in secrets.items():
            self.injected[name] = self._injected(name, secret)
        self._keys = {s.encryption_key for s in secrets.values() if s.encryption_key is not None}

    @property
    def calls(self) -> list[iam.PolicyStatement]:
        """The agent's calls for these secrets."""
        listed = (
            ("ssm", "GetParameters", list(self._parameters.values())),
            ("secretsmanager", "GetSecretValue", list(self._secrets.values())),
            ("kms", "Decrypt", sorted(self._keys)),
        )
        return [allow(service, [call], arns) for service, call, arns in listed if arns]

    def _injected(self, name: str, where: Secret) -> ecs.Secret:
        if where.parameter is not None:
            parameter = ssm.StringParameter.from_secure_string_parameter_attributes(
                self, name, parameter_name=where.parameter
            )
            self._parameters[where.parameter] = parameter.parameter_arn
            return ecs.Secret.from_ssm_parameter(parameter)
        assert where.secret is not None
        if where.secret_is_arn:
            secret = secretsmanager.Secret.from_secret_complete_arn(self, name, where.secret)
            self._secrets[where.secret] = where.secret
        else:
            secret = secretsmanager.Secret.from_secret_name_v2(self, name, where.secret)
            self._secrets[where.secret] = f"{secret.secret_arn}{_SUFFIX}"
        return ecs.Secret.from_secrets_manager(secret, where.key)
