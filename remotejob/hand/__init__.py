"""Jobs taken by hand, in a process that is no worker."""
