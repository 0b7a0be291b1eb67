"""A node behind an OpenSSH server: one connection, many channels, host keys strictly checked.

Not here: the words of its errors (ssh_errors.py). paramiko is imported at the first connection only.
"""

from __future__ import annotations

import shlex
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsorch.errors import TransportError
from hsorch.transport import ssh_errors
from hsorch.transport.base import Completed
from hsorch.transport.posix import PosixFiles

if TYPE_CHECKING:
    import paramiko

CHUNK = 1 << 16
NO_SUDO = (1, 127)
"""Exit codes of a sudo that asks for a password, and of a shell that finds none."""


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Where and as whom. Without key_file and key_text, the agent and the user's own keys are tried."""

    host: str
    user: str
    known_hosts: Path
    port: int = 22
    key_file: Path | None = None
    key_text: str = ""
    """Private key in PEM or OpenSSH form, as read from a secret reference; never logged."""
    sudo: bool = False
    connect_timeout_s: float = 5.0

    def __repr__(self) -> str:
        return f"SshTarget({self.user}@{self.host}:{self.port})"


class SshTransport(PosixFiles):
    """Connects at the first call and keeps the connection; a dead one is replaced at the next call."""

    def __init__(self, target: SshTarget) -> None:
        self._target = target
        self._client: paramiko.SSHClient | None = None
        self._lock = threading.Lock()

    def run(self, argv: list[str], stdin: bytes = b"", timeout: float = 30.0) -> Completed:
        prefix = ["sudo", "-n", "--"] if self._target.sudo else []
        with ssh_errors.mapped(self._target.host, self._target.port, self._target.user):
            channel = self._connected().open_session(timeout=self._target.connect_timeout_s)
            done = _converse(channel, shlex.join([*prefix, *argv]), stdin, timeout)
        if done is None:
            raise TransportError(
                f"{argv[0]} on {self._target.host} did not end within {timeout:g} s",
                hint="look at what the program waits for on the node, then run the command again",
                code="HS502",
            )
        if self._target.sudo and done.returncode in NO_SUDO and b"sudo: " in done.stderr:
            raise ssh_errors.no_sudo(self._target.host, self._target.user, done.stderr)
        return done

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connected(self) -> paramiko.Transport:
        with self._lock:
            transport = self._client.get_transport() if self._client else None
            if transport is None or not transport.is_active():
                self._client = _connect(self._target)
                transport = self._client.get_transport()
            assert transport is not None
            return transport


def _connect(target: SshTarget) -> paramiko.SSHClient:
    import paramiko

    key = _load_key(target)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(ssh_errors.refuse_unknown_key(target.known_hosts))
    try:
        if target.known_hosts.exists():
            client.load_host_keys(str(target.known_hosts))
    except OSError as error:
        raise ssh_errors.unreadable_known_hosts(target.known_hosts, error) from error
    try:
        client.connect(
            target.host,
            target.port,
            target.user,
            pkey=key,
            allow_agent=key is None,
            look_for_keys=key is None,
            timeout=target.connect_timeout_s,
            banner_timeout=target.connect_timeout_s,
            auth_timeout=target.connect_timeout_s,
        )
    except paramiko.BadHostKeyException as error:
        client.close()
        raise ssh_errors.changed_key(target.host, target.port, target.known_hosts, error) from error
    except paramiko.SSHException as error:
        open_but_refused = (transport := client.get_transport()) is not None and transport.is_active()
        client.close()
        if open_but_refused:
            raise ssh_errors.rejected(target.host, target.user) from error
        raise
    return client


def _load_key(target: SshTarget) -> paramiko.PKey | None:
    """Raises AuthError HS513 for a key that is missing, encrypted or not a key."""
    import paramiko

    try:
        if target.key_file is not None:
            return paramiko.PKey.from_path(target.key_file)
        if target.key_text:
            return _parse_key(target.key_text)
    except (OSError, ValueError, TypeError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        where = target.key_file or "the referenced secret"
        raise ssh_errors.unusable_key(target.host, str(where), error) from error
    return None


def _parse_key(text: str) -> paramiko.PKey:
    import paramiko

    kinds: tuple[Any, ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
    for kind in kinds:
        try:
            key: paramiko.PKey = kind.from_private_key(StringIO(text))
        except (paramiko.SSHException, ValueError):
            continue
        return key
    raise ValueError("not an ed25519, ECDSA or RSA private key without passphrase")


def _converse(channel: paramiko.Channel, command: str, stdin: bytes, timeout: float) -> Completed | None:
    """Feed stdin and drain both outputs at once: any one alone could fill its window and block the others.

    None when the deadline passed; closing the channel ends all three streams.
    """
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        channel.close()

    deadline = threading.Timer(timeout, expire)
    deadline.start()
    try:
        channel.exec_command(command)
        with ThreadPoolExecutor(2) as pool:
            pool.submit(_feed, channel, stdin)
            stderr = pool.submit(_drain, channel.recv_stderr)
            stdout = _drain(channel.recv)
        channel.status_event.wait()
        returncode = channel.recv_exit_status()
    finally:
        deadline.cancel()
        channel.close()
    if expired.is_set():
        return None
    if returncode < 0:
        raise ConnectionResetError("the connection ended before the program did")
    return Completed(returncode, stdout, stderr.result())


def _feed(channel: paramiko.Channel, stdin: bytes) -> None:
    try:
        channel.sendall(stdin)
        channel.shutdown_write()
    except OSError:
        # The program ended without reading all of it; its exit code tells the story.
        return


def _drain(receive: Any) -> bytes:
    parts = []
    while part := receive(CHUNK):
        parts.append(part)
    return b"".join(parts)
