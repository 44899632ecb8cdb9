"""Who runs a push, decided in a real cluster: pods that look may be lost, and runs be in progress."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from bodywork.app.cluster.order import Order
from bodywork.app.cluster.pushes import claimed, conclusion
from bodywork.app.parts import Parts
from bodywork.errors import UnreachableError
from bodywork.schedule import told
from bodywork.schedule.definition import Definition
from bodywork.schedule.firing import Firing, State
from bodywork.spec.model import Schedule
from bodywork.spec.read import read
from bodywork.targets.kubernetes.kinds import CONFIG_MAP, Object
from bodywork.targets.kubernetes.records import firings
from ground import HEAD, Ground
from tool import wait_for

pytestmark = [pytest.mark.cluster]

ONE = "stages:\n  train: {run: train.py}\n"
SLOW = "import time\nprint('begins', flush=True)\ntime.sleep(20)\n"
SEEN, PUSHED, LATER = "a" * 40, "b" * 40, "c" * 40


def look(ground: Ground, job: str, tip: str) -> Firing | None:
    """What a pod of that Job would carry out, were the branch at `tip` ("": its host is away)."""
    definition = Definition(
        name=ground.name,
        pipeline=ground.name,
        repository="https://git.example/iris",
        rule=Schedule(on_push=60.0),
    )
    order = Order(definition=definition, namespace=ground.name, job=f"{ground.name}-push-{job}")
    return asyncio.run(claimed(Parts(ground.environment), order, lambda: tip or away()))


def away() -> str:
    raise UnreachableError("git.example is away")


def write(ground: Ground, firing: Firing) -> None:
    documents = {told.key_of(firing): told.encode(firing)}
    ground.ask(lambda api: firings.write(api, ground.name, ground.name, documents))


def end(ground: Ground, firing: Firing) -> None:
    documents, said = conclusion(book(ground), firing, None)
    ground.ask(lambda api: firings.write(api, ground.name, ground.name, documents, said))


def book(ground: Ground) -> Object:
    found: Object = ground.ask(lambda api: firings.book(api, ground.name, ground.name))
    return found


def begin(ground: Ground) -> None:
    """A run in progress, and a branch that was seen at `SEEN`."""
    ground.commit(ONE, {"train.py": SLOW})
    assert ground.deploy("--detach").code == 0
    yaml = HEAD.format(name=ground.name) + ONE
    project, _ = read(yaml.encode(), file="bodywork.yaml", files=None)
    ground.ask(lambda api: firings.make(api, project, ground.name, ground.name, SEEN, keep=30))


def test_a_push_is_claimed_once_and_after_a_run_in_progress(ground: Ground) -> None:
    begin(ground)
    assert look(ground, "1", PUSHED) is None, "the run that was begun is in progress"
    wait_for(lambda: ground.status()["state"] == "succeeded", seconds=120, every=1.0)
    assert look(ground, "2", SEEN) is None
    # The run has ended before its controller has let go of the pipeline, which is in progress until then.
    wait_for(lambda: look(ground, "3", PUSHED), seconds=30, every=0.5)
    push = look(ground, "3", PUSHED)
    assert push is not None and push.cause == "push" and push.state is State.RUNNING

    assert look(ground, "3", LATER) == push, "the next pod of the Job goes on with it"
    taken = look(ground, "4", LATER)
    assert taken is not None and (taken.run, taken.due) == (push.run, push.due), "so does the next Job"
    write(ground, taken)
    end(ground, replace(taken, state=State.FAILED, run="", reason="no tree", ended=taken.due + 9))
    assert look(ground, "4", LATER) is None, "it had written the end, and died"
    trouble = f"{PUSHED[:8]} was pushed, and is tried again until a run of it begins: no tree"
    assert firings.said_of(book(ground), firings.TROUBLE) == trouble

    wait_for(lambda: time.time() > push.due + 1)
    again = look(ground, "5", PUSHED)
    assert (
        again is not None
        and again.run != push.run
        and firings.said_of(book(ground), firings.TROUBLE) == trouble
    )
    end(ground, replace(again, state=State.FAILED, reason="train failed", ended=again.due + 9))
    assert look(ground, "6", PUSHED) is None, "a run has begun"
    assert firings.said_of(book(ground), firings.TROUBLE) == ""
    assert len(firings.documents_of(book(ground))) == 2

    assert look(ground, "7", "") is None
    assert firings.said_of(book(ground), firings.TROUBLE) == "git.example is away"
    later = look(ground, "8", LATER)
    assert later is not None and later.run != push.run
    assert firings.said_of(book(ground), firings.TROUBLE) == ""
    ground.ask(lambda api: api.delete(CONFIG_MAP, firings.name_of(ground.name), ground.name))
    assert look(ground, "9", PUSHED) is None, "the schedule is gone"


def test_of_two_that_have_read_the_same_only_one_writes(ground: Ground) -> None:
    begin(ground)
    read_by_both = book(ground)

    async def both() -> list[bool]:
        from bodywork.targets.kubernetes.client.api import Api

        async with Api.open(ground.environment) as api:
            return await asyncio.gather(
                *(firings.claim(api, read_by_both, tip, {tip: "{}"}) for tip in (PUSHED, LATER))
            )

    assert sorted(asyncio.run(both())) == [False, True]
    (key,) = firings.documents_of(book(ground))
    assert firings.said_of(book(ground), firings.TIP) == key
