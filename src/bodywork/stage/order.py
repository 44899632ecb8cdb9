"""What a stage's pod is to do, as the variable BODYWORK_LAUNCH says it in JSON.

    {"stage": "train", "source": "/bodywork/project.tar.gz", "project": "/work/project",
     "run": "pipeline/train.py", "args": [], "python": "3.12",
     "lock": {"file": "/bodywork/lock-<16>.gz", "digest": "<64 hex>", "form": "requirements", "hashed": true,
              "build_as_of": null, "undated": [], "empty": false, "wheels": null},
     "cache": "/cache",
     "outputs": [{"name": "model", "file": "model.joblib", "url": "<presigned PUT>"}],
     "inputs": [{"name": "data", "file": "data.csv", "digest": "file:<hex>", "url": "<presigned GET>"}],
     "timeout": 1200.0, "prepare_timeout": 1800.0, "drain": 0.0, "secrets": ["KEY"], "port": null,
     "given": ["LOG_LEVEL"], "hosts": ["serve"]}

`source` null: the project is there already. An input's `url` null: the input is. `wheels` is the folder of
the project's own wheels, `given` names the variables of bodywork.yaml, which nothing here overrides,
`hosts` the names of services that are never asked for through a proxy; all three may be left out.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, FrozenSet, List, Optional


class Lock:
    """Exactly one set of packages; `build_as_of` (RFC 3339) is the date for what builds need."""

    def __init__(self, given: "Dict[str, Any]") -> None:
        self.file: str = given["file"]
        self.digest: str = given["digest"]
        self.form: str = given["form"]
        self.hashed: bool = given["hashed"]
        self.build_as_of: "Optional[str]" = given["build_as_of"]
        self.undated: "List[str]" = given["undated"]
        self.empty: bool = given["empty"]
        self.wheels: "Optional[str]" = given.get("wheels")


class Output:
    """A declared output; `url` takes a PUT."""

    def __init__(self, given: "Dict[str, Any]") -> None:
        self.name: str = given["name"]
        self.file: str = given["file"]
        self.url: str = given["url"]


class Input:
    """An input, by its digest; `url` gives it to a GET."""

    def __init__(self, given: "Dict[str, Any]") -> None:
        self.name: str = given["name"]
        self.file: str = given["file"]
        self.digest: str = given["digest"]
        self.url: "Optional[str]" = given["url"]


class Order:
    """All of it. Times are in seconds; no timeout: None."""

    def __init__(self, given: "Dict[str, Any]") -> None:
        self.stage: str = given["stage"]
        self.source: "Optional[str]" = given["source"]
        self.project: str = given["project"]
        self.run: str = given["run"]
        self.args: "List[str]" = given["args"]
        self.python: str = given["python"]
        self.lock = Lock(given["lock"])
        self.cache: str = given["cache"]
        self.outputs = [Output(one) for one in given["outputs"]]
        self.inputs = [Input(one) for one in given["inputs"]]
        self.timeout: "Optional[float]" = given["timeout"]
        self.prepare_timeout: "Optional[float]" = given["prepare_timeout"]
        self.drain: float = given["drain"] or 0.0
        self.secrets: "List[str]" = given["secrets"]
        self.port: "Optional[int]" = given["port"]
        self.given: "FrozenSet[str]" = frozenset(given.get("given") or ())
        self.hosts: "List[str]" = list(given.get("hosts") or ())
