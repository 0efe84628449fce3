"""Commands on jobs: pause, resume, cancel, restart, remove, on one job or a batch."""
