"""All ways to make a job: submit, upload, repeat, replay, or as part of a batch."""
