"""Tasks in child processes.

The worker runs `pool`, `child_process` and `run_server`; the child runs `child_main` and
`run_proxy`; `channel` connects them.
"""
