"""Benchmarks of the cost of a job, in requests and CPU. They are not part of the tests."""
