"""How jobs affect each other: consequences, dependencies, locks, batch counts."""
