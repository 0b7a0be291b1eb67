"""The agent's loop: nobody waits for an answer that will not come."""

from __future__ import annotations

import threading

import pytest

from hsorch.node.loop import Loop


def broken() -> int:
    raise OSError(24, "Too many open files")


def until_something_comes(loop: Loop[int]) -> list[int]:
    while not (posted := loop.wait(5.0)):
        pass
    return posted


def test_a_job_that_breaks_ends_the_loop_instead_of_leaving_its_answer_out() -> None:
    loop: Loop[int] = Loop()
    loop.work("fence", broken)
    with pytest.raises(OSError, match="Too many open files"):
        until_something_comes(loop)


def test_answers_arrive_in_the_order_in_which_they_came() -> None:
    loop: Loop[int] = Loop()
    for number in range(3):
        loop.post(number)
    assert until_something_comes(loop) == [0, 1, 2]


def test_jobs_one_after_the_other_share_a_thread_and_a_hanging_one_keeps_none_waiting() -> None:
    loop: Loop[int] = Loop()
    go_on = threading.Event()
    for _ in range(3):
        loop.work("check", threading.get_ident)
        last = until_something_comes(loop)
    loop.work("check", threading.get_ident)
    assert until_something_comes(loop) == last
    loop.work("hangs", lambda: int(go_on.wait(30)))
    loop.work("check", threading.get_ident)
    assert until_something_comes(loop) != last
    go_on.set()
    assert until_something_comes(loop) == [1]
