"""The worker's container: its entry point, its health check, and example tasks to replace."""
