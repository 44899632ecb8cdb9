"""Which runs of a pipeline may be forgotten: old ones that nothing needs any more.

A release is gone back to with the models that it had, and those may have been made by an earlier
run than its own (`deploy --only`): that run stays as well. So does whoever made the newest of each
output, which a later `--only` may read, and the days of the newest back-fill, which tell what of
it need not be run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from bodywork.run.ledger import Release, RunRecord
from bodywork.run.states import RunState

Made = Mapping[tuple[str, str], str]
"""Digests by stage and output."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Forgotten may be what is beyond the newest `keep` runs and has ended `older_than` seconds ago.

    `releases`, different ones counted from the newest, can be gone back to however old they are.
    """

    keep: int = 20
    older_than: float = 0.0
    releases: int = 10


TOO_MANY = Policy(keep=1, releases=2)
"""For runs beyond those that somebody wants to keep: what serves stays, and what `rollback` goes back to."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """All that is known of a pipeline on a target; records and releases are newest first.

    `made` and `read` are what runs have made and were given, by run. `in_use` are runs in progress
    and those that have rolled out what serves now; `serving` is what that reads, by digest.
    """

    records: Sequence[RunRecord]
    releases: Sequence[Release]
    made: Mapping[str, Made] = field(default_factory=dict)
    read: Mapping[str, Set[str]] = field(default_factory=dict)
    in_use: Set[str] = frozenset()
    serving: Set[str] = frozenset()

    def only(self, among: Set[str]) -> Past:
        """The same, of which none may be forgotten but runs of `among` that have ended."""
        others = {one.run for one in self.records if one.run not in among or not one.state.ended}
        return replace(self, in_use=self.in_use | others)


def spare(past: Past, policy: Policy, now: float) -> list[RunRecord]:
    """The runs that may be forgotten."""
    releases = different(past.releases)[: policy.releases]
    wanted = set(past.serving).union(*(inputs_of(one) for one in releases))
    lasting = _lasting(past, policy, now) | {release.run for release in releases}
    while True:
        kept, more = _walk(past, lasting, wanted)
        if more <= wanted:
            return [record for record in past.records if record.run not in kept]
        wanted |= more


def inputs_of(release: Release) -> set[str]:
    """The digests of all that its services read."""
    return {digest for inputs in release.services.values() for digest in inputs.values()}


def different(releases: Sequence[Release]) -> list[Release]:
    """The newest one of those that are alike: `rollback` passes over what is just what runs."""
    found: dict[str, Release] = {}
    for release in releases:
        services = {name: sorted(inputs.items()) for name, inputs in sorted(release.services.items())}
        found.setdefault(f"{release.commit} {services}", release)
    return list(found.values())


def _lasting(past: Past, policy: Policy, now: float) -> set[str]:
    """The runs that stay whatever they have made."""
    young = [r.run for r in past.records if now - (r.ended or r.started) < policy.older_than]
    newest = [record.run for record in past.records[: max(1, policy.keep)]]
    return {*young, *newest, *past.in_use, *_newest_backfill(past.records)}


def _walk(past: Past, lasting: Set[str], wanted: Set[str]) -> tuple[set[str], set[str]]:
    """The runs that are kept when `wanted` is, and all that is wanted when they are."""
    released = {release.run: inputs_of(release) for release in past.releases}
    kept, outputs, provided, more = set[str](), set[tuple[str, str]](), set[str](), set[str]()
    for record in past.records:
        made = past.made.get(record.run, {})
        # What a back-fill makes for another day is never the newest.
        newest = record.backfill is None and not made.keys() <= outputs
        if record.run in lasting or newest or not (wanted - provided).isdisjoint(made.values()):
            kept.add(record.run)
            provided.update(made.values())
            more |= past.read.get(record.run, frozenset()) | released.get(record.run, set())
            if record.backfill is None:
                outputs |= made.keys()
    return kept, more


def _newest_backfill(records: Sequence[RunRecord]) -> set[str]:
    """Good runs of the range of days that was run last."""
    last = next((record.backfill for record in records if record.backfill), None)
    return {r.run for r in records if last and r.backfill == last and r.state is RunState.SUCCEEDED}
