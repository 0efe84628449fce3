"""What a job costs, counted: requests first, then CPU. Never part of the tests."""
