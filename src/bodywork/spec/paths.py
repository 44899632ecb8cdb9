"""Paths that a file names: relative to its folder, with forward slashes, and never out of it."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Collection

from bodywork.spec.tree import quote

LONGEST = 1000
MOST_COMPARED = 5000


def tidy(path: str) -> str:
    """`./a//b/../c.py` as `a/c.py`. What leaves the folder or names none stays as it is."""
    clean = path.strip()
    return posixpath.normpath(clean) if fault(clean) is None else clean


def fault(path: str) -> str | None:
    """Why `path` cannot be a file of the project; None: it can."""
    if not path.strip():
        return "names no file"
    if len(path) > LONGEST or any(ord(c) < 32 for c in path):
        return f"{quote(path)} is not a path"
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        return f"{quote(path)} must be relative to the project's folder"
    if "\\" in path:
        return f'{quote(path)} must have "/" between folders, not "\\"'
    if posixpath.normpath(path).split("/")[0] == "..":
        return f"{quote(path)} leaves the project's folder"
    if path.endswith("/") or posixpath.normpath(path) == ".":
        return f"{quote(path)} is a folder"
    return None


def like(path: str, files: Collection[str]) -> str:
    """` (did you mean "pipeline/train.py"?)`, or nothing when no file is like `path`."""
    name = posixpath.basename(path).lower()
    ending = posixpath.splitext(name)[1]
    same = sorted(file for file in files if posixpath.basename(file).lower() == name)
    others = sorted(file for file in files if file.lower().endswith(ending))[:MOST_COMPARED]
    for candidates, cutoff in ((same, 0.0), (others, 0.6)):
        if found := difflib.get_close_matches(path, candidates, n=1, cutoff=cutoff):
            return f" (did you mean {quote(found[0])}?)"
    return ""
