"""The one door to git: commits of any repository, whole and on this machine.

Everything is done by the git program, through mirrors in the cache. Nothing is asked for, no hook
runs, and no credential is shown, stored or put on a command line.
"""

from __future__ import annotations

from bodywork.git.commit import Commit
from bodywork.git.door import Git

__all__ = ["Commit", "Git"]
