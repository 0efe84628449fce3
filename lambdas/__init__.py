"""The Lambda functions: thin shells around one call of the library each."""
