"""What runs in the container: the entry point, its health check, and the tasks to replace."""
