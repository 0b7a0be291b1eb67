"""The worlds of the command line's tests: a run of hsorch in this process, and a report with known faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsorch.cli import nodes, verify
from hsorch.cli.main import main
from hsorch.cli.render.report import Checked, Report
from hsorch.manifest.diagnostics import Diagnostic, Label, Severity, Source, Span
from hsorch.manifest.load import Loaded
from tests.unit.cli.data_pair import BOOK, PAGE, SOURCE, TARGET, Holdings, file
from tests.unit.cli.pair import MANIFEST as PAIR
from tests.unit.cli.pair import FakePair


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Hsorch = Callable[..., Ran]


@pytest.fixture
def hsorch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hsorch:
    """Runs the command line in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ".state"))
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Ran:
        code = main(arguments)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


MANIFEST = """\
version: 1
servers:
\ta: {nïcs: {service: {adress: 10.0.0.1/24}}}
  東京: {address: 10.0.0.1/24}
links: {a: {port: 1},
  b: {port: 1}}
"""


@pytest.fixture
def report() -> Report:
    """Two manifests: one with a fault of each kind, one without."""
    source = Source(name="site/cluster.yaml", text=MANIFEST)

    def span(line: int, column: int, end_line: int, end_column: int) -> Span:
        return Span(source.name, line, column, end_line, end_column)

    diagnostics = (
        Diagnostic(
            code="HS201",
            severity=Severity.ERROR,
            message="unknown key 'adress'",
            span=span(3, 23, 3, 29),
            help="did you mean 'address'?",
            fix="address",
        ),
        Diagnostic(
            code="HS301",
            severity=Severity.ERROR,
            message="two servers have the address 10.0.0.1",
            span=span(4, 17, 4, 28),
            help="give each server its own address",
            related=(Label(span=span(3, 31, 3, 42), text="first used here"),),
        ),
        Diagnostic(
            code="HS330",
            severity=Severity.WARNING,
            message="both links share 50% of, say, port: 1",
            span=span(5, 8, 6, 15),
            help="",
        ),
        Diagnostic(
            code="HS340",
            severity=Severity.INFO,
            message="a crash is detected within 1.5 s",
            span=span(1, 1, 1, 8),
            help="",
        ),
    )
    faulty = Loaded(cluster=None, diagnostics=diagnostics, sources={source.name: source})
    sound = Loaded(cluster=None, diagnostics=(), sources={})
    return Report((Checked("site/cluster.yaml", faulty), Checked("good.yaml", sound)))


@pytest.fixture
def held(hsorch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Holdings:
    """After a partition: b wrote to its book and has an image that a lacks; a wrote a little."""
    del hsorch  # It has changed into tmp_path.
    (tmp_path / "cluster.yaml").write_text(PAIR)
    pair = FakePair()
    pair.holdings = holdings = Holdings(tmp_path / "kept")
    pair.data = {"a": SOURCE, "b": TARGET}
    monkeypatch.setattr(nodes, "transport_of", lambda _cluster, server: pair.nodes[server.name])
    monkeypatch.setattr(verify, "EVERY_S", 0.0)
    holdings.pair = pair
    a, b = holdings.nodes["a"], holdings.nodes["b"]
    a.wrote, a.ordered = [file(BOOK, 1024, 5)], [file("/srv/app/index.db", 10, 90)]
    b.wrote = [file(BOOK, 2048, 60), file("/srv/app/index.db", 10, 30)]
    a.watched = [file("/srv/images/old.jpg", 5, 1), file(PAGE, 7, 1)]
    b.watched = [file("/srv/images/new.jpg", 9, 70), file("/srv/images/old.jpg", 5, 1), file(PAGE, 8, 80)]
    return holdings
