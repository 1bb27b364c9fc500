"""One scene put to a refiner: each of its prompts as a question, the answers as one refinement.

Comes in: a scene with its neighbours, a refiner. Goes out: the document's ``Refinement``. Does not know projects,
threads or which refiner it is.
"""

from dataclasses import dataclass

from engine.assistants.assistant import Assistant
from engine.contract.assistants import PromptStyle, RefineRequest
from engine.contract.assistants import Refinement as Answer
from engine.contract.errors import AssistantFailed
from engine.contract.media import MediaInfo
from studio.document.refinement import MAX_SOURCE, origin_of, refinement_state
from studio.document.storyboard import Refinement, Scene, Storyboard


@dataclass(frozen=True, slots=True)
class SceneQuestion:
    """``before``, ``after``: the neighbours' words, "" where they are not to be in view. ``media``: what the scene
    starts from."""

    scene: Scene
    model: str
    style: PromptStyle
    before: str = ""
    after: str = ""
    media: MediaInfo | None = None
    seed: int = 0


def question_about(
    storyboard: Storyboard, scene_id: str, style: PromptStyle, media: MediaInfo | None, seed: int = 0
) -> SceneQuestion:
    """With the neighbours in view where the style wants them, or where the scene goes on from the one before.

    What is refined of the neighbours already counts as their words, so that a storyboard reads as one text.
    """
    position = storyboard.position_of(scene_id)
    scene = storyboard.scenes[position]
    in_view = style in ("segments", "vocabulary")
    before, after = "", ""
    if position > 0 and (in_view or scene.transition == "continue"):
        before = _words(storyboard.scenes[position - 1], style)[-1]
    if position + 1 < len(storyboard.scenes) and in_view:
        after = _words(storyboard.scenes[position + 1], style)[0]
    return SceneQuestion(scene, storyboard.model, style, before, after, media, seed)


def refined_scene(question: SceneQuestion, refiner: Assistant) -> Refinement:
    """Raises AssistantFailed or another EngineError; then nothing is kept of the scene's other parts."""
    scene, texts, notes = question.scene, list[str](), list[str]()
    prompts = (scene.prompt, *scene.chunk_prompts)
    source = refiner.name
    for number, prompt in enumerate(prompts, start=1):
        if number > 1 and not prompt.strip():
            texts.append("")
            continue
        answer = _answer(question, prompts, number, texts, refiner)
        texts.append(answer.text)
        notes += [note if len(prompts) == 1 else f"Part {number}: {note}" for note in answer.notes]
        source = answer.source
    return Refinement(
        text=texts[0],
        chunk_texts=tuple(texts[1:]),
        source=source[:MAX_SOURCE],
        notes=tuple(dict.fromkeys(notes)),
        of=origin_of(scene, question.style),
    )


def _answer(
    question: SceneQuestion, prompts: tuple[str, ...], number: int, texts: list[str], refiner: Assistant
) -> Answer:
    """Of part ``number``; the parts around it are its neighbours as scenes are."""
    media = question.media if number == 1 else None
    earlier, later = [text for text in texts if text], [text for text in prompts[number:] if text.strip()]
    request = RefineRequest(
        prompt=prompts[number - 1],
        model=question.model,
        before=earlier[-1] if earlier else question.before,
        after=later[0] if later else question.after,
        media=media.sha256 if media else None,
        media_kind=media.kind if media else "",
        seed=question.seed,
    )
    answer = refiner.answer(request)
    if not isinstance(answer, Answer):
        raise AssistantFailed(f"{refiner.name}: answered something else than a prompt.")
    return answer


def _words(scene: Scene, style: PromptStyle) -> list[str]:
    """The scene's texts in order, at least one."""
    if scene.refinement and refinement_state(scene, style) != "outdated":
        texts = (scene.refinement.text, *scene.refinement.chunk_texts)
    else:
        texts = (scene.prompt, *scene.chunk_prompts)
    return [text for text in texts if text.strip()] or [""]
