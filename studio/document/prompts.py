"""Prompts joined over their levels: chunk over scene, scene with look, negative prompt over the model's own.

Comes in: a scene, its storyboard, a model card. Goes out: texts, one for each chunk. Does not know tokenizers, scene
tokens or jobs.
"""

from engine.contract.cards import ModelCard
from studio.document.storyboard import Scene, Storyboard


def join_look(prompt: str, look: str) -> str:
    """A prompt followed by the look: a comma between them unless the prompt ends a sentence."""
    prompt, look = prompt.strip(), look.strip()
    if not prompt or not look:
        return prompt or look
    return f"{prompt} {look}" if prompt[-1] in ".,;:!?" else f"{prompt}, {look}"


def chunk_prompts(scene: Scene, num_chunks: int) -> list[str]:
    """The author's prompt for each chunk, without the look: a chunk whose prompt is empty or missing repeats the one
    before."""
    prompts = [scene.prompt]
    for position in range(num_chunks - 1):
        prompt = scene.chunk_prompts[position] if position < len(scene.chunk_prompts) else ""
        prompts.append(prompt if prompt.strip() else prompts[-1])
    return prompts


def full_prompts(scene: Scene, look: str, num_chunks: int) -> list[str]:
    """The prompt of each chunk followed by the look."""
    return [join_look(prompt, look) for prompt in chunk_prompts(scene, num_chunks)]


def full_negative_prompt(scene: Scene, storyboard: Storyboard, card: ModelCard) -> str:
    """The author's negative prompt and look, where both are missing the model's own; "" for a model that reads none."""
    if "negative_prompt" not in card.capabilities:
        return ""
    if scene.negative_prompt is None and not storyboard.negative_look.strip():
        return card.negative_prompt
    return join_look(scene.negative_prompt or "", storyboard.negative_look)
