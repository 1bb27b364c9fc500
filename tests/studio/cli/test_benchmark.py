"""What ``--benchmark`` makes of takes: means, spreads, tokens and operations; and that its flag is checked."""

from pathlib import Path

import pytest

from studio.cli.benchmark import as_json, figures_of, operations_of, table
from studio.cli.flags import WRONG
from studio.cli.main import main
from studio.planning.cost import memory_bytes, num_tokens
from tests.studio.planning.factories import CARD, TOGETHER, board, known, planned, take_of


def test_figures_of_two_runs() -> None:
    job = planned(board({"duration_s": 2})).jobs[0]
    runs = [take_of(job).model_copy(update={"render_s": s, "timings_s": {"denoise": s / 2}}) for s in (4.0, 6.0)]
    figures = figures_of(runs, CARD, 2 * 10**9)
    assert (figures.stages["all"].mean_s, figures.stages["all"].deviation_s) == (5.0, pytest.approx(2**0.5))
    assert figures.num_tokens == num_tokens(job, CARD) == 5 * (96 // 16) * (64 // 16)
    branch = 2 * CARD.network.num_parameters * 120 + 4 * CARD.network.num_blocks * 120**2 * CARD.network.width
    assert operations_of(job, CARD) == 2 * job.num_evaluations * branch
    assert figures.tflops == pytest.approx(operations_of(job, CARD) / 2.5e12)
    assert table(figures, 2)[-1].startswith(f"2 runs, 120 tokens, {job.num_evaluations} evaluations, 2.0 GB of memory")
    assert as_json(figures, 2)["memory_bytes"] == 2 * 10**9


def test_operations_of_a_joint_model_are_not_known() -> None:
    storyboard = board({"duration_s": 3}).model_copy(update={"model": TOGETHER.name})
    assert operations_of(planned(storyboard, models=known(TOGETHER)).jobs[0], TOGETHER) == 0


def test_no_runs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--workspace", str(tmp_path), "--prompt", "a", "--benchmark", "0"]) == WRONG
    assert "--benchmark: must be from 1 to 1000 runs, not 0" in capsys.readouterr().err


def test_memory_grows_with_the_size_and_falls_with_offload() -> None:
    small, large = (planned(board({}, size_px=size)).jobs[0] for size in ((64, 64), (96, 96)))
    assert memory_bytes(small, CARD) < memory_bytes(large, CARD)
    card = CARD.model_copy(update={"text": CARD.text.model_copy(update={"num_parameters": 10**9})})
    spare = planned(board({}, speed={"offload": "components"})).jobs[0]
    assert memory_bytes(spare, card) == 4 * 10**9 < memory_bytes(planned(board({})).jobs[0], card)
