"""Each file in cases/ is one story: what was seen and what is wanted. Beside it lies the plan a user reads.

After a deliberate change: HSORCH_GOLDEN=write pytest tests/unit/plan, and look at the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
import yaml

from hsorch.cli.render import plan_graph, plan_json, plan_markdown, plan_text
from tests.unit.plan.worlds import HERE, plan_of

CASES = sorted((HERE / "cases").glob("*.yaml"))
RENDERED_IN_ALL_FORMS = ("fresh_pair", "vip_moves", "unsound_machines", "nothing_to_do")


def same(golden: Path, text: str) -> None:
    if os.environ.get("HSORCH_GOLDEN") == "write":
        golden.write_text(text + "\n")
    assert text + "\n" == golden.read_text()


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_the_plan_reads_as_told(file: Path, tmp_path: Path) -> None:
    plan = plan_of(yaml.safe_load(file.read_text()), tmp_path)
    same(file.with_suffix(".txt"), click.unstyle(plan_text.text(plan, verbose=True)))


@pytest.mark.parametrize("name", RENDERED_IN_ALL_FORMS)
@pytest.mark.parametrize(
    ("suffix", "render"),
    [
        (".json", plan_json.text),
        (".md", plan_markdown.text),
        (".dot", lambda plan: plan_graph.dot(plan.steps)),
        (".waves", lambda plan: plan_graph.waves(plan.steps)),
        (".mermaid", lambda plan: plan_graph.mermaid(plan.steps)),
    ],
)
def test_other_forms_of_the_plan(name: str, suffix: str, render, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    case = yaml.safe_load((HERE / "cases" / f"{name}.yaml").read_text())
    same(HERE / "cases" / f"{name}{suffix}", render(plan_of(case, tmp_path)))
