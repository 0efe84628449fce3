"""The templates, looked at by others than their makers: cfn-lint, checkov, and rules of our own.

cdk-nag runs with each synthesis. `synthesize` needs our environment, `check` that of the tools.
"""
