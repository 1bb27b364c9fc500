"""What one step of a jointly denoised storyboard costs, in words: tokens, memory, and arithmetic.

Comes in: a ``JointCost``, which the model's family computes. Goes out: a sentence. Does not know models or jobs.
"""

from engine.contract.families.traits import JointCost


def cost_text(cost: JointCost) -> str:
    memory = f"about {cost.memory_bytes / 2**30:.1f} GiB for the network and its sequence"
    ratio = "local attention alone, without layers that learn the film"
    if cost.ratio > 1:
        ratio = f"{cost.ratio:.2f} times the arithmetic of local attention alone"
    return f"each step denoises {cost.num_tokens:,} tokens together: {memory}, {ratio}"
