"""Runs inside a stage's process: standard library only, Python >= 3.8, never imports the rest."""
