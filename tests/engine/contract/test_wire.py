"""The lines between service and ranks: every message comes back as it was, on one line."""

import pytest
from pydantic import ValidationError

from engine.contract import wire
from tests.engine.factories import a_job

COMMANDS = [
    wire.RunJob(job=a_job("two\nlines, and ünïcode"), attempt=2),
    wire.CancelJob(job_id="j1"),
    wire.Pause(),
    wire.Resume(),
    wire.Shutdown(),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.type)
def test_round_trip(command: wire.Command) -> None:
    sent = wire.line(command)
    assert sent.count(b"\n") == 1 and sent.endswith(b"\n")
    assert wire.COMMAND.validate_json(sent) == command


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b'{"type":"jump"}', b'{"type":"pause","now":1}', b'{"type":"cancel","job_id":"../x"}']
)
def test_what_is_no_command(raw: bytes) -> None:
    with pytest.raises(ValidationError):
        wire.COMMAND.validate_json(raw)
