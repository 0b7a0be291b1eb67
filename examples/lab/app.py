"""A small real application for the example pair: numbered events over HTTP, kept in SQLite.

    GET  /         {"node": "node-a", "count": 42}
    POST /events   appends the body as an event: {"node": "node-a", "number": 43}

An event is answered only when it is on the disk (WAL, synchronous=FULL). Standard library only.
"""

import argparse
import json
import os
import signal
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NODE = os.uname().nodename
MAX_EVENT = 64 * 1024


class Events:
    """The one table. One connection, one writer at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(folder / "events.db", check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS events"
            " (number INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT, body TEXT)"
        )

    def count(self) -> int:
        with self._lock:
            return self._database.execute("SELECT count(*) FROM events").fetchone()[0]

    def append(self, body: str) -> int:
        with self._lock:
            added = self._database.execute("INSERT INTO events (node, body) VALUES (?, ?)", (NODE, body))
            return added.lastrowid


class Handler(BaseHTTPRequestHandler):
    events: Events

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(200, {"node": NODE, "count": self.events.count()})
        else:
            self._answer(404, {"error": f"there is nothing at {self.path}"})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/events":
            self._answer(404, {"error": f"there is nothing at {self.path}"})
        elif length > MAX_EVENT:
            self._answer(413, {"error": f"an event has at most {MAX_EVENT} bytes"})
        else:
            body = self.rfile.read(length).decode(errors="replace")
            self._answer(201, {"node": NODE, "number": self.events.append(body)})

    def _answer(self, status: int, value: dict) -> None:
        data = json.dumps(value).encode() + b"\n"
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("/srv/app"))
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    Handler.events = Events(options.data)
    server = Server(("", options.port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.02)


if __name__ == "__main__":
    main()
