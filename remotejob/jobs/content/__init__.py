"""What a job carries: data, bodies, outputs and logs, in its record or beside it."""
