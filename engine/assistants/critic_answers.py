"""What a critic that reasons is asked about a clip, and what it answers, read as a critique.

Comes in: the texts of some trials, in the form that Cosmos-Reason1 learned: ``<think>`` with components, each with an
``<anomaly>``, then ``<answer>``. Goes out: a ``Critique``. Pure. Does not know models, endpoints or takes.
"""

import html
import re
from collections import Counter
from collections.abc import Sequence

from engine.contract.assistants import Critique, Trial

SYSTEM = """You are a careful analyst of videos. Look for anomalies and artifacts: things that break physics or common \
sense, shapes that melt, flicker or swap, things that appear or vanish without a cause. Do not count a deliberate style.
Answer in this form, one component for each thing or region that you looked at:
<think>
<overview>what the video shows</overview>
<component name="what it is">
<analysis>what it does, and what is wrong with it, if anything</analysis>
<anomaly>Yes or No</anomaly>
</component>
</think>
<answer>Yes or No</answer>"""
"""The tags and their order are what Cosmos-Reason1 was trained on."""

QUESTION = "Does this video have any anomalies or artifacts? Answer Yes or No."

LONGEST_REASON = 300
MOST_REASONS = 5
_FLAGS = re.IGNORECASE | re.DOTALL
_ANSWER = re.compile(r"<answer>\s*[\"'*(]*\s*(yes|no)\b", _FLAGS)
_COMPONENT = re.compile(
    r"<component\b[^>]*?name\s*=\s*[\"']([^\"'>]*)[\"'][^>]*>(.*?)(?=</component>|<component\b|$)", _FLAGS
)
_ANALYSIS = re.compile(r"<analysis>(.*?)(?=</?(?:analysis|anomaly|component|think)\b|$)", _FLAGS)
_ANOMALY = re.compile(r"<anomaly>\s*yes\b", _FLAGS)
_CHOICE = re.compile(r"(?<![A-Za-z])([AB])(?![A-Za-z])")
_THINKING = re.compile(r"<think>.*?</think>", _FLAGS)


def question(prompt: str) -> str:
    """What is asked about a clip; the prompt it was made from, where that is known, stands before the question."""
    asked_for = " ".join(prompt.split())
    return f"The video was made from this description: {asked_for}\n{QUESTION}" if asked_for else QUESTION


def read_trial(text: str) -> Trial:
    """``passed``: whether the answer is No, there are no anomalies; None where there is no answer."""
    found = _ANSWER.findall(text)
    return Trial(passed=found[-1].lower() == "no" if found else None, text=text)


def read_choice(text: str) -> str | None:
    """The first A or B behind the reasoning, for questions that offer two options."""
    found = _CHOICE.search(_THINKING.sub("", text))
    return found.group(1) if found else None


def critique_of(texts: Sequence[str], source: str) -> Critique:
    """The share of passed trials among those that could be read; 0 where none could. Reasons: what most trials name."""
    trials = tuple(map(read_trial, texts))
    read = [trial.passed for trial in trials if trial.passed is not None]
    score = sum(read) / len(read) if read else 0.0
    reasons = _reasons(texts) if read else ("none of its answers could be read",)
    return Critique(score=score, source=source, reasons=reasons, trials=trials)


def faults(text: str) -> list[tuple[str, str]]:
    """(component, analysis) of each component that has an anomaly."""
    components = _COMPONENT.findall(text)
    return [(_line(name) or "something", _analysis(body)) for name, body in components if _ANOMALY.search(body)]


def _reasons(texts: Sequence[str]) -> tuple[str, ...]:
    """One for each component with a fault, the one that most trials name first, in the words of the first of them."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for text in texts:
        named = faults(text)
        counts.update(list(dict.fromkeys(name.lower() for name, _ in named)))
        for name, analysis in named:
            first.setdefault(name.lower(), f"{name}: {analysis}" if analysis else name)
    return tuple(first[name][:LONGEST_REASON] for name, _ in counts.most_common(MOST_REASONS))


def _analysis(body: str) -> str:
    found = _ANALYSIS.search(body)
    return _line(found.group(1)) if found else ""


def _line(text: str) -> str:
    return " ".join(html.unescape(text).split())
