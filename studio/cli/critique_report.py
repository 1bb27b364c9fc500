"""A report of critiques: clips and results named with their scores, and pages that need nothing beside them.

Comes in: critiques of clips, a folder. Goes out: ``index.html`` with all clips, and for each clip
``<stem>_score<000-100>`` as ``.mp4`` (or as it was), ``.json`` and ``.html``. Whatever text a file's name, a prompt or
a model's answer has is shown as text. Does not know critics.
"""

import base64
import html
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.assistants.critic import SOURCE
from engine.contract.assistants import Critique, Trial
from engine.storage.atomic import replacing
from studio.errors import FilmError

MAX_EMBEDDED_BYTES = 48 * 2**20
"""Larger clips are played from the copy beside the page."""
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
article { display: grid; grid-template-columns: minmax(16rem, 24rem) 1fr; gap: 1.5rem; padding: 1.5rem 0;
  border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
video { width: 100%; background: #000; image-rendering: auto; border-radius: .3rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 0; overflow-wrap: anywhere; }
.score { font-size: 1.6rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.from, .prompt { opacity: .8; overflow-wrap: anywhere; } ul { padding-left: 1.2rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
.problem { color: light-dark(#a11, #f99); }
@media (max-width: 44rem) { article { grid-template-columns: 1fr; } }
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """One clip: its critique, or why there is none."""

    path: Path
    prompt: str
    critique: Critique | None
    problem: str = ""


def write_report(folder: Path, judged: Sequence[Judged]) -> Path:
    """-> the index. Raises FilmError where the folder cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = scored_names(judged)
        for one, name in zip(judged, names, strict=True):
            if one.critique is not None:
                _write_clip(folder, one, one.critique, name)
        best_first = sorted(zip(judged, names, strict=True), key=lambda pair: -_score(pair[0]))
        _write(folder / "index.html", page("Critiques", [_article(one, name) for one, name in best_first]))
    except OSError as error:
        what = f"{folder}: the report could not be written there ({error.strerror or error})"
        raise FilmError(f"{what}. Choose another folder with --report.") from error
    return folder / "index.html"


def scored_names(judged: Sequence[Judged]) -> list[str]:
    """``<stem>_score087`` for each clip; of several with one stem the second is ``<stem>-2_score...``."""
    seen: Counter[str] = Counter()
    names: list[str] = []
    for one in judged:
        seen[one.path.stem] += 1
        stem = one.path.stem if seen[one.path.stem] == 1 else f"{one.path.stem}-{seen[one.path.stem]}"
        names.append(f"{stem}_score{int(100 * max(0.0, _score(one))):03d}")
    return names


def page(title: str, articles: Sequence[str]) -> str:
    policy = "default-src 'none'; style-src 'unsafe-inline'; media-src data: 'self' file:"
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n"
        f"<main>\n<h1>{html.escape(title)}</h1>\n{''.join(articles)}</main>\n</html>\n"
    )


def _write_clip(folder: Path, one: Judged, critique: Critique, name: str) -> None:
    (folder / f"{name}{one.path.suffix}").write_bytes(one.path.read_bytes())
    fields = {"file": str(one.path), "prompt": one.prompt, **critique.model_dump(mode="json")}
    _write(folder / f"{name}.json", json.dumps(fields, indent=2, ensure_ascii=False) + "\n")
    _write(folder / f"{name}.html", page(one.path.name, [_article(one, name)]))


def _write(path: Path, text: str) -> None:
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def _article(one: Judged, name: str) -> str:
    head = f"<h2>{html.escape(one.path.name)}</h2>"
    prompt = f'<p class="prompt">{html.escape(one.prompt)}</p>' if one.prompt else ""
    if one.critique is None:
        problem = f'<p class="problem">{html.escape(one.problem)}</p>'
        return f"<article><div></div><div>{head}{problem}</div></article>\n"
    score = f'<p class="score">{round(100 * one.critique.score)}%</p>'
    source = f'<p class="from">scored by {html.escape(_critic(one.critique))}</p>'
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in one.critique.reasons)
    trials = "".join(map(_trial, enumerate(one.critique.trials, start=1)))
    text = f"{head}{score}{prompt}<ul>{reasons}</ul>{trials}{source}"
    return f"<article><div>{_video(one.path, name)}</div><div>{text}</div></article>\n"


def _video(path: Path, name: str) -> str:
    content_type = "video/webm" if path.suffix.lower() == ".webm" else "video/mp4"
    source = html.escape(f"{name}{path.suffix}", quote=True)
    if path.stat().st_size <= MAX_EMBEDDED_BYTES:
        source = f"data:{content_type};base64,{base64.b64encode(path.read_bytes()).decode()}"
    label = html.escape(path.name, quote=True)
    return f'<video controls loop muted playsinline aria-label="{label}" src="{source}"></video>'


def _trial(numbered: tuple[int, Trial]) -> str:
    number, trial = numbered
    answers = {True: "no anomalies", False: "anomalies", None: "not readable"}
    text = html.escape(trial.text)
    return f"<details><summary>Trial {number}: {answers[trial.passed]}</summary><pre>{text}</pre></details>"


def _critic(critique: Critique) -> str:
    return "the built-in critic" if critique.source == SOURCE else critique.source


def _score(one: Judged) -> float:
    return one.critique.score if one.critique else -1.0
