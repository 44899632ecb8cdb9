"""What has no effect on this machine is said."""

from bodywork.app.here.elsewhere import not_here
from bodywork.spec.read import read

TEXT = b"""
version: "2"
name: x
python: "3.12"
store: s3://bucket/x
schedule: {cron: "0 6 * * *"}
stages:
  serve:
    run: serve.py
    image: team/gpu:1
    resources: {memory: 1Gi}
    service: {port: 5000, route: /x, autoscale: {max: 5}}
    kubernetes: {priority_class: high}
"""


def test_every_setting_without_an_effect_is_said() -> None:
    project, _ = read(TEXT, file="bodywork.yaml", files=None)
    assert list(not_here(project)) == [
        "image team/gpu:1 is for clusters: on this machine its stages run with Python 3.12",
        "route /x of serve is for clusters: here it answers at an address of its own",
        "autoscale of serve is for clusters: here it has 1 of 5 replicas",
        "what is said under kubernetes is for clusters: it has no effect on this machine",
        "resources are for clusters: nothing limits serve on this machine",
    ]


def test_a_plain_project_is_not_talked_about() -> None:
    text = b'version: "2"\nname: x\nstages: {a: {run: a.py}}\n'
    assert list(not_here(read(text, file="bodywork.yaml", files=None)[0])) == []
