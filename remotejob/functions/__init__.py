"""The Lambda functions: each a thin wrapper around one call of the library.

on_upload       makes a job of each upload, and wakes the scheduler where workers may sleep
scheduler       runs the tick and the sweep, scales the workers, and tells which queues are paused
"""
