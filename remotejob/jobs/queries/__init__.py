"""What can be asked about jobs and workers, without changing them."""
