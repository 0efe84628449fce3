"""What runs in the processes that are measured: a submitter and a worker of each system."""
