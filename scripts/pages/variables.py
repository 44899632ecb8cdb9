"""docs/reference/variables.md: names come from the code, which is searched so that none is forgotten."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import bodywork
from bodywork.targets.local.variables import PASSED, PASSED_PREFIXES
from pages.markdown import GENERATED, code, table

ROOT = Path(bodywork.__file__).parent
NAME = re.compile(r"[A-Z][A-Z0-9_]*|no_proxy")

SET = {
    "PATH": "Yours, with the environment's `bin` first.",
    "VIRTUAL_ENV": "The environment of the stage.",
    "PYTHONPATH": "The folder of bodywork.yaml in the stage's own copy of the commit.",
    "PYTHONUNBUFFERED": "`1`: what is printed appears at once.",
    "NO_PROXY": "Yours, with this machine and the names of all services added.",
    "no_proxy": "The same.",
    "LANG": "Yours, else `C.UTF-8`.",
    "BODYWORK_PIPELINE": "The pipeline's name.",
    "BODYWORK_RUN": "The run's id; for a service, of the run that rolled it out.",
    "BODYWORK_STAGE": "The stage's name.",
    "BODYWORK_COMMIT": "The commit, 40 hexadecimal digits.",
    "BODYWORK_TARGET": "`local` or `kubernetes`.",
    "BODYWORK_DATE": "Only in runs for a day (`deploy --date`, schedules): the day, as YYYY-MM-DD. For a "
    "service: of the run that rolled it out.",
    "GIT_COMMIT_HASH": "The commit, under the name that projects of 2021-22 look for.",
    "BODYWORK_OUTPUT_NAME": "Where the stage has to write its output `name`.",
    "BODYWORK_INPUT_NAME": "Where the stage finds its input `name`.",
    "BODYWORK_FAILURE": "Only in the `on_failure` stage: JSON with `pipeline`, `run`, `commit`, `stage` and "
    "`reason` of the first failure.",
    "EXCEPTION_MESSAGE": "Only in the `on_failure` stage: the failure as a sentence.",
    "PORT": "Only in services: the port of this replica. Python servers may bind the declared port instead.",
    "BODYWORK_REPLICA": "Only in services: the number of the replica, from 1.",
}

INNER = {
    "BODYWORK_HOOK": "the hook that maps ports and service names",
    "BODYWORK_HOOK_PORT": "the declared port and the replica's own",
    "BODYWORK_HOSTS": "the names of sibling services when the replica was started",
    "BODYWORK_HOSTS_FILE": "the file with their names as they are now",
    "BODYWORK_AGENT_HOME": "whose agent started the process",
    "BODYWORK_AGENT_LOCK": "a lock that the agent is handed",
    "BODYWORK_GIT_USER": "for git alone: the user name of a URL",
    "BODYWORK_GIT_PASSWORD": "for git alone: the password of a URL",
    "BODYWORK_WHEELS": "for uv alone: where kept wheels are",
    "BODYWORK_SECRETS": "which variables hold values that are masked in what the stage prints",
    "BODYWORK_COMMAND": "which command a batch stage belongs to",
    "BODYWORK_COMPLETE": "shell completion",
    "BODYWORK_LAUNCH": "in a pod: what its runtime is to do",
    "BODYWORK_FETCH": "in a pod: the commit that is to be fetched",
    "BODYWORK_BRING": "in a pod: the inputs that are to be brought",
    "BODYWORK_HOOK_LEAVING": "in a pod: the file that says that a service is about to end",
    "BODYWORK_HOOK_HOST": "in a pod: the address that a service's port is bound on",
    "BODYWORK_SCHEDULE": "in a pod of a schedule: what is to run",
    "BODYWORK_JOB": "in a pod of a schedule: the Job, whose name tells the time",
    "BODYWORK_UV": "in a pod: where uv is",
    "BODYWORK_TERMINATION_LOG": "in a pod: the file for what became of the stage",
}
"""Set by bodywork for its own parts; of no use to others."""

OURS = {
    "BODYWORK_HOME": "The folder for what must not be lost: history, logs, artifacts, secrets, locks and "
    "services. Each has an agent of its own. Default: `$XDG_DATA_HOME/bodywork`, else "
    "`~/.local/share/bodywork`.",
    "BODYWORK_CACHE": "The folder for what can be made again: mirrors of repositories, environments. "
    "Default: `$XDG_CACHE_HOME/bodywork`, else `~/.cache/bodywork`.",
    "BODYWORK_TARGET": "The default of `--target`.",
    "BODYWORK_NAMESPACE": "The default of `--namespace`.",
    "BODYWORK_IMAGE": "The default of `--image`: the image of stages on a cluster; `{python}` in it "
    "stands for the stage's Python version.",
    "BODYWORK_STORE_IMAGE": "The image of the S3 server that is started in a cluster when no store is named.",
    "BODYWORK_GATEWAY": "The gateway (NAMESPACE/NAME) for routes of projects that name none. "
    "`deploy --detach` tells its controller so.",
    "BODYWORK_SSH_KEY_FILE": "The default of `--ssh-key-file`.",
    "BODYWORK_GIT_SECRET": "The default of `--git-secret`.",
    "BODYWORK_LOOPBACK": "`single`: give services no loopback addresses of their own, as on macOS.",
}

CLUSTER = """
### On Kubernetes

