"""One-line mutations: for what docs/heritage.md claims, a change of the code that breaks the claim.

The tests that a row names must notice it. `python -m tests.mutations` tries them.
"""
