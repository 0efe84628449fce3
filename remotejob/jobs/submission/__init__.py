"""How a job comes to be: submitted, uploaded, repeated, replayed, or made as one of a batch."""
