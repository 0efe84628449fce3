"""Messages about jobs: on the queues, in the log, and to hooks."""
