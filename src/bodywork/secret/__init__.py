"""Secrets of this machine: files, one for each key, that only their owner can read."""

from bodywork.secret.env_file import parse
from bodywork.secret.store import Entry, Secrets, set_command
from bodywork.secret.value import read_value, value_of

__all__ = ["Entry", "Secrets", "parse", "read_value", "set_command", "value_of"]
