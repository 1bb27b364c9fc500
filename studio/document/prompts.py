"""Which words a model hears: a scene's prompts with the look behind them, and what is not to be seen.

Comes in: a scene, its storyboard, a model card. Goes out: texts. Does not know tokenizers or jobs.
"""

from engine.contract.cards import ModelCard
from studio.document.storyboard import Scene, Storyboard


def joined(prompt: str, look: str) -> str:
    """A prompt with the look behind it: a comma between them unless the prompt ends a sentence."""
    prompt, look = prompt.strip(), look.strip()
    if not prompt or not look:
        return prompt or look
    return f"{prompt} {look}" if prompt[-1] in ".,;:!?" else f"{prompt}, {look}"


def prompts_of(scene: Scene, look: str, num_chunks: int) -> list[str]:
    """One for each chunk: an empty one, and those after the last, go on with the one before."""
    prompts = [joined(scene.prompt, look)]
    for position in range(num_chunks - 1):
        own = scene.chunk_prompts[position] if position < len(scene.chunk_prompts) else ""
        prompts.append(joined(own, look) if own.strip() else prompts[-1])
    return prompts


def negative_of(scene: Scene, storyboard: Storyboard, card: ModelCard) -> str:
    """What is not to be seen: the author's words, else the model's own; "" for a model that reads none."""
    if "negative_prompt" not in card.capabilities:
        return ""
    return joined(scene.negative_prompt, storyboard.negative_look) or card.negative_prompt
