"""Deploys a throw-away system to a real account, tries it, prints the bill and removes it."""
