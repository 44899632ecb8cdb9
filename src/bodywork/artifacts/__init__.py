"""The store of what stages declare as outputs."""
