"""The `deploy` command: preflight, the CDK's command line, and a smoke job for each queue."""
