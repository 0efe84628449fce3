"""The worker process: how it polls, stays alive, is watched, and stops."""
