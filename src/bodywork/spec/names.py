"""Names that Kubernetes and host name resolution can take.

A label (RFC 1035) has at most 63 lower-case letters, digits and "-", begins with a letter and
does not end with "-".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

LABEL = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
STAGE = re.compile(r"[a-z](?:[a-z0-9_-]*[a-z0-9])?")
LONGEST = 63


def is_label(name: str) -> bool:
    return len(name) <= LONGEST and LABEL.fullmatch(name) is not None


def is_stage_name(name: str) -> bool:
    """A label that may also have "_", which becomes "-" where names have to be labels."""
    return len(name) <= LONGEST and STAGE.fullmatch(name) is not None


def host_label(name: str, otherwise: str = "stage") -> str:
    """`name` as a host name: what a label cannot have becomes "-"; may begin with a digit.

    Too long a name is cut and gets a digest of the whole, so that it stays apart from others.
    """
    label = re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-") or otherwise
    if len(label) <= LONGEST:
        return label
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{label[: LONGEST - 9].rstrip('-')}-{digest}"


def label(name: str, otherwise: str = "stage") -> str:
    """`name` made into a label."""
    made = host_label(name, otherwise)
    return made if made[0].isalpha() else host_label(f"{otherwise[0]}-{made}", otherwise)


def unique_labels(names: Iterable[str]) -> Mapping[str, str]:
    """A label for each name, no two the same: the second to make `stage-4` gets `stage-4-2`.

    A name that is a label already always keeps it.
    """
    ordered = list(dict.fromkeys(names))
    labels = {name: name for name in ordered if is_label(name)}
    taken = set(labels)
    for name in ordered:
        if name not in labels:
            labels[name] = _free(label(name), taken)
            taken.add(labels[name])
    return labels


def _free(wanted: str, taken: set[str]) -> str:
    candidate, number = wanted, 1
    while candidate in taken:
        number += 1
        ending = f"-{number}"
        candidate = wanted[: LONGEST - len(ending)].rstrip("-") + ending
    return candidate
