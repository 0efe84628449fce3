"""Manual work: jobs that the caller's own code takes and ends."""
