"""The replicator's process: what it allows itself before it begins; whoever asks it gets an answer."""

from __future__ import annotations

import errno
import resource
import socket
import threading
from pathlib import Path
from unittest.mock import MagicMock

import msgspec
import pytest

from hsorch.errors import NodeError
from hsorch.node import control
from hsorch.node.paths import Paths
from hsorch.node.replication.door import allow_open_files, serve
from hsorch.node.replication.orders import ReplicationStatus
from hsorch.node.replication.replicator import Replicator


@pytest.mark.parametrize(
    ("why", "says"),
    [
        (OSError(errno.EIO, "Input/output error", "/srv/db"), "/srv/db"),
        (ValueError("meta: checksum"), "meta: checksum"),
        (msgspec.DecodeError("meta: cut short"), "meta: cut short"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_what_keeps_a_verb_from_being_carried_out_is_said(tmp_path: Path, why: Exception, says: str) -> None:
    """And it is not taken for a replicator that does not run."""
    replicator = MagicMock(spec=Replicator)
    replicator.confirm.side_effect = replicator.status.side_effect = why
    paths, stopped = Paths("pair", tmp_path), threading.Event()
    paths.replicator_control.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(paths.replicator_control))
        door.listen()
        serving = threading.Thread(target=serve, args=(door, replicator, stopped))
        serving.start()
        try:
            with pytest.raises(NodeError) as told:
                control.ask_replicator(paths, "status", b"{}", ReplicationStatus, 10)
        finally:
            stopped.set()
            serving.join()
    assert told.value.code == "HS640"
    assert says in told.value.message
    assert told.value.hint


def test_an_application_may_have_more_files_open_than_a_service_is_given() -> None:
    given = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, given[1]))
        allow_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (given[1], given[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, given)
