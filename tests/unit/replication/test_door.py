"""The replicator's process: what it allows itself before it begins."""

from __future__ import annotations

import resource

from hsorch.node.replication.door import allow_open_files


def test_an_application_may_have_more_files_open_than_a_service_is_given() -> None:
    given = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, given[1]))
        allow_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (given[1], given[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, given)
