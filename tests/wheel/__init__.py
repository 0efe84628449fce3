"""The built wheel, installed as a stranger would: `make test-wheel`.

environments   a fresh environment with the wheel, for each Python that this machine has
installed/     the tests that run there: copied out, so that nothing of the checkout is in reach
"""
