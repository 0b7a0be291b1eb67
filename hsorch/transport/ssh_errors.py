"""What paramiko says, in our words: one place, most specific first, each with the exact way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hsorch.errors import AuthError, TransportError

if TYPE_CHECKING:
    import paramiko


@contextmanager
def mapped(host: str, port: int, user: str) -> Iterator[None]:
    """Turns whatever paramiko or the socket raises inside into TransportError or AuthError."""
    import paramiko

    try:
        yield
    except paramiko.AuthenticationException as error:
        raise rejected(host, user) from error
    except paramiko.SSHException as error:
        raise _unreachable(host, port, error) from error
    except TimeoutError as error:
        raise TransportError(
            f"{host} port {port} did not answer in time",
            hint=f"check that {host} is on and that no firewall drops TCP port {port}",
            detail=str(error),
            code="HS502",
        ) from error
    except (OSError, EOFError) as error:
        raise _unreachable(host, port, error) from error


def refuse_unknown_key(known_hosts: Path) -> paramiko.MissingHostKeyPolicy:
    """Policy that never trusts on first use, and says how to trust knowingly."""
    import paramiko

    class RefuseUnknownKey(paramiko.MissingHostKeyPolicy):
        def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
            raise AuthError(
                f"the host key of {hostname} is not in {known_hosts}",
                hint="compare the fingerprint with the one shown on the server's own console by "
                "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`; if they are equal, "
                f"run: {_scan(hostname)} >> {known_hosts}",
                detail=f"the server offers {_print(key)}",
                code="HS511",
            )

    return RefuseUnknownKey()


def changed_key(host: str, port: int, known_hosts: Path, error: paramiko.BadHostKeyException) -> AuthError:
    name = host if port == 22 else f"[{host}]:{port}"
    return AuthError(
        f"the host key of {name} has changed: another machine answers, or the server was reinstalled",
        hint="find out which before anything else; only if the server was reinstalled, run: "
        f"ssh-keygen -f {known_hosts} -R '{name}' and then: {_scan(name)} >> {known_hosts}",
        detail=f"expected {_print(error.expected_key)}\nreceived {_print(error.key)}",
        code="HS512",
    )


def unreadable_known_hosts(known_hosts: Path, error: OSError) -> AuthError:
    return AuthError(
        f"cannot read {known_hosts}: {error.strerror}",
        hint=f"make {known_hosts} a readable file of known host keys",
        code="HS511",
    )


def unusable_key(host: str, where: str, error: Exception) -> AuthError:
    return AuthError(
        f"the private key for {host} in {where} cannot be used",
        hint="give a readable ed25519, ECDSA or RSA key without passphrase, or leave `key` out "
        "and load the key into ssh-agent",
        detail=str(error),
        code="HS513",
    )


def no_sudo(host: str, user: str, stderr: bytes) -> AuthError:
    return AuthError(
        f"{user} cannot use sudo on {host} without a password",
        hint=f"on {host}, install sudo and allow it: echo '{user} ALL=(root) NOPASSWD: ALL' "
        "> /etc/sudoers.d/hsorch; or connect as root",
        detail=stderr.decode(errors="replace").strip(),
        code="HS514",
    )


def rejected(host: str, user: str) -> AuthError:
    return AuthError(
        f"{host} did not accept {user}'s key",
        hint=f"add the public key to ~{user}/.ssh/authorized_keys on {host}, "
        "or name the right `user` and `key` under connect.ssh",
        code="HS513",
    )


def _unreachable(host: str, port: int, error: Exception) -> TransportError:
    return TransportError(
        f"cannot reach {host} by SSH on port {port}",
        hint=f"check that {host} is on, that sshd listens on port {port}, and the route from here: "
        f"ssh -p {port} {host}",
        detail=str(error),
        code="HS501",
    )


def _print(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"


def _scan(name: str) -> str:
    """The ssh-keyscan call for `host` or `[host]:port`."""
    host, _, port = name.removeprefix("[").partition("]:")
    return f"ssh-keyscan -p {port} {host}" if port else f"ssh-keyscan {host}"
