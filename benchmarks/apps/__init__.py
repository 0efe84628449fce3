"""The measured programs: a submitter and a worker of each system."""
