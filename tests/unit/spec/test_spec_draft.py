"""The bodywork.yaml that `bodywork init` writes: it always validates against the folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bodywork.spec.draft import draft, draft_module
from bodywork.spec.model import Project, Requirements
from bodywork.spec.read import read


def drafted(files: Mapping[str, str | None], name: str = "iris") -> Project:
    text = draft(name, files)
    project, warnings = read(text.encode(), file="bodywork.yaml", files=[*files, "train.py"])
    assert warnings == ()
    assert text.startswith("# ")
    return project


def notebook(*lines: str) -> str:
    return json.dumps(
        {"cells": [{"cell_type": "markdown", "source": "x"}, {"cell_type": "code", "source": lines}]}
    )


def test_an_empty_folder_gets_a_sample_that_runs() -> None:
    project = drafted({}, "My Project!")
    assert project.name == "my-project"
    assert [stage.run for stage in project.stages] == ["train.py"]
    done = subprocess.run(
        [sys.executable, "-c", draft_module("train.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "y = 1.990 x + 0.050\n"
    assert json.loads(draft_module("train.ipynb"))["nbformat"] == 4


def test_a_project_that_prepares_trains_and_serves() -> None:
    project = drafted(
        {
            "README.md": None,
            "requirements.txt": "scikit-learn\n",
            "pipeline/prepare_data.py": "import pandas\n",
            "pipeline/train_linear.py": "import features\n",
            "pipeline/train_forest.py": "from pipeline import features\n",
            "pipeline/features.py": "def features(): pass\n",
            "pipeline/serve.py": "from flask import Flask\nFlask('x').run(host='0.0.0.0', port=5001)\n",
            "tests/test_train.py": "",
            "tests/train_helper.py": "",
        }
    )
    assert project.steps == (("prepare-data",), ("train-forest", "train-linear"), ("serve",))
    assert project.stage("serve").service.port == 5001
    assert {stage.requirements for stage in project.stages} == {Requirements(file="requirements.txt")}


def test_packages_are_guessed_from_imports() -> None:
    project = drafted(
        {
            "train.py": "import os, json, mine, yaml\nimport sklearn.svm\nfrom PIL import Image\n",
            "mine/__init__.py": "",
        }
    )
    assert project.stage("train").requirements.packages == ("pillow", "pyyaml", "scikit-learn")


def test_the_nearest_requirements_count_and_locks_come_first() -> None:
    lock = "[project]\nname = 'x'\nrequires-python = '>=3.13'\ndependencies = []\n"
    project = drafted(
        {
            "stage_1/train.py": "",
            "stage_1/requirements.txt": "",
            "stage_2/main.py": "import http.server\nif __name__ == '__main__':\n    http.server.test()\n",
            "stage_2/score.py": "",
            "pyproject.toml": lock,
            "uv.lock": "",
        }
    )
    assert project.stage("train").requirements.file == "stage_1/requirements.txt"
    assert project.stage("score").requirements.file == "uv.lock"
    assert project.stage("score").python == "3.13"


def test_a_pyproject_without_dependencies_is_no_requirements_file() -> None:
    project = drafted({"train.py": "import numpy", "pyproject.toml": "[tool.ruff]\n"})
    assert project.stage("train").requirements == Requirements(packages=("numpy",))


def test_notebooks() -> None:
    project = drafted({"analysis.ipynb": notebook("%pip install x\n", "import pandas as pd\n", "!ls\n")})
    assert (project.stages[0].run, project.stages[0].requirements.packages) == ("analysis.ipynb", ("pandas",))
    assert drafted({"broken.ipynb": "{"}).stages[0].run == "broken.ipynb"


def test_scripts_without_a_telling_name() -> None:
    script = "if __name__ == '__main__':\n    print(1)\n"
    project = drafted({"stage_1/main.py": script, "stage_2/main.py": script, "lib.py": "x = 1"})
    assert project.steps == (("stage-1",), ("stage-2",))


def test_servers_with_their_usual_ports_and_a_word_when_they_do_not_start() -> None:
    files = {"api.py": "from fastapi import FastAPI\napp = FastAPI()\n"}
    assert drafted(files).stage("api").service.port == 8000
    assert "must start its server" in draft("x", files)
    started = {"api.py": "import uvicorn\nuvicorn.run('api:app', port=9000)\n"}
    assert drafted(started).stage("api").service.port == 9000
    assert "must start its server" not in draft("x", started)


def test_a_client_is_no_service() -> None:
    assert drafted({"score.py": "import aiohttp\nasync def ask(): ..."}).stage("score").kind == "batch"


PATHS = st.lists(
    st.sampled_from(
        ["a", "train", "serve", "1", "yes", "null", "é", "x y", "#", "..", "~", "main", '"', "b" * 70]
    ),
    min_size=1,
    max_size=4,
).map("/".join)
ENDINGS = st.sampled_from([".py", ".ipynb", ".txt", "", "/requirements.txt", "/pyproject.toml", "/uv.lock"])
TEXTS = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.sampled_from(
        ["import flask", "import http.server, numpy, Ünicode", "app.run(port=99999)", "[project]\n"]
    ),
)


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=80), st.dictionaries(st.builds(str.__add__, PATHS, ENDINGS), TEXTS, max_size=14))
def test_whatever_the_folder_the_draft_validates(name: str, files: dict[str, str | None]) -> None:
    drafted(files, name)
