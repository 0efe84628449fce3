"""The scheduler: sends due jobs, rescues lapsed runs, and sweeps up what was lost."""
