"""Notices: who is told how a run ended, of what, and in which form.

A run failed, went well after one that had not, or for the first time ever. Nothing that goes wrong here
changes how the run ends, or holds it up for more than a few seconds: it is said as a warning.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bodywork.app.site import Site
from bodywork.app.times import rfc3339
from bodywork.errors import BodyworkError
from bodywork.run.ledger import RunRecord
from bodywork.run.states import RunState
from bodywork.spec.model import Occasion, Project, Webhook
from bodywork.webhook import PATIENCE, Post, deliver

BOUND = PATIENCE + 2.0
"""Seconds that all of it may take, looking up the record and the addresses included."""

LONGEST = 2000
"""Characters of a reason that fit into a message."""

INTERRUPTED = "its command was killed, or its machine went down"

Say = Callable[[str], None]
"""Told of what could not be delivered, as a sentence."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What is told of a run; `run` and what belongs to it is None when no run could begin."""

    notice: Occasion
    pipeline: str
    target: str
    run: str | None
    commit: str | None
    ref: str | None
    repository: str | None
    date: str | None
    state: RunState
    previous_state: RunState | None
    stage: str | None
    reason: str
    started: float | None
    ended: float | None

    def document(self) -> dict[str, Any]:
        """The form `json`, as documented."""
        times = {"started": rfc3339(self.started), "ended": rfc3339(self.ended)}
        return {**asdict(self), "notice": str(self.notice), "state": str(self.state), **times}

    def message(self) -> dict[str, str]:
        """The form `slack`: what https://api.slack.com/messaging/webhooks takes, and others with it."""
        what = {
            Occasion.FAILED: "was interrupted" if self.state is RunState.INTERRUPTED else "failed",
            Occasion.RECOVERED: "went well again",
            Occasion.FIRST_SUCCESS: "went well for the first time",
        }[self.notice]
        reason = f": {_plain(self.reason[:LONGEST])}" if self.reason else ""
        text = f"*{_plain(self.pipeline)}* on {self.target} {what}{reason}"
        return {"text": "\n".join([text, *self._details()])}

    def _details(self) -> Sequence[str]:
        if self.run is None or self.commit is None:
            return [f"for {self.date}"] if self.date else []
        day = f" for {self.date}" if self.date else ""
        command = f"bodywork logs {shlex.quote(self.pipeline)} --run {self.run}"
        return [f"run {self.run}{day} at commit {self.commit[:12]} ({_plain(self.ref or '')}) — `{command}`"]


def _plain(text: str) -> str:
    """Text in which Slack finds no links and no marks of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


async def tell_end(
    site: Site, project: Project, run: str, say: Say, *, stage: str | None, failed_before: bool
) -> None:
    """Tell how a run ended that has just done so.

    `stage` is the first one that failed. `failed_before`: something went wrong just before, of which
    there is no run but this one: it failed and was resumed, or the last one could not even begin.
    """

    async def work() -> None:
        record = await site.records.run(run)
        failed = [replace(record, state=RunState.FAILED)] if failed_before else []
        earlier = [*failed, *(one for one in await _counted(site, project) if one.run != run)]
        if (occasion := occasion_of(record, earlier)) is not None:
            await _tell(site, project, notice_of(occasion, record, earlier, stage), say)

    if project.notify:
        await _bounded(work(), say)


async def tell_of_interrupted(site: Site, project: Project, run: str, say: Say) -> None:
    """Tell of the run before `run`, which has just begun, if nobody was left to tell how it ended.

    Whoever calls holds the pipeline: a run before that is recorded as running is not carried out.
    """

    async def work() -> None:
        records = [one for one in await _counted(site, project) if one.run != run]
        if records and records[0].state is RunState.RUNNING:
            last = replace(records[0], state=RunState.INTERRUPTED, reason=INTERRUPTED)
            await _tell(site, project, notice_of(Occasion.FAILED, last, records[1:], None), say)

    if project.notify:
        await _bounded(work(), say)


async def tell_that_none_began(site: Site, pipeline: str, day: str | None, reason: str, say: Say) -> None:
    """Tell that what was to run on its own could not even begin: its host was away, its file is wrong.

    Who is told is known by the newest run that there has been; without one, nobody is.
    """

    async def work() -> None:
        for newest in await site.records.runs(pipeline, limit=1):
            project = (await site.records.plan(newest.run)).project
            earlier = await _counted(site, project)
            unbegun = replace(
                newest, state=RunState.FAILED, date=day, reason=reason, started=time.time(), ended=time.time()
            )
            notice = notice_of(Occasion.FAILED, unbegun, earlier, None)
            await _tell(site, project, replace(notice, run=None, commit=None), say)

    await _bounded(work(), say)


async def _counted(site: Site, project: Project) -> list[RunRecord]:
    """Runs of the pipeline that tell whether it is well, newest first."""
    return [
        record
        for record in await site.records.runs(project.name)
        if record.target == site.name
        and record.kind != "rollback"
        and record.backfill is None
        and record.state is not RunState.CANCELLED
    ]


def occasion_of(record: RunRecord, earlier: Sequence[RunRecord]) -> Occasion | None:
    """What there is to tell of a run, given those before it, newest first."""
    if record.state is RunState.FAILED:
        return Occasion.FAILED
    if record.state is not RunState.SUCCEEDED:
        return None
    if not any(one.state is RunState.SUCCEEDED for one in earlier):
        return Occasion.FIRST_SUCCESS
    return Occasion.RECOVERED if earlier[0].state is not RunState.SUCCEEDED else None


def notice_of(
    occasion: Occasion, record: RunRecord, earlier: Sequence[RunRecord], stage: str | None
) -> Notice:
    previous = earlier[0].state if earlier else None
    return Notice(
        notice=occasion,
        pipeline=record.pipeline,
        target=record.target,
        run=record.run,
        commit=record.commit,
        ref=record.ref,
        repository=record.repository,
        date=record.date,
        state=record.state,
        previous_state=RunState.INTERRUPTED if previous is RunState.RUNNING else previous,
        stage=stage,
        reason=record.reason,
        started=record.started,
        ended=record.ended,
    )


async def _tell(site: Site, project: Project, notice: Notice, say: Say) -> None:
    posts = []
    for webhook in project.notify:
        if notice.notice in webhook.on and (url := await _address(site, project, webhook, say)):
            content = notice.message() if webhook.form == "slack" else notice.document()
            posts.append(Post(url=url, document=content))
    for sentence in await deliver(posts):
        say(sentence)


async def _address(site: Site, project: Project, webhook: Webhook, say: Say) -> str | None:
    if webhook.secret is None:
        return webhook.url
    try:
        return (await site.secret(project, webhook.secret, webhook.key)).strip()
    except BodyworkError as error:
        say(f"a webhook was not told: {error.message}")
        return None


async def _bounded(work: Awaitable[None], say: Say) -> None:
    try:
        async with asyncio.timeout(BOUND):
            await work
    except TimeoutError:
        say(f"no notice could be sent within {BOUND:g} s")
    except Exception as error:  # a run that has ended well stays so, whatever is wrong with us
        say(f"no notice could be sent: {error}")
