"""The worker: receives messages, runs their jobs under leases, commits the outcomes."""
