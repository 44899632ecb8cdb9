"""A small HTTP server for the tests: answers `RELEASE replica pid`, kept-alive, in threads.

$MODE: serve (default), children (with two, one in a session of its own), die (exit with 3), sleep
(bind nothing), elsewhere (bind $ELSEWHERE), sick (GET /health answers 503), old (HTTP/1.0: each
answer ends by closing).
"""

import http.server
import os
import pathlib
import subprocess
import sys
import time

mode = os.environ.get("MODE", "serve")
print(f"server in mode {mode}", flush=True)
if mode == "children":
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["sleep", "601"], start_new_session=True)


class Handler(http.server.BaseHTTPRequestHandler):
    wbufsize = -1
    protocol_version = "HTTP/1.0" if mode == "old" else "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/slow/"):
            time.sleep(float(self.path.rpartition("/")[2]))
        sick = mode == "sick" and self.path == "/health"
        if self.path == "/sick":
            pathlib.Path("sick").touch()
        sick = sick or (self.path == "/health" and pathlib.Path("sick").exists())
        if self.path == "/crash":
            os._exit(9)
        self.answer(503 if sick else 200)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200)

    def answer(self, status):
        body = f"{os.environ['BODYWORK_RUN']} {os.environ['BODYWORK_REPLICA']} {os.getpid()}".encode()
        self.send_response(status)
        if mode != "old":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


if mode == "die":
    print("no model here", flush=True)
    sys.exit(3)
if mode == "sleep":
    time.sleep(600)
port = int(os.environ["ELSEWHERE"] if mode == "elsewhere" else os.environ["PORT"])
Server(("127.0.0.1", port), Handler).serve_forever()
