"""A small real application for the example pair: numbered events over HTTP, kept in SQLite, and in a MariaDB.

    GET  /         {"node": "node-a", "count": 42}
    GET  /events   what was appended, book by book: {"sqlite": ["..."], "mariadb": ["..."]}
    POST /events   appends the body as an event: {"node": "node-a", "number": 43}

An event is answered only when it is on the disk in each book. Without --database SQLite is the only one.
Standard library only, and MariaDB's own client.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NODE = os.uname().nodename
MAX_EVENT = 64 * 1024


class Sqlite:
    """The one table: WAL, synchronous=FULL. One connection, one writer at a time."""

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

    def bodies(self) -> list[str]:
        with self._lock:
            return [body for (body,) in self._database.execute("SELECT body FROM events ORDER BY number")]


class Mariadb:
    """The same table in a MariaDB, through its command-line client."""

    def __init__(self, socket: str) -> None:
        self._lock = threading.Lock()
        self._client = subprocess.Popen(
            ["mariadb", "--no-defaults", f"--socket={socket}", "--user=app", "-N", "-B", "-n", "-r", "shop"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def append(self, body: str) -> int:
        values = f"'{NODE}', x'{body.encode().hex()}'"
        return int(self._ask(f"INSERT INTO events (node, body) VALUES ({values}); SELECT last_insert_id();"))

    def bodies(self) -> list[str]:
        lists = "concat('[', coalesce(group_concat(json_quote(body) ORDER BY number), ''), ']')"
        unlimited = "SET SESSION group_concat_max_len = 1073741824;"
        return json.loads(self._ask(f"{unlimited} SELECT {lists} FROM events;"))

    def _ask(self, statement: str) -> str:
        """The one line that it answers. A client that ended means that the database did."""
        with self._lock:
            self._client.stdin.write(statement + "\n")
            self._client.stdin.flush()
            line = self._client.stdout.readline()
        if not line:
            os._exit(1)
        return line


class Handler(BaseHTTPRequestHandler):
    sqlite: Sqlite
    mariadb: Mariadb | None = None

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(200, {"node": NODE, "count": self.sqlite.count()})
        elif self.path == "/events":
            books = {"sqlite": self.sqlite.bodies()}
            self._answer(200, books | ({"mariadb": self.mariadb.bodies()} if self.mariadb else {}))
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
            if self.mariadb:
                self.mariadb.append(body)
            self._answer(201, {"node": NODE, "number": self.sqlite.append(body)})

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
    parser.add_argument("--database", help="socket of a MariaDB that keeps the events, too")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    Handler.sqlite = Sqlite(options.data)
    if options.database:
        Handler.mariadb = Mariadb(options.database)
    server = Server(("", options.port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.02)


if __name__ == "__main__":
    main()
