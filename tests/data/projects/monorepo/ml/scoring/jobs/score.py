import http.server

from features import double
from vendored.weights import WEIGHT


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(double(WEIGHT)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.HTTPServer(("", 7070), Answer).serve_forever()
