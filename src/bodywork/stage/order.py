"""What a stage's pod is to do, as the variable BODYWORK_LAUNCH says it in JSON.

    {"stage": "train", "source": "/bodywork/project.tar.gz", "project": "/work/project",
     "run": "pipeline/train.py", "args": [], "python": "3.12",
     "lock": {"file": "/bodywork/lock-<16>.gz", "digest": "<64 hex>", "form": "requirements", "hashed": true,
              "build_as_of": null, "undated": [], "empty": false, "wheels": null},
     "cache": "/cache",
     "outputs": [{"name": "model", "file": "model.joblib",
                  "to": {"url": "<presigned PUT>", "more": "<packed>", "piece": 4294967296, "headers": {}}}],
     "inputs": [{"name": "data", "file": "data.csv", "digest": "file:<hex>",
                 "origin": {"url": "<presigned GET>", "more": "", "piece": null, "headers": {}}}],
     "timeout": 1200.0, "prepare_timeout": 1800.0, "drain": 0.0, "secrets": ["KEY"], "port": null,
     "given": ["LOG_LEVEL"], "hosts": ["serve"]}

`source` null: the project is there already. An input's `origin` null: the input is. What is larger than
`piece` bytes is in pieces, each of exactly that size but for the last; `more` are the URLs of all but the
first of them, by lines, as base64 of zlib. `headers` go with each request. `wheels` is the folder of the
project's own wheels, `given` names the variables of bodywork.yaml, which nothing here overrides, `hosts` the
names of services that are never asked for through a proxy; all three may be left out.
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


class Signed:
    """Addresses of an artifact's pieces, the first of which is always there; no `piece`: there is but one."""

    def __init__(self, given: "Dict[str, Any]") -> None:
        self.url: str = given["url"]
        self.piece: "Optional[int]" = given.get("piece")
        self.headers: "Dict[str, str]" = given.get("headers") or {}
        self._more: str = given.get("more") or ""

    @property
    def urls(self) -> "List[str]":
        if not self._more:
            return [self.url]
        import base64
        import zlib

        return [self.url, *zlib.decompress(base64.b64decode(self._more)).decode().split("\n")]


class Output:
    """A declared output, and where it is put."""

    def __init__(self, given: "Dict[str, Any]") -> None:
        self.name: str = given["name"]
        self.file: str = given["file"]
        self.to = Signed(given["to"])


class Input:
    """An input, by its digest, and whence it is got."""

    def __init__(self, given: "Dict[str, Any]") -> None:
        self.name: str = given["name"]
        self.file: str = given["file"]
        self.digest: str = given["digest"]
        self.origin: "Optional[Signed]" = Signed(given["origin"]) if given["origin"] else None


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
