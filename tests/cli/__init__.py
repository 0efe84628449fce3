"""What the commands print, and how they end, on a system in memory."""
