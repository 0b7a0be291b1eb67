from __future__ import annotations

import pytest

from hsorch.spec import Spec
from tests.sim.pairs import pair


@pytest.fixture
def spec() -> Spec:
    """Default timings, witness over HTTP."""
    return pair()
