"""ECS services whose desired counts are obeyed: worker processes start, stop and are replaced.

service       what a service, its deployments and its tasks are
decisions     what is next for a service: starts, stops, roll-outs; pure
scheduler     carries that out: launches, signals, reaps
launching     how a task becomes a process
answers       what the API says of services and tasks
agent         the endpoint by which a worker protects its task
faults        what a test can let go wrong
"""
