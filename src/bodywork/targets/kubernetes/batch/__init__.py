"""Batch stages: one Job for each attempt."""
