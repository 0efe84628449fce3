"""Queries about jobs and workers, which change nothing."""
