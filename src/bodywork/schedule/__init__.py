"""When a pipeline runs by itself: which times are due, and what becomes of each."""