A stage's pod has the variables of its image, those that are set by bodywork, and those of bodywork.yaml.
Nothing of your environment is passed on. What is "yours" above is the image's there. `HOME` and `TMPDIR` are
folders of the pod; `BODYWORK_REPLICA` is not set.
"""

UV = """
Packages are installed with [uv](https://docs.astral.sh/uv/), which gets your variables for indexes, proxies,
certificates and compilers: `UV_INDEX`, `UV_DEFAULT_INDEX`, `UV_CACHE_DIR` and most others that begin
with `UV_`. `UV_OFFLINE=1` keeps it off the network; `UV_PYTHON_DOWNLOADS=never` keeps it from fetching a
Python that is not on the machine.
"""


def page() -> str:
    check()
    passed = ", ".join(map(code, PASSED))
    prefixes = ", ".join(f"`{prefix}*`" for prefix in PASSED_PREFIXES)
    return "".join(
        [
            GENERATED,
            "\n# Variables\n\n## What a stage sees\n\n",
            "A stage gets a small environment, as in a container: what is below, and nothing else.\n",
            "\n### Set by bodywork\n\n",
            table(["variable", "value"], rows(SET)),
            "\n### Passed on from your environment, when set\n\n",
            f"{passed}, and all that begin with {prefixes}. More with `bodywork deploy --pass-env NAME`.\n",
            "\n### From bodywork.yaml\n\n",
            "What `env` and `secrets` of the stage say. `env` wins over what is set or passed on; in a ",
            "service, the agent's own (`PORT`, `BODYWORK_*`) win over `env`. Names that begin with ",
            '`BODYWORK_` cannot be given in a file of version "2".\n',
            CLUSTER,
            "\n### Inner ones\n\n",
            "Processes also get ",
            ", ".join(f"`{name}`" for name in sorted(inner_of_stages())),
            ". They are for bodywork's own parts and may change.\n",
            "\n## What bodywork looks at\n\n",
            table(["variable", "meaning"], rows(OURS)),
            UV,
        ]
    )


def rows(words: dict[str, str]) -> Iterator[list[str]]:
    return ([code(name), meaning] for name, meaning in words.items())


def inner_of_stages() -> set[str]:
    return INNER.keys() & set_for_stages() | {"BODYWORK_AGENT_HOME"}


def set_for_stages() -> set[str]:
    """The names that the local target gives to processes, as its code has them."""
    found: set[str] = set()
    for file in ("target.py", "replica.py", "variables.py"):
        for node in ast.walk(ast.parse((ROOT / "targets" / "local" / file).read_text())):
            keys = node.keys if isinstance(node, ast.Dict) else []
            names = [str(key.value) for key in keys if isinstance(key, ast.Constant)]
            found.update(name for name in names if NAME.fullmatch(name))
    return found


def mentioned() -> set[str]:
    """All variables of bodywork that its code mentions."""
    names: set[str] = set()
    for file in ROOT.rglob("*.py"):
        names |= set(re.findall(r"BODYWORK_[A-Z][A-Z_]*[A-Z]", file.read_text()))
    return {name for name in names if not name.endswith("_MODEL")}  # examples of artifacts


def check() -> None:
    """Every variable of the code has words here."""
    known = SET.keys() | INNER.keys() | OURS.keys()
    missing = (set_for_stages() | mentioned()) - known - {"BODYWORK_OUTPUT", "BODYWORK_INPUT"}
    assert not missing, f"say in scripts/pages/variables.py what these are: {sorted(missing)}"
