"""Orders name who gave them, also where the system has no name for the user."""

from __future__ import annotations

import os

import pytest

from hsorch.plan.actor import actor, login_name


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes a user without a name: needs root")
def test_a_user_without_a_passwd_entry_is_named_by_number() -> None:
    child = os.fork()
    if child == 0:
        for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            os.environ.pop(name, None)
        os.setuid(54321)
        os._exit(0 if login_name() == "uid 54321" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_actor_is_the_user_at_this_host() -> None:
    assert actor() == f"{login_name()}@{os.uname().nodename}"
