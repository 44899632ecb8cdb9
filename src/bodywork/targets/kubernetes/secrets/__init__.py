"""Secrets that bodywork writes for people, and those it makes for Git."""
