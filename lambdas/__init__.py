"""The Lambda functions: the library's handlers, under the names that the stacks give."""
