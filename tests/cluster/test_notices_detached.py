"""A run that is left to the cluster tells webhooks itself: nobody else is there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from ground import Ground
from hooked import Chat, chat
from tool import wait_for

pytestmark = [pytest.mark.cluster]

HOST = os.environ.get("BODYWORK_TEST_HOST", "10.250.0.1")
"""An address of this machine that pods reach."""


@pytest.fixture
def there() -> Iterator[Chat]:
    try:
        socket.create_server((HOST, 0)).close()
    except OSError:
        pytest.skip(f"{HOST} is no address of this machine: set BODYWORK_TEST_HOST to one that pods reach")
    with chat(address=HOST) as made:
        yield made


def test_the_controller_tells_how_a_run_ended(ground: Ground, there: Chat) -> None:
    where = ("--target", "kubernetes", "--namespace", ground.name)
    assert ground.tool.told("secret", "set", "chat", "WEBHOOK_URL", *where, text=there.url).code == 0
    hooks = "notify: {secret: chat, form: json}\nstages:\n  one: {run: one.py}\n"
    ground.commit(
        hooks, {"one.py": "import os\nprint('day', os.environ['BODYWORK_DATE'])\nraise SystemExit(3)\n"}
    )
    answer = ground.deploy("--detach", "--date", "2026-03-01")
    assert answer.code == 0, answer.err
    wait_for(lambda: there.got, 120)
    (told,) = there.got
    assert (told["notice"], told["date"], told["stage"]) == ("failed", "2026-03-01", "one")
    assert told["reason"].startswith("one failed: exited with 3")
    assert "day 2026-03-01" in ground.tool.good("logs", ground.name, *where).out
