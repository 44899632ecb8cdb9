"""One service under the agent: what serves, what a rollout is bringing, what is on its way out.

`decide` is called by the agent's one loop for each thing that happens, and never waits. The promises:
requests go to ready replicas only; a rollout that does not end well leaves the old release untouched;
the switch is one write to the store; what is stored suffices for another agent to go on.
"""

from __future__ import annotations

from functools import partial

from bodywork.errors import MachineError
from bodywork.targets.local.address import port_is_free
from bodywork.targets.local.backend import Backend
from bodywork.targets.local.definition import Definition
from bodywork.targets.local.entrance import Entrance
from bodywork.targets.local.happening import (
    Exited,
    Failed,
    Gone,
    Happening,
    Launched,
    Ready,
    State,
    Unready,
)
from bodywork.targets.local.premises import Premises, log
from bodywork.targets.local.proxy import Proxy
from bodywork.targets.local.record import ReleaseRecord, ServiceRecord
from bodywork.targets.local.release import Release
from bodywork.targets.local.replica import Replica
from bodywork.targets.local.rollout import Outcome, Report, Rollout

RETRY_LISTENING = 5.0


class Service:
    """`empty` becomes true when nothing of it is left and the agent may forget it."""

    def __init__(self, premises: Premises, pipeline: str, stage: str) -> None:
        self.pipeline = pipeline
        self.stage = stage
        self.current: Release | None = None
        self.rollout: Rollout | None = None
        self.leaving: list[Release] = []
        self.entrance = Entrance(premises, pipeline, stage, self._unreachable)
        self.reason = ""
        self.removed = False
        self.stopping = False
        self._premises = premises

    @property
    def name(self) -> str:
        return f"{self.pipeline}/{self.stage}"

    @property
    def empty(self) -> bool:
        return self.current is None and self.rollout is None and not self.leaving

    @property
    def replicas(self) -> list[Replica]:
        """Of all its releases."""
        coming = [self.rollout.release] if self.rollout else []
        serving = [self.current] if self.current else []
        return [replica for release in (*serving, *coming, *self.leaving) for replica in release.replicas]

    # What is asked

    def begin(self, definition: Definition) -> Report:
        """Roll a release out beside the one that serves; the report tells how it goes."""
        report = Report()
        if (refusal := self._refusal()) is not None:
            report.ended(Outcome(ok=False, reason=refusal))
            return report
        if self.current is not None and self.current.definition.encode() == definition.encode():
            report.ended(Outcome(ok=True))
            return report
        release = Release(definition, self._premises, self._tell)
        try:
            fresh = self._listen_for(definition)
        except MachineError as error:
            hint = f" ({error.hint})" if error.hint else ""
            report.ended(Outcome(ok=False, reason=f"{error.message}{hint}"))
            return report
        report.follow(release)
        self.rollout = Rollout(release, report, fresh)
        self._publish()
        self.save()
        release.launch()
        return report

    def abort(self, release: str, reason: str) -> str:
        """Undo a rollout; returns what kept it from being ready, "" when there is none."""
        rollout = self.rollout
        if rollout is None or rollout.release.definition.release != release:
            return ""
        why = rollout.failure or rollout.release.reason
        self._fail(f"{reason}: {why}" if reason and why else reason or why)
        return why

    def remove(self) -> None:
        """End it for good, letting requests that are under way finish. Raises what the store raises."""
        if self.removed:
            return
        self._premises.store.drop_service(self.pipeline, self.stage)
        self.removed = True
        self._premises.publish(self.pipeline, self.stage, ())
        self._wind_up(keep=False)

    def stop(self) -> None:
        """End its processes; what is stored brings them back with the next agent."""
        if not self.stopping:
            self.stopping = True
            self._wind_up(keep=True)

    def restore(self, record: ServiceRecord) -> None:
        """Go on where another agent left: adopt what runs, start what does not, end what was half done."""
        self.entrance.address = record.address
        for half in (*record.leaving, *([record.candidate] if record.candidate else ())):
            self._dismiss(half)
        if record.current is None:
            return
        release = Release(record.current.definition, self._premises, self._tell, record.current)
        self.current = release
        self._listen_again()
        log(f"{self.name}: {len(release.adopted)} of {len(release.replicas)} replicas adopted")
        release.launch()

    # What happens

    def decide(self, replica: Replica, happening: Happening) -> None:
        """Draw the consequences of one thing that happened to a replica."""
        match happening:
            case Launched():
                self._launched(replica)
            case Ready():
                self._became_ready(replica)
            case Unready():
                log(f"{replica.name}: not ready: {replica.reason}")
                self._refresh()
            case Failed(reason=reason):
                replica.state = State.WAITING if replica.state is State.STARTING else replica.state
                self._fell(replica, f"could not be started: {reason}")
            case Exited(reason=reason):
                self._fell(replica, reason)
            case Gone():
                self._gone()

    def _launched(self, replica: Replica) -> None:
        self.save()
        if self.rollout is not None and replica in self.rollout.release.replicas:
            self.rollout.note_launched(replica)

    def _became_ready(self, replica: Replica) -> None:
        backend = replica.backend
        if backend is None or (backend.host, backend.port) != replica.answers:
            replica.backend = Backend(*replica.answers)
        if self.rollout is not None and replica in self.rollout.release.replicas:
            if self.rollout.complete:
                self._switch(self.rollout)
        else:
            self._refresh()

    def _fell(self, replica: Replica, reason: str) -> None:
        """A replica's process is not there although it should be."""
        replica.backend = None
        if replica.state is not State.WAITING:
            return
        if self.removed or self.stopping or any(replica in release.replicas for release in self.leaving):
            replica.end(keep=self.stopping)
            return
        rollout = self.rollout
        if rollout is not None and replica in rollout.release.replicas:
            if rollout.retries and replica.port and not replica.was_ready and not port_is_free(replica.port):
                rollout.retries -= 1  # another program was given the port between our look and its bind
                replica.launch()
                return
            before = " before it was ready" if not replica.was_ready and reason[:5] != "could" else ""
            self._fail(f"replica {replica.number} {reason}{before}")
        elif self.current is not None and replica in self.current.replicas:
            self._refresh()
            self._restart(replica, reason)

    def _restart(self, replica: Replica, reason: str) -> None:
        """Start it again, later each time unless it was well for a while."""
        pace = self._premises.pace
        now = self._premises.now()
        if replica.ready_since is not None and now - replica.ready_since >= pace.healthy:
            replica.failures = 0
        replica.ready_since = None
        delay = min(pace.restart_most, pace.restart_first * 2.0**replica.failures)
        replica.failures += 1
        replica.restarts += 1
        replica.reason = f"it {reason}, and is started again after {delay:g} s"
        log(f"{replica.name}: {reason}; started again in {delay:g} s")
        self._premises.later(delay, replica.launch)

    def _gone(self) -> None:
        """A replica has ended as it was asked to."""
        self.leaving = [release for release in self.leaving if not release.gone]
        rollout = self.rollout
        if rollout is not None and rollout.release.gone:
            self._undone(rollout)
        if (self.removed or self.stopping) and self.current is not None and self.current.gone:
            self.current = None
        if not self.leaving:
            self.entrance.close_old()
        if self.empty:
            self.entrance.close()
        self.save()

    # Rollouts

    def _refusal(self) -> str | None:
        if self.removed or self.stopping:
            return (
                f"service {self.stage} of {self.pipeline} is being {'removed' if self.removed else 'stopped'}"
            )
        if self.rollout is not None:
            other = self.rollout.release.definition.release
            return f"another rollout of service {self.stage} of {self.pipeline} is in progress (run {other})"
        return None

    def _switch(self, rollout: Rollout) -> None:
        """All new replicas are ready: from here on requests go to them, and to nothing else."""
        old, pace = self.current, self._premises.pace
        self.current, self.rollout = rollout.release, None
        if old is not None:
            self.leaving.append(old)
        try:
            self._write()
        except Exception as error:  # whatever the store raises: the old release goes on
            self.current, self.rollout = old, rollout
            self.leaving = [release for release in self.leaving if release is not old]
            self._fail(f"the switch could not be stored: {error}")
            return
        if rollout.proxy is not None:
            self.entrance.move(rollout.proxy)
        self._refresh()
        self._publish()
        log(f"{self.name}: switched to the release of run {rollout.release.definition.release}")
        rollout.report.ended(Outcome(ok=True))
        if old is not None:
            old.drain(after=pace.drain, cut=pace.cut)

    def _fail(self, reason: str) -> None:
        """Undo the rollout; its report ends when nothing of it is left."""
        rollout = self.rollout
        if rollout is None or rollout.failure is not None:
            return
        rollout.failure = reason
        log(f"{self.name}: rollout of run {rollout.release.definition.release} undone: {reason}")
        rollout.release.end()

    def _undone(self, rollout: Rollout) -> None:
        self.rollout = None
        if rollout.proxy is not None:
            self.entrance.shut(rollout.proxy)
            self._listen_again()
        self._publish()
        rollout.report.ended(Outcome(ok=False, reason=rollout.failure or "it was undone"))

    def _dismiss(self, record: ReleaseRecord) -> None:
        """End what is left of a release that another agent was starting or ending."""
        release = Release(record.definition, self._premises, self._tell, record)
        self.leaving.append(release)
        release.end()

    def _wind_up(self, *, keep: bool) -> None:
        pace = self._premises.pace
        self._fail(f"the service is being {'stopped' if keep else 'removed'}")
        self.entrance.stop_listening()
        if self.current is not None:
            self.current.drain(after=pace.removal, cut=pace.removal + pace.grace, keep=keep)
        for release in self.leaving:
            release.end()

    # Listening

    def _listen_for(self, definition: Definition) -> Proxy | None:
        """A proxy for a new definition, unless the one that is there will do. Raises MachineError."""
        old = self.current.definition.port if self.current is not None else None
        if self.entrance.proxy is not None and old == definition.port:
            return None
        return self.entrance.open(definition)

    def _listen_again(self) -> None:
        """After a start of the agent; again and again while something else has the port."""
        if self.current is None or self.entrance.proxy is not None or self.removed or self.stopping:
            return
        try:
            self.entrance.open(self.current.definition)
        except MachineError as error:
            self.reason = error.message
            log(f"{self.name}: {error.message}")
            self._premises.later(RETRY_LISTENING, self._listen_again)
            return
        self.reason = ""
        self._publish()
        self._refresh()

    def _unreachable(self, backend: Backend) -> None:
        for replica in self.replicas:
            if replica.backend is backend:
                replica.check()

    def _refresh(self) -> None:
        """Let the proxy know which replicas are ready."""
        if self.current is not None:
            self.entrance.serve(self.current.backends)

    def _publish(self) -> None:
        """Make its names known, those of a rollout too: its siblings may start before it is ready."""
        rollout = self.rollout
        release = rollout.release if rollout is not None else self.current
        known = release is not None and not self.removed
        self.entrance.publish(
            release.definition if known and release is not None else None,
            rollout.proxy if rollout is not None else None,
        )

    # The store

    def save(self) -> None:
        """Write down what is; a store that fails is tried again at the next change."""
        try:
            self._write()
        except Exception as error:
            log(f"{self.name}: the store failed: {error}")

    def _write(self) -> None:
        store = self._premises.store
        if self.removed or self.stopping:
            return  # processes that have gone need no note: the next agent sees that they have
        if self.current is None and self.rollout is None:
            store.drop_service(self.pipeline, self.stage)
            return
        coming = self.rollout.release.record if self.rollout is not None else None
        record = ServiceRecord(
            address=self.entrance.address,
            current=self.current.record if self.current is not None else None,
            candidate=coming,
            leaving=tuple(release.record for release in self.leaving),
        )
        store.put_service(self.pipeline, self.stage, record.encode())

    def _tell(self, replica: Replica, happening: Happening) -> None:
        self._premises.decide(partial(self.decide, replica, happening))
