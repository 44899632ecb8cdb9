"""The kubeconfig, read as kubectl reads it: which files, which entry of a name, which context.

The rules are those of https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/:
of several files the first that names an entry gives all of it, and paths are relative to their file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bodywork.errors import NotFoundError, UsageError
from bodywork.spec.report import did_you_mean
from bodywork.targets.kubernetes.client.access import Access
from bodywork.targets.kubernetes.client.entry import Entry, server_of, user_of
from bodywork.targets.kubernetes.client.incluster import ACCOUNT, own_account

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Kubeconfig:
    """All files together."""

    files: list[Path] = field(default_factory=list)
    current: str = ""
    clusters: dict[str, Entry] = field(default_factory=dict)
    users: dict[str, Entry] = field(default_factory=dict)
    contexts: dict[str, Entry] = field(default_factory=dict)


def access(environment: Mapping[str, str], context: str | None = None, *, account: Path = ACCOUNT) -> Access:
    """What `context` (None: the current one) gives; in a pod without a kubeconfig, its own account.

    Raises UsageError and NotFoundError, with the next step. Does nothing on the network.
    """
    config = read(environment)
    if not config.contexts and context is None and (own := own_account(environment, account)) is not None:
        return own
    name = _chosen(config, environment, context)
    chosen = config.contexts[name]
    cluster = _named(config.clusters, "cluster", chosen, name)
    server = server_of(cluster, environment)
    user = user_of(_named(config.users, "user", chosen, name), cluster, server)
    return Access(context=name, server=server, user=user, namespace=chosen.text("namespace") or "default")


def contexts(environment: Mapping[str, str]) -> list[str]:
    """The names of all contexts, in the order of the files."""
    return list(read(environment).contexts)


def read(environment: Mapping[str, str]) -> Kubeconfig:
    """The files that KUBECONFIG names (those that are there), else `~/.kube/config`, merged."""
    merged = Kubeconfig()
    for path in _paths(environment):
        if not path.is_file():
            continue
        document = _document(path)
        merged.files.append(path)
        merged.current = merged.current or str(document.get("current-context") or "")
        for key, entries in (
            ("cluster", merged.clusters),
            ("user", merged.users),
            ("context", merged.contexts),
        ):
            for name, content in _entries(document, key, path):
                entries.setdefault(name, Entry(kind=key, name=name, content=content, file=path))
    return merged


def _paths(environment: Mapping[str, str]) -> list[Path]:
    if named := environment.get("KUBECONFIG"):
        return [Path(name) for name in dict.fromkeys(named.split(os.pathsep)) if name]
    home = environment.get("HOME")
    return [Path(home) / ".kube" / "config"] if home else []


def _document(path: Path) -> dict[str, Any]:
    try:
        found = yaml.load(path.read_bytes(), _Loader)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="see who owns the file") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {_first_line(error)}", hint="correct it by hand") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UsageError(
            f"{path} is not a kubeconfig: it has no keys", hint="name another file in KUBECONFIG"
        )
    return found


def _entries(document: dict[str, Any], key: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The named entries of a list such as `clusters`; `null` lists and entries are as if empty."""
    for item in document.get(f"{key}s") or []:
        if not isinstance(item, dict) or "name" not in item or not isinstance(item.get(key) or {}, dict):
            raise UsageError(f"{path}: each of `{key}s` needs a `name` and a `{key}` with keys")
        yield str(item["name"]), item.get(key) or {}


def _chosen(config: Kubeconfig, environment: Mapping[str, str], context: str | None) -> str:
    where = " and ".join(str(path) for path in config.files)
    if not config.contexts:
        looked = where or " and ".join(str(path) for path in _paths(environment)) or "no HOME is set"
        raise NotFoundError(
            f"there is no cluster to use: no kubeconfig with a context was found ({looked})",
            hint="set KUBECONFIG to the file that your cluster gave you; "
            "`kubectl config get-contexts` lists its contexts",
        )
    name = context or config.current
    known = "the contexts are " + ", ".join(config.contexts)
    if not name:
        raise UsageError(
            f"no context is chosen in {where}; {known}",
            hint="choose with `--target kubernetes:CONTEXT` or `kubectl config use-context CONTEXT`",
        )
    if name not in config.contexts:
        raise NotFoundError(
            f"there is no context `{name}` in {where}{did_you_mean(name, config.contexts)}", hint=known
        )
    return name


def _named(entries: dict[str, Entry], kind: str, context: Entry, name: str) -> Entry:
    """The cluster or user of a context. One without a user is nobody: anonymous."""
    wanted = context.text(kind)
    if wanted is None and kind == "user":
        return Entry(kind=kind, name="", content={}, file=context.file)
    if wanted is None or wanted not in entries:
        missing = f"names no {kind}" if wanted is None else f"names the {kind} `{wanted}`, which no file has"
        raise UsageError(
            f"{context.file}: the context `{name}` {missing}",
            hint="see all of it with `kubectl config view`",
        )
    return entries[wanted]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
