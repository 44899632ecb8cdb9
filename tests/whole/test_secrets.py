"""Secrets from the terminal to the stage, and nowhere else."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.request
from urllib.parse import quote, quote_plus

import pytest

from places import Place
from tool import Repository, Tool, wait_for
from values import command_lines

TOKEN = "s3cr3t/tok+n for you"
PRIVATE = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"
HEAD = 'version: "2"\nname: demo\npython: "3.11"\n'

PRINTS = """
import base64, json, os, sys, time, urllib.parse
token, key = os.environ["API_TOKEN"], os.environ["PRIVATE_KEY"]
print("plain", token)
print("around", base64.b64encode(f"me:{token}@host".encode()).decode())
print("alone", base64.urlsafe_b64encode(token.encode()).decode())
print("wrapped", base64.encodebytes((key * 5).encode()).decode())
print("quoted", urllib.parse.quote(token), urllib.parse.quote_plus(token))
print("key", key)
print(dict(os.environ), json.dumps(dict(os.environ)), file=sys.stderr)
sys.stdout.write("two writes " + token[:9]); sys.stdout.flush(); time.sleep(0.7); print(token[9:])
"""

SERVER = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            print("dying with", token, flush=True); os._exit(3)
        print("asked with", token, flush=True)
        self.send_response(200); self.end_headers(); self.wfile.write(os.environ["API_TOKEN"].encode())
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Answer).serve_forever()
"""

