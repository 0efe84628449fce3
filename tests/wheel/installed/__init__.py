"""Tests that need the installed wheel, pytest, and nothing else."""
