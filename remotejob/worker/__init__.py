"""The worker: receives messages, runs jobs under leases, commits what came of them."""
