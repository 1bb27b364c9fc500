"""The option ``--goldens DIR``, with which the differences of every case are printed at the end."""

from pathlib import Path

import pytest


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
    cases = [report for report in reports if "::test_golden[" in report.nodeid and report.when == "call"]
    terminalreporter.section("differences from the golden numbers")
    for report in sorted(cases, key=lambda report: report.nodeid):
        name = report.nodeid.partition("[")[2].removesuffix("]")
        for line in report.capstdout.splitlines() or ["equal, nothing to measure"]:
            terminalreporter.write_line(f"{name}: {line}")
