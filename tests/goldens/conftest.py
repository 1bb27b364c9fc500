"""The option ``--goldens DIR``, with which every case's differences are printed at the end; and one thread: with small
tensors two wait for each other whenever a core is busy."""

from pathlib import Path

import pytest
import torch

pytest.register_assert_rewrite("tests.goldens.runner", "tests.goldens.kinds")
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--goldens",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder with golden cases, may be given several times (default: those of this repository)",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What each golden case printed, passed ones too, where folders were asked for."""
    if not config.getoption("--goldens"):
        return
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    golden_reports = [report for report in reports if "::test_golden[" in report.nodeid and report.when == "call"]
    terminalreporter.section("differences from the golden numbers")
    for report in sorted(golden_reports, key=lambda report: report.nodeid):
        name = report.nodeid.partition("[")[2].removesuffix("]")
        for line in report.capstdout.splitlines() or ["equal, nothing to measure"]:
            terminalreporter.write_line(f"{name}: {line}")
