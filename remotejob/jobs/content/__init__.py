"""What a job carries: data, input, outputs and log, in its record or next to it."""
