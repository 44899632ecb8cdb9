"""What one stage makes and others read, through the store that is started in the namespace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bodywork.targets.kubernetes.client.api import Api
from bodywork.targets.kubernetes.kinds import POD, SERVICE
from pipelines import Pipeline, open_pipeline

pytestmark = pytest.mark.cluster

FILES = {
    "bodywork.yaml": """
        version: "2"
        name: models
        python: "3.12"
        workflow: train >> check >> serve
        stages:
          train:
            run: train.py
            outputs: {model: model.txt}
          check:
            run: check.py
            inputs: {model: train.model}
          serve:
            run: serve.py
            inputs: {model: train.model}
            service: {port: 5000}
    """,
    "train.py": """
        import os
        from pathlib import Path
        Path(os.environ["BODYWORK_OUTPUT_MODEL"]).write_text("a model")
    """,
    "check.py": """
        import os
        from pathlib import Path
        print(Path(os.environ["BODYWORK_INPUT_MODEL"]).read_text())
        print(sorted(name for name in os.environ if "AWS" in name or "SECRET" in name))
    """,
    "serve.py": """
        import http.server, os
        os.chdir(os.path.dirname(os.environ["BODYWORK_INPUT_MODEL"]))
        http.server.test(http.server.SimpleHTTPRequestHandler, port=5000, bind="0.0.0.0")
    """,
}


@pytest.fixture
async def models(api: Api, tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with open_pipeline(api, tmp_path, dict(FILES)) as pipeline:
        yield pipeline


async def ask(models: Pipeline) -> str:
    service = await models.api.get(SERVICE, "serve", models.namespace)
    assert service is not None
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sm", "5", "--retry", "5", "--retry-delay", "1", "--retry-all-errors"),
        f"http://{service['spec']['clusterIP']}:5000/model.txt",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    return (await process.communicate())[0].decode()


async def test_a_model_goes_from_training_to_serving_and_outlives_all_pods(models: Pipeline) -> None:
    seen = await models.deploy()
    assert seen.states == dict.fromkeys(("train", "check", "serve"), "succeeded")
    assert seen.output("check") == "a model\n[]\n"
    assert await ask(models) == "a model"
    again = await models.deploy()
    assert again.states == {"train": "succeeded", "check": "succeeded", "serve": "unchanged"}
    for pod in await models.api.list(POD, models.namespace, labels={"bodywork/stage": "serve"}):
        await models.api.delete(POD, pod["metadata"]["name"], models.namespace, grace=0)
    async with asyncio.timeout(30):
        while await ask(models) != "a model":  # noqa: ASYNC110 (nothing tells of a new answer)
            await asyncio.sleep(0.5)


async def test_an_output_that_was_not_written(models: Pipeline) -> None:
    models.files["train.py"] = "print('forgot it')\n"
    seen = await models.deploy()
    assert seen.states == {"train": "failed", "check": "skipped", "serve": "skipped"}
    assert "did not write its output model" in seen.reason("train")
