"""The packages of stages: locked once, with hashes, and installed into folders that never change."""

from bodywork.environment.asked import files_read
from bodywork.environment.environments import Environments
from bodywork.environment.lock import Environment, Lock

__all__ = ["Environment", "Environments", "Lock", "files_read"]
