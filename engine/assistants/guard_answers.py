"""What guard models answer, read as verdicts: Qwen3Guard, Llama Guard 3, Aegis, and the classifier of video frames.

Comes in: a model's text, or its classes by frame. Goes out: a ``Verdict``, or ``AssistantFailed`` where no label is in
it: a guard that cannot be read has not called anything safe. Pure. Does not know models, endpoints or who asks.
"""

import re
from collections.abc import Mapping, Sequence

from engine.contract.assistants import Finding, Verdict
from engine.contract.errors import AssistantFailed

LONGEST_QUOTE = 120

QWEN_CATEGORIES: Mapping[str, str] = {
    "Violent": "violence, or how to do it",
    "Non-violent Illegal Acts": "crime without violence, such as theft, fraud or drugs",
    "Sexual Content or Sexual Acts": "sexual content",
    "PII": "personal data of someone",
    "Personally Identifiable Information": "personal data of someone",
    "Suicide & Self-Harm": "suicide or self-harm",
    "Unethical Acts": "discrimination, hate, harassment or deceit",
    "Politically Sensitive Topics": "false claims about politics",
    "Copyright Violation": "copies of protected works",
    "Jailbreak": "words that try to lift a model's limits",
}
"""Qwen3Guard's own list, and what each means for the author."""

LLAMA_GUARD_CATEGORIES: Mapping[str, str] = {
    "S1": "Violent Crimes",
    "S2": "Non-Violent Crimes",
    "S3": "Sex Crimes",
    "S4": "Child Exploitation",
    "S5": "Defamation",
    "S6": "Specialized Advice",
    "S7": "Privacy",
    "S8": "Intellectual Property",
    "S9": "Indiscriminate Weapons",
    "S10": "Hate",
    "S11": "Self-Harm",
    "S12": "Sexual Content",
    "S13": "Elections",
    "S14": "Code Interpreter Abuse",
}

AEGIS_CATEGORIES: Mapping[str, str] = {
    "O1": "Violence",
    "O2": "Sexual",
    "O3": "Criminal Planning",
    "O4": "Guns and Illegal Weapons",
    "O5": "Controlled Substances",
    "O6": "Suicide and Self Harm",
    "O7": "Sexual Minor",
    "O8": "Hate",
    "O10": "Harassment",
    "O11": "Threat",
    "O12": "Profanity",
}
"""By the numbers of the prompt, which has no O9."""

FRAME_CLASSES = ("Safe", "Sexual Content", "Violence", "Drugs", "Child Abuse", "Hate and Harassment", "Self-Harm")
"""Of the classifier of frames, by index. It is wrong at times: what it finds is advice."""

_QWEN_SAFETY = re.compile(r"^\W*Safety\W*:\W*(Safe|Unsafe|Controversial)\b", re.IGNORECASE | re.MULTILINE)
_QWEN_CATEGORIES = re.compile(r"^\W*Categories\W*:(.*)$", re.IGNORECASE | re.MULTILINE)
_LABEL = re.compile(r"\b(unsafe|safe)\b", re.IGNORECASE)
_CODE = re.compile(r"\b([SO]\d{1,2})\b", re.IGNORECASE)


def qwen_verdict(text: str, source: str) -> Verdict:
    """Of lines ``Safety: ...`` and ``Categories: ...``. Only Unsafe blocks; Controversial passes with its findings."""
    label = _QWEN_SAFETY.search(text)
    if label is None:
        raise _unreadable(text, source)
    kind = label.group(1).lower()
    named = _QWEN_CATEGORIES.search(text)
    names = [name.strip(" .*") for name in named.group(1).split(",")] if named else []
    names = [name for name in names if name and name.lower() != "none"]
    if kind == "safe":
        return Verdict(safe=True, source=source)
    what = "unsafe" if kind == "unsafe" else "controversial"
    findings = tuple(
        Finding(category=name, detail=f"called {what}: {QWEN_CATEGORIES.get(name, name)}") for name in names
    )
    unnamed = (Finding(category="other", detail=f"called {what}; the guard names no category"),)
    return Verdict(safe=kind != "unsafe", source=source, findings=findings or unnamed)


def llama_guard_verdict(text: str, source: str) -> Verdict:
    """Of ``safe``, or ``unsafe`` and a line of codes S1 to S14."""
    return _coded_verdict(text, source, LLAMA_GUARD_CATEGORIES)


def aegis_verdict(text: str, source: str) -> Verdict:
    """Of ``safe``, or ``unsafe`` and a line of codes O1 to O12."""
    return _coded_verdict(text, source, AEGIS_CATEGORIES)


def _coded_verdict(text: str, source: str, categories: Mapping[str, str]) -> Verdict:
    """Unsafe wherever that word is: a guard that says both has not called it safe."""
    labels = {label.lower() for label in _LABEL.findall(text)}
    if not labels:
        raise _unreadable(text, source)
    if "unsafe" not in labels:
        return Verdict(safe=True, source=source)
    codes = list(dict.fromkeys(code.upper() for code in _CODE.findall(text)))
    names = [categories.get(code, code) for code in codes] or ["other"]
    details = [f"called unsafe: {name.lower()}" if name != "other" else "called unsafe; no category" for name in names]
    findings = (Finding(category=name, detail=detail) for name, detail in zip(names, details, strict=True))
    return Verdict(safe=False, source=source, findings=tuple(findings))


def frames_verdict(classes: Sequence[tuple[int, int]], source: str) -> Verdict:
    """Of (frame, class) of every frame that was looked at; one finding for each class that is not Safe."""
    if not classes:
        raise AssistantFailed(
            f"{source}: no frame of the clip could be judged. Look at it yourself, or check the file."
        )
    frames: dict[int, list[int]] = {}
    for frame, index in classes:
        frames.setdefault(index, []).append(frame)
    findings = tuple(
        Finding(
            category=FRAME_CLASSES[index] if index < len(FRAME_CLASSES) else "other",
            detail=f"seen in {len(found)} of {len(classes)} frames",
            frame=min(found),
        )
        for index, found in sorted(frames.items(), key=lambda each: -len(each[1]))
        if index != 0
    )
    return Verdict(safe=not findings, source=source, findings=findings)


def _unreadable(text: str, source: str) -> AssistantFailed:
    """An error, because what was not judged is not safe."""
    line = " ".join(text.split())
    quoted = f'it answered "{line[:LONGEST_QUOTE]}"' if line else "it answered nothing"
    return AssistantFailed(f"{source}: gave no verdict; {quoted}. Is it a guard model?")
