"""The verification in a real account, on the embedded AWS."""
