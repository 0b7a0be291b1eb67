"""The steps of a plan as waves of what runs side by side, as DOT, and as Mermaid."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hsorch.plan.model import Step


def waves(steps: Sequence[Step]) -> str:
    """A step stands in the first wave in which all that it needs is done."""
    if not steps:
        return "No steps: both nodes match."
    wave: dict[str, int] = {}
    for step in steps:
        wave[step.id] = 1 + max((wave[need] for need in step.needs), default=0)
    lines = []
    for number in range(1, max(wave.values()) + 1):
        lines.append(f"{number}")
        here = [step for step in steps if wave[step.id] == number]
        for step in here:
            branch = "└─" if step is here[-1] else "├─"
            lines.append(f"{branch} {step.text}")
    return "\n".join(lines)


def dot(steps: Sequence[Step]) -> str:
    nodes = [f'  "{step.id}" [label="{step.text}"];' for step in steps]
    edges = [f'  "{need}" -> "{step.id}";' for step in steps for need in step.needs]
    return "\n".join(["digraph apply {", "  rankdir=LR;", "  node [shape=box];", *nodes, *edges, "}"])


def mermaid(steps: Sequence[Step]) -> str:
    number = {step.id: f"s{index}" for index, step in enumerate(steps)}
    nodes = [f'  {number[step.id]}["{step.text}"]' for step in steps]
    edges = [f"  {number[need]} --> {number[step.id]}" for step in steps for need in step.needs]
    return "\n".join(["flowchart LR", *nodes, *edges])


RENDERERS: dict[str, Callable[[Sequence[Step]], str]] = {"text": waves, "dot": dot, "mermaid": mermaid}
