"""Does it answer? TCP, HTTP(S) and command checks, each bounded by a deadline to the last byte.

No HTTP client: a health check needs the status line only, and a server that drips one byte a second must
not outlive the limit.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from hsorch.errors import NodeError
from hsorch.node.resource.call import Call
from hsorch.node.system.base import Deadline
from hsorch.spec import Check, CommandCheck, HttpCheck, TcpCheck

if TYPE_CHECKING:
    import ssl

_LINE_LIMIT = 8192


def perform(call: Call, check: Check) -> str:
    """What answered, in a few words. Raises NodeError HS659, or TimeLimitError for a command."""
    if isinstance(check, TcpCheck):
        with _connect(check.host, check.port, call.deadline):
            return f"{check.host}:{check.port} accepts"
    if isinstance(check, HttpCheck):
        return _http(check, call.deadline)
    return _command(call, check)


def _command(call: Call, check: CommandCheck) -> str:
    done = call.system.processes.execute(call.launch(check.argv, "check"), call.deadline)
    if done.code is None:
        raise call.ran_out(f"the check {check.argv[0]}", done.output)
    if done.code != 0:
        raise NodeError(
            f"the check {check.argv[0]} ended with {done.code}",
            hint="run it by hand on this node",
            detail=done.output,
            code="HS659",
        )
    return f"{check.argv[0]} says yes"


def _http(check: HttpCheck, deadline: Deadline) -> str:
    parts = urlsplit(check.url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    connection = _connect(host, parts.port or (443 if secure else 80), deadline)
    try:
        if secure:
            connection = _encrypt(connection, host, check)
        status = _status(connection, parts, deadline)
    except TimeoutError as error:
        raise _no_answer(check.url, "connected, but no answer in time") from error
    except (OSError, ValueError) as error:
        raise _no_answer(check.url, str(error)) from error
    finally:
        connection.close()
    if status != check.expect_status:
        raise _no_answer(check.url, f"answers {status} instead of {check.expect_status}")
    return f"{check.url} answers {status}"


def _status(connection: socket.socket, parts: SplitResult, deadline: Deadline) -> int:
    """Raises OSError; ValueError when it is not HTTP."""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.sendall(
        f"GET {target} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
        "User-Agent: hsorch\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
    )
    line = b""
    while b"\n" not in line:
        if not (left := deadline.left()):
            raise TimeoutError
        connection.settimeout(left)
        received = connection.recv(4096)
        line += received
        if not received or len(line) > _LINE_LIMIT:
            break
    words = line.split(b"\n")[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ValueError("the answer is not HTTP")
    return int(words[1])


def _encrypt(connection: socket.socket, host: str, check: HttpCheck) -> socket.socket:
    """The handshake inherits the connection's timeout. Raises OSError (ssl.SSLError is one)."""
    import ssl

    if not check.verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif check.ca_file:
        context = ssl.create_default_context(cafile=check.ca_file)
    else:
        context = _system_trust()
    return context.wrap_socket(connection, server_hostname=host)


@cache
def _system_trust() -> ssl.SSLContext:
    """Loading the system's certificates takes about 25 ms of CPU: too much for every check."""
    import ssl

    return ssl.create_default_context()


def _connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    """To the first of its addresses that accepts. Raises NodeError HS659."""
    fault = "no address"
    for address in _resolve(host, deadline):
        try:
            return socket.create_connection((address, port), timeout=max(deadline.left(), 0.001))
        except OSError as error:
            fault = str(error)
    raise _no_answer(f"{host}:{port}", fault)


def _resolve(host: str, deadline: Deadline) -> list[str]:
    """A literal address costs nothing. A resolver knows no time limit, so it is left behind in a thread."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        found: list[str] = []
    resolver = threading.Thread(target=_look_up, args=(host, found), daemon=True)
    resolver.start()
    resolver.join(deadline.left())
    return list(found)


def _look_up(host: str, found: list[str]) -> None:
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return
    found.extend(str(address[0]) for *_rest, address in answers)


def _no_answer(what: str, why: str) -> NodeError:
    return NodeError(f"{what}: {why}", hint="see whether the service is up and listens there", code="HS659")
