"""What one job means for others: consequences, dependencies, locks, batch counts."""
