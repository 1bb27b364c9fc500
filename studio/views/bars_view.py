"""Computes what is shown around the scenes: the render bar, the film and the engine. Pure.

Comes in: the state of a project, the live state, the scenes' cards. Goes out: values of the board. Does not know the
database or the page; all texts that the page shows about rendering, film and engine are written here.
"""

from collections.abc import Sequence

from studio.library.takes import Film
from studio.views.durations import about, clock
from studio.views.project_state import LiveState, ProjectState
from studio.views.types import EngineView, FilmView, RenderBar, SceneCard

STUCK = ("unplannable", "without_model")
WORKING = ("checking", "queued", "rendering")


def render_bar(project_state: ProjectState, live_state: LiveState, cards: Sequence[SceneCard]) -> RenderBar:
    jobs = project_state.plan.jobs if project_state.plan else ()
    waiting = [card for card in cards if card.state in WORKING]
    wanted = {scene_id for job in jobs for scene_id in job.scene_ids}
    due = [card for card in cards if card.id in wanted or (card.state == "stale" and not _matches(card))]
    problem, problem_text = _problem(project_state, live_state, cards)
    seconds = project_state.plan.cost.seconds if project_state.plan and jobs else None
    return RenderBar(
        num_scenes=len(due),
        text=_what(due, cards),
        why=tuple(f"scene {card.number}: {card.reason or card.state}" for card in due if card not in waiting),
        estimate_s=seconds,
        estimate_text=about(seconds) if jobs else "",
        can_render=not problem and bool(cards),
        busy=bool(waiting or live_state.rounds),
        paused=live_state.engine is not None and live_state.engine.paused,
        problem=problem,
        problem_text=problem_text,
    )


def _matches(card: SceneCard) -> bool:
    return card.take is not None and card.take.matches


def _what(due: Sequence[SceneCard], cards: Sequence[SceneCard]) -> str:
    waiting = [card for card in cards if card.state in WORKING]
    stuck = [card for card in cards if card.state in STUCK]
    cannot = f"{_scenes(stuck)} cannot be rendered" if stuck else ""
    if not cards:
        return "add a scene to begin"
    if waiting:
        return f"{len(waiting)} of {len(cards)} scenes in the queue"
    if not due:
        return cannot or "nothing to render: every scene is fresh"
    if len(due) == len(cards):
        return "renders all scenes" if len(cards) > 1 else "renders the scene"
    num_fresh = len(cards) - len(due) - len(stuck)
    fresh = f"{num_fresh} {'is' if num_fresh == 1 else 'are'} fresh" if num_fresh else ""
    return "; ".join(part for part in (f"renders {_scenes(due)}", fresh, cannot) if part)


def _scenes(cards: Sequence[SceneCard]) -> str:
    return f"scene{'s' if len(cards) > 1 else ''} " + ", ".join(str(card.number) for card in cards)


def _problem(project_state: ProjectState, live_state: LiveState, cards: Sequence[SceneCard]) -> tuple[str, str]:
    """In short and in full, which differ where a model is not here: the full text names its files."""
    outside = _outside(project_state, live_state)
    if outside or project_state.plan is None or not _all_stuck(cards):
        return outside, outside
    short = project_state.plan.scenes[0].reason
    errors = [note.text for note in project_state.plan.notes if note.level == "error"]
    return short, errors[0] if errors else short


def _outside(project_state: ProjectState, live_state: LiveState) -> str:
    """What is wrong with other than the scenes."""
    if project_state.problem:
        return project_state.problem
    if not live_state.engine_known:
        return live_state.unavailable_reason
    if live_state.engine is None:
        return "the engine does not answer; waiting jobs go on when it is back"
    return live_state.last_error


def _all_stuck(cards: Sequence[SceneCard]) -> bool:
    return bool(cards) and all(card.state in STUCK for card in cards)


def film_view(project_state: ProjectState, live_state: LiveState, cards: Sequence[SceneCard]) -> FilmView:
    film = project_state.film
    missing = tuple(card.number for card in cards if card.take is None)
    stale = tuple(card.number for card in cards if card.take is not None and not card.take.matches)
    up_to_date = film is not None and film.cut == project_state.cut and not stale
    return FilmView(
        media=film.media if film else None,
        poster=film.poster if film else None,
        duration_s=film.duration_s if film else 0.0,
        up_to_date=up_to_date,
        assembling=live_state.assembling,
        missing=missing,
        stale=stale,
        text=_film_text(film, up_to_date, live_state.assembling, missing, stale),
        error=live_state.film_error,
    )


def _film_text(
    film: Film | None, up_to_date: bool, assembling: bool, missing: tuple[int, ...], stale: tuple[int, ...]
) -> str:
    if assembling:
        return "putting the film together"
    if missing:
        which = ", ".join(map(str, missing))
        return f"{'scene' if len(missing) == 1 else 'scenes'} {which} not rendered yet"
    if film is None:
        return "no film yet"
    if stale:
        which = ", ".join(map(str, stale))
        return f"shows an earlier version of {'scene' if len(stale) == 1 else 'scenes'} {which}"
    return f"{clock(film.duration_s)}, up to date" if up_to_date else "not put together again since the last change"


def engine_view(live_state: LiveState) -> EngineView:
    status = live_state.engine
    if status is None:
        state = "unreachable" if live_state.engine_known else "absent"
        text = "the engine does not answer" if live_state.engine_known else live_state.unavailable_reason
        return EngineView(state=state, device="", num_ranks=0, text=text)
    group = status.group if status.group in ("down", "starting", "ready", "busy") else "down"
    texts = {"down": "the group is down", "starting": "loading the model", "ready": "ready", "busy": "rendering"}
    ranks = f"{status.num_ranks} rank" + ("s" if status.num_ranks != 1 else "")
    where = f", {status.device}, {ranks}" if status.device else ""
    text = "paused" if status.paused else texts[group]
    return EngineView(state=group, device=status.device, num_ranks=status.num_ranks, text=text + where)
