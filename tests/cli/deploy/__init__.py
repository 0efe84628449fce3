"""`remotejob deploy`, its preflight and its smoke jobs."""
