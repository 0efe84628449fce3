"""Messages: claim the job, run it, commit the outcome, settle the message."""
