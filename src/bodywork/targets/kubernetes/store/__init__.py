"""Where artifacts lie, and what pods are given of it."""
