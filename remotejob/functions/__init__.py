"""The Lambda functions: each a thin wrapper around one call of the library.

on_upload       makes a job of each upload
scheduler       runs the tick and the sweep, and tells which queues are paused
"""
