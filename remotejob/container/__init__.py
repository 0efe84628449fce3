"""The program of a worker's container: `python -m remotejob.container`.

main            serves the queue named in the environment until a signal stops it
child           what its child processes do before they import the tasks
stopping        signals, and how long jobs may go on
health          the container's health check
logs, prints    its log lines, and what tasks print
metrics         what it writes for CloudWatch
chained_writes  marks the files that tasks write with the depth of their job
"""