ANSWERS = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", str(len(token))); self.end_headers()
        self.wfile.write(token.encode())
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Answer).serve_forever()
"""

SERVICE = "service: {port: 5000, startup_timeout: 20s}"
SECRETS = "secrets: {API_TOKEN: weather, PRIVATE_KEY: weather}"


def keep(tool: Tool) -> None:
    assert tool.told("secret", "set", "weather", "API_TOKEN", text=f"{TOKEN}\n").code == 0
    assert tool.told("secret", "set", "weather", "PRIVATE_KEY", text=PRIVATE + "\n").code == 0


def forms() -> list[bytes]:
    """What nobody may find."""
    token = TOKEN.encode()
    lines = [line.encode() for line in PRIVATE.splitlines()]
    quoted = [quote(TOKEN).encode(), quote_plus(TOKEN).encode()]
    around = base64.b64encode(b"me:" + token + b"@host")[4:-8]
    return [token, *lines, *quoted, around, base64.b64encode(token)[:-2], base64.b64encode(lines[1])[:16]]


def files_with_values(tool: Tool) -> list[str]:
    """`grep -r` over the home, but for the files of secrets."""
    found = []
    for path in (tool.home / "state").rglob("*"):
        if path.is_file() and "secrets" not in path.relative_to(tool.home / "state").parts[:1]:
            data = path.read_bytes()
            found += [f"{path}: {form!r}" for form in forms() if form in data]
    return found


def without_values(text: str) -> bool:
    return not [form for form in forms() if form in text.encode()]


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: str = answer.read().decode()
        return body


def test_nothing_that_is_kept_or_shown_has_a_value(tool: Tool, repository: Repository) -> None:
    keep(tool)
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}workflow: one >> serve\nstages:\n  one: {{run: one.py, {SECRETS}}}\n"
            f"  serve: {{run: serve.py, {SECRETS}, {SERVICE}}}\n",
            "one.py": PRINTS,
            "serve.py": PRINTS + SERVER,
        }
    )
    with tool.start("deploy", str(repository.path)) as deploy:
        seen = b""
        while deploy.poll() is None:
            seen += command_lines()
            time.sleep(0.05)
        assert deploy.stdout and deploy.stderr
        shown = deploy.stdout.read() + deploy.stderr.read()
    assert deploy.returncode == 0, shown
    assert without_values(shown) and shown.count("plain ***") == 2 and "two writes ***" in shown
    url = tool.good("status", "demo", "-o", "json").json["services"][0]["url"]
    assert get(url) == TOKEN
    seen += command_lines()
    assert b"log_filter.py" in seen
    assert not [form for form in forms() if form in seen]
    logs = wait_for(lambda: "asked with ***" in (out := tool.good("logs", "demo").out) and out)
    assert without_values(logs)
    for line in ("plain ***", "two writes ***", "quoted *** ***"):
        assert logs.count(line) == 2, logs
    assert files_with_values(tool) == []


def test_a_replica_and_its_filter_outlive_the_agent(tool: Tool, repository: Repository) -> None:
    keep(tool)
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}stages:\n  serve: {{run: serve.py, {SECRETS}, {SERVICE}}}\n",
            "serve.py": 'import os\ntoken = os.environ["API_TOKEN"]\n' + SERVER,
        }
    )
    tool.good("deploy", str(repository.path))
    url = tool.good("status", "demo", "-o", "json").json["services"][0]["url"]
    agent = tool.good("agent", "status", "-o", "json").json
    replica = agent["services"][0]["replicas"][0]["pid"]
    get(url)
    os.kill(agent["pid"], 9)
    again = wait_for(
        lambda: (
            (a := tool("agent", "status", "-o", "json").json)["running"] and a["pid"] != agent["pid"] and a
        )
    )
    assert again["services"][0]["replicas"][0]["pid"] == replica
    wait_for(lambda: get(url) == TOKEN)
    wait_for(lambda: tool.good("logs", "demo").out.count("asked with ***") >= 2)
    with pytest.raises(OSError):
        get(f"{url}/die")
    wait_for(lambda: "dying with ***" in tool.good("logs", "demo").out)
    assert files_with_values(tool) == []


def test_a_service_that_dies_at_once_says_why_without_the_value(tool: Tool, repository: Repository) -> None:
    keep(tool)
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}stages:\n  serve: {{run: serve.py, {SECRETS}, {SERVICE}}}\n",
            "serve.py": 'import os\nraise SystemExit("cannot log in with " + os.environ["API_TOKEN"])\n',
        }
    )
    answer = tool("deploy", str(repository.path))
    assert answer.code == 1
    assert "cannot log in with ***" in answer.out + answer.err
    assert without_values(answer.out + answer.err)
    assert files_with_values(tool) == []


def test_a_missing_secret_is_told_with_the_command_before_anything_runs(
    tool: Tool, repository: Repository
) -> None:
    one = {
        "bodywork.yaml": f"{HEAD}workflow: one\non_failure: tell\nstages:\n"
        "  one: {run: one.py, secrets: {API_TOKEN: weather}}\n"
        "  tell: {run: one.py, secrets: {HOOK: chat}}\n",
        "one.py": "print('ran')\n",
    }
    repository.commit(one)
    for command in ("plan", "deploy"):
        answer = tool(command, str(repository.path))
        assert answer.code == 2
        assert "weather/API_TOKEN (for one), chat/HOOK (for tell)" in answer.err
        assert "bodywork secret set weather API_TOKEN; bodywork secret set chat HOOK" in answer.err
    tool.told("secret", "set", "wether", "API_TOKEN", text="hello")
    tool.told("secret", "set", "chat", "HOOKS", text="hello")
    err = tool("plan", str(repository.path)).err
    assert "there is a secret wether" in err and "the secret has HOOKS" in err
    assert not tool.good("runs").out


def test_a_run_is_resumed_only_with_its_secrets(tool: Tool, repository: Repository) -> None:
    """Those of stages that have succeeded are not needed again."""
    for name in ("first", "second"):
        tool.told("secret", "set", name, "KEY", text=f"value of {name}")
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}workflow: one >> two\nstages:\n"
            "  one: {run: one.py, secrets: {KEY: first}}\n  two: {run: two.py, secrets: {KEY: second}}\n",
            "one.py": "",
            "two.py": "import os\nassert os.path.exists(os.environ['HOME'] + '/ready'), os.environ['KEY']\n",
        }
    )
    failed = tool("deploy", str(repository.path))
    assert failed.code == 1 and "AssertionError: ***" in failed.out
    tool.good("secret", "delete", "first", "--yes")
    tool.good("secret", "delete", "second", "--yes")
    answer = tool("resume", "demo")
    assert answer.code == 2 and answer.err.endswith("bodywork secret set second KEY\n")
    tool.told("secret", "set", "second", "KEY", text="another value")
    (tool.home / "ready").touch()
    tool.good("resume", "demo")


def test_a_value_that_others_can_read_is_refused(tool: Tool, repository: Repository) -> None:
    keep(tool)
    (tool.home / "state/secrets/weather/API_TOKEN").chmod(0o640)
    repository.commit(
        {"bodywork.yaml": f"{HEAD}stages:\n  one: {{run: one.py, {SECRETS}}}\n", "one.py": "print(1)\n"}
    )
    answer = tool("deploy", str(repository.path))
    assert answer.code == 2 and "chmod 600" in answer.err
    findings = tool("doctor", "-o", "json").json
    (finding,) = [f for f in findings if f["name"] == "secrets"]
    assert finding["state"] == "warning" and "chmod 600" in finding["advice"]


def test_a_changed_value_takes_effect_when_a_service_starts_again(tool: Tool, repository: Repository) -> None:
    tool.told("secret", "set", "weather", "API_TOKEN", text="first value")
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}stages:\n  serve: {{run: serve.py, secrets: {{API_TOKEN: weather}}, "
            "service: {port: 5000}}\n",
            "serve.py": 'import os\ntoken = os.environ["API_TOKEN"]\n' + SERVER,
        }
    )
    tool.good("deploy", str(repository.path))
    url = tool.good("status", "demo", "-o", "json").json["services"][0]["url"]
    changed = tool.told("secret", "set", "weather", "API_TOKEN", text="second value")
    assert changed.out == "changed weather/API_TOKEN\n"
    assert "service serve of demo has the old value until it starts again\n" in changed.err
    assert get(url) == "first value"
    tool.good("agent", "stop")
    tool.good("agent", "start")

    def answers() -> str:
        try:
            return get(url)
        except OSError:
            return ""

    assert wait_for(answers) == "second value"
    assert "second" not in json.dumps(tool.good("agent", "status", "-o", "json").json)


def test_a_deploy_rolls_out_a_service_whose_secret_was_changed(place: Place, repository: Repository) -> None:
    tool = place.tool
    tool.told("secret", "set", "weather", "API_TOKEN", text="first value")
    tool.told("secret", "set", "other", "API_TOKEN", text="first value")
    stage = "{{run: serve.py, secrets: {{API_TOKEN: {}}}, service: {{port: 5000}}}}"
    stages = f"  one: {stage.format('weather')}\n  two: {stage.format('other')}\n"
    repository.commit(
        {
            "bodywork.yaml": f"{HEAD}workflow: one, two\nstages:\n{stages}",
            "serve.py": 'import json, os\ntoken = json.dumps(os.environ["API_TOKEN"])\n' + ANSWERS,
        }
    )

    def planned() -> list[tuple[str, str]]:
        plan = tool.good("plan", str(repository.path), "-o", "json").json
        return [(stage["action"], stage["reason"]) for stage in plan["stages"]]

    kept = ("keep", "same files, packages, settings and inputs")
    tool.good("deploy", str(repository.path))
    assert planned() == [kept, kept]
    assert "of demo" not in tool.told("secret", "set", "third", "API_TOKEN", text="1st value").err
    tool.told("secret", "set", "weather", "API_TOKEN", text="second value")
    assert planned() == [
        ("replace", "secret weather/API_TOKEN was changed since it was rolled out"),
        kept,
    ]
    services = tool.good("deploy", str(repository.path), "-o", "json").json["services"]
    assert place.ask([(one["url"], None) for one in services]) == ["second value", "first value"]
    assert planned() == [kept, kept]
    tool.told("secret", "set", "other", "API_TOKEN", text="third value")
    services = tool.good("deploy", str(repository.path), "--only", "two", "-o", "json").json["services"]
    assert place.ask([(one["url"], None) for one in services]) == ["second value", "third value"]
