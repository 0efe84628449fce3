"""The entry point's example tasks."""
