"""What runs without being asked: sends what is due, rescues lapsed runs, sweeps what was lost."""
