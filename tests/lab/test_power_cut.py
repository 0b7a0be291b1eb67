"""A power cut of the active node while clients write to a MariaDB: what they were told is there afterwards.

Two rounds of each mode; `make bench ARGS=power-cut` makes twenty.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.lab.power_cut import Mode, database_pair, power_cut

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(280),
    pytest.mark.skipif(
        shutil.which("mariadbd", path="/usr/sbin:/usr/bin") is None,
        reason="needs mariadbd: apt-get install mariadb-server",
    ),
]


@pytest.mark.parametrize("mode", ["complete", "logical"])
def test_a_power_cut_leaves_a_sound_database_with_all_that_was_promised(
    lab_allowed: None, tmp_path: Path, mode: Mode
) -> None:
    with database_pair(tmp_path, mode) as pair:
        for seed in range(2):
            outcome = power_cut(pair, seed)
            assert outcome.faults == ()
            assert outcome.commits > 0
            if mode == "complete":
                assert outcome.lost == 0
            else:
                assert outcome.lost_ms <= outcome.bound_ms
