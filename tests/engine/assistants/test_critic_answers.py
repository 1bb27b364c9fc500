"""What a critic answers, read: scores, reasons, and answers that are cut off or of another form."""

import pytest

from engine.assistants.critic_answers import QUESTION, critique_of, faults, question, read_choice, read_trial

BALL = '<component name="ball"><analysis>it melts &amp; splits</analysis><anomaly>Yes</anomaly></component>'
WALL = "<component name='wall'><analysis>still</analysis><anomaly>No</anomaly></component>"
SHADOW = '<component name="Shadow"><analysis>points\nat the sun</analysis>\n<anomaly> yes </anomaly></component>'
FAULTY = f"<think><overview>a ball</overview>{WALL}{BALL}{SHADOW}</think>\n<answer>Yes</answer>"
CLEAN = f"<think>{WALL}</think><answer> no. </answer>"


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        (CLEAN, True),
        (FAULTY, False),
        ("<ANSWER>\nNO</ANSWER>", True),
        ("<answer>Yes", False),
        ("<answer>Yes</answer> ... <answer>No</answer>", True),
        ("<answer>Perhaps</answer>", None),
        ("<answer>None</answer>", None),
        ("no anomalies at all", None),
        ("", None),
    ],
)
def test_an_answer(text: str, passed: bool | None) -> None:
    assert read_trial(text).passed is passed


def test_the_score_is_the_share_of_what_could_be_read() -> None:
    found = critique_of([CLEAN, FAULTY, "cut off <think>", CLEAN], "critic")
    assert found.score == pytest.approx(2 / 3)
    assert found.reasons == ("ball: it melts & splits", "Shadow: points at the sun")
    assert [trial.passed for trial in found.trials] == [True, False, None, True]
    nothing = critique_of(["?", ""], "critic")
    assert (nothing.score, nothing.reasons) == (0.0, ("none of its answers could be read",))


def test_what_most_trials_name_comes_first() -> None:
    shadow = f"<think>{SHADOW}</think><answer>Yes</answer>"
    reasons = critique_of([FAULTY, shadow, shadow.replace("Shadow", "shadow")], "critic").reasons
    assert reasons == ("Shadow: points at the sun", "ball: it melts & splits")


def test_a_cut_off_component_still_counts() -> None:
    assert faults(BALL.removesuffix("</component>") + '<component name="next"><analysis>it') == [
        ("ball", "it melts & splits")
    ]


def test_choices_and_questions() -> None:
    assert read_choice("<think>A seems wrong</think> B") == "B"
    assert (read_choice("(A) it is."), read_choice("An apple"), read_choice("")) == ("A", None, None)
    assert question("") == QUESTION
    assert question("a\n boat").startswith("The video was made from this description: a boat\n")
