"""Many jobs as one: made, counted, cancelled and restarted together."""
