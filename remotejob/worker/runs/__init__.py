"""One run of one job, from its claim to its end."""
