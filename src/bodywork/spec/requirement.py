"""Whether a line asks for a package in the way of PEP 508; what it means is uv's affair.

numpy    numpy==2.1.*    pandas[excel]>=2,<3; python_version < "3.13"    mine @ git+https://...
"""

from __future__ import annotations

import re

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
EXTRAS = rf"\[\s*(?:{NAME}(?:\s*,\s*{NAME})*)?\s*\]"
NUMBER = (
    r"v?(?:\d+!)?\d+(?:\.\d+)*(?:\.\*)?"
    r"(?:[-_.]?(?:alpha|beta|preview|post|pre|dev|rev|rc|a|b|c|r)[-_.]?\d*|-\d+)*"
    r"(?:\+[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*)?"
)
CLAUSE = rf"(?:(?:==|!=|<=|>=|~=|<|>)\s*{NUMBER}|===\s*[^\s,;)]+)"
CLAUSES = rf"{CLAUSE}(?:\s*,\s*{CLAUSE})*\s*,?"
ADDRESS = r"@\s*[A-Za-z][A-Za-z0-9+.-]*:\S+"
MARKER = r"[^;]*(?:==|!=|<=|>=|<|>|~=|\bin\b)[^;]*"
LINE = re.compile(
    rf"(?P<name>{NAME})\s*(?:{EXTRAS})?\s*"
    rf"(?:{ADDRESS}(?:\s+;{MARKER})?|(?:\(\s*{CLAUSES}\s*\)|{CLAUSES})?\s*(?:;{MARKER})?)",
    re.IGNORECASE,
)
LONGEST = 1000


def fault(line: str) -> str | None:
    """What is wrong with a requirement line, as a sentence; None: nothing."""
    text = line.strip()
    if text.endswith(".txt") and not text.startswith("-") and " " not in text:
        return "a list holds packages; to name a file, write its path without the list"
    if len(text) <= LONGEST and LINE.fullmatch(text):
        return None
    if not text:
        return "an empty line asks for nothing: remove it"
    if text.startswith("-"):
        return "options belong in a requirements.txt: name that file here instead of a list"
    if re.match(r"(git|hg|svn|bzr)\+|https?://", text):
        return "a package from an address needs its name: write NAME @ ADDRESS"
    if text.startswith((".", "/", "~")) or text.endswith((".whl", ".tar.gz")):
        return "a package of the project belongs in a requirements.txt: name that file here instead of a list"
    return "is not a requirement like numpy==2.1.0 or pandas[excel]>=2,<3" + _meant(text)


def _meant(text: str) -> str:
    if found := re.fullmatch(rf"({NAME})\s*=\s*({NUMBER})", text):
        return f' (did you mean "{found[1]}=={found[2]}"?)'
    if re.fullmatch(rf"{NAME}(?:[\s,]+{NAME})+", text):
        return ": write one package per list item"
    return ""
