"""ClickHouse's HTTP interface, as far as a question in a POST's body goes, before an embedded ClickHouse.

usage: clickhouse.py PORT USER PASSWORD
"""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import chdb

port, user, password = int(sys.argv[1]), *sys.argv[2:4]


class Door(BaseHTTPRequestHandler):
    def do_POST(self):
        question = self.rfile.read(int(self.headers["Content-Length"])).decode()
        keys = self.headers["X-ClickHouse-User"], self.headers["X-ClickHouse-Key"]
        if keys != (user, password):
            status, answer = 403, b"Code: 516. DB::Exception: Authentication failed"
        else:
            status, answer = 200, chdb.query(question).bytes()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


HTTPServer(("127.0.0.1", port), Door).serve_forever()
