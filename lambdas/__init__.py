"""The Lambda functions: each a thin wrapper around one call of the library."""
