"""The termination message fits, and what it says of memory is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bodywork.stage import memory
from bodywork.stage.report import Report


@given(reason=st.text(max_size=200).map(lambda text: text * 60))
def test_a_message_has_room_and_can_be_read(reason: str) -> None:
    report = Report()
    report.reason = "what it is about: " + reason + " and its end"
    report.outputs = {f"output-{number}": "file:" + "f" * 64 for number in range(12)}
    content = report.content()
    said = json.loads(content)
    assert len(content) <= 4096
    assert said["reason"].startswith("what it is about")
    assert said["reason"].endswith(" and its end")
    assert said["outputs"] == report.outputs


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"memory.events": "oom 1\noom_kill 1\n", "memory.max": "536870912\n"},
            "memory ran out (limit 512 MiB)",
        ),
        ({"memory.events": "oom 0\noom_kill 0\n", "memory.max": "536870912\n"}, ""),
        ({"memory.events": "oom_kill 2\n", "memory.max": "max\n"}, "memory ran out"),
        (
            {
                "memory/memory.oom_control": "under_oom 0\noom_kill 1\n",
                "memory/memory.limit_in_bytes": "134217728\n",
            },
            "memory ran out (limit 128 MiB)",
        ),
        (
            {
                "memory/memory.oom_control": "oom_kill 1\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            "memory ran out",
        ),
        ({}, ""),
    ],
)
def test_memory_that_ran_out_is_told_with_its_limit(
    files: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(memory, "ROOT", str(tmp_path))
    assert memory.shortage() == said
