"""The part of AWS Identity and Access Management that the embedded AWS enforces.

`signature` verifies the caller, `identity` finds its policies, `permissions` lists the actions and
resources a request needs, `attributes` and `leading_keys` the DynamoDB attributes and partition
keys it names, and `policies` decides.
"""
