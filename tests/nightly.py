"""A project that trains every night and serves what it has trained, as examples/train-and-serve does.

It has that example's shape, and needs no packages: what a night costs is then the product's own. Each
model says for which day and when it was made, so that no two are the same object in a store.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"

YAML = """
version: "2"
name: {name}
python: "{python}"
workflow: train >> serve
store: {store}
{more}
stages:
  train: {{run: train.py, outputs: {{model: model.txt}}{train}}}
  serve: {{run: serve.py, inputs: {{model: train.model}}, service: {{port: 5000, startup_timeout: 60s}}}}
"""
TRAIN = """
import os, pathlib, sys, time
day, place = os.environ["BODYWORK_DATE"], os.environ.get("PLACE")
if place:
    with open(place + "/trained", "a") as file:
        file.write(day + "\\n")
    if os.path.exists(place + "/fail"):
        sys.exit("no data tonight")
    while os.path.exists(place + "/hang"):
        time.sleep(0.05)
pathlib.Path(os.environ["BODYWORK_OUTPUT_MODEL"]).write_text(day + " " + str(time.time()))
"""
SERVE = """
import http.server, os
model = open(os.environ["BODYWORK_INPUT_MODEL"], "rb").read()
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(model)))
        self.end_headers()
        self.wfile.write(model)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Answer).serve_forever()
"""


def project(
    name: str, store: str, *, python: str = HERE, more: str = "", place: str | None = None
) -> Mapping[str, str]:
    """Its files. In the folder `place` it tells each time that it trains, and finds how it shall end.

    `more` are more keys of bodywork.yaml.
    """
    train = "" if place is None else f', env: {{PLACE: "{place}"}}'
    yaml = YAML.format(name=name, python=python, store=store, more=more, train=train)
    return {"bodywork.yaml": yaml, "train.py": TRAIN, "serve.py": SERVE}
