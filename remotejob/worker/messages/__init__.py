"""One message: receive, claim, run, commit, settle."""
