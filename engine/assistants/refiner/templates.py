"""What a model is asked to make of a prompt: one template for each style of prompts.

Comes in: a request, the style that the film's model reads, perhaps a picture. Goes out: messages and sampling. Pure.
Does not know endpoints, ranks or how the answer is read. The sentences are ours, except ``UPSAMPLE``, which is what
NVIDIA's 12B upsampler was trained on.
"""

from engine.assistants.endpoint import Message, Picture, Sampling
from engine.contract.assistants import PromptStyle, RefineRequest

UPSAMPLE = "Upsample the short caption to a long caption: "
"""Cosmos-UpsamplePrompt1-12B-Text2World was trained on these words, without a system prompt."""

_RULES = """Rules:
- Add what the text leaves open (looks, number, posture, surroundings, light) without changing what it means.
- Write English, whatever language the text is in. Keep text in quotation marks exactly as it is, quotation marks too.
- Name the style if one is given or can be seen; add none of your own.
- Say how things move, in which direction and how fast, and what the camera does.
- Use plain, natural words; no lists, no headings, nothing about sound, no comment.
- Texts that stand before and after it, if given, are its neighbours in the film: go on from them, keep their people \
and places, and rewrite the text to rewrite alone.
- If a picture comes with the text, it is where the film begins: describe what is in it, and let it move from there."""

_ANSWER = "Answer with the rewritten text alone, in one paragraph."

_EXAMPLE = """Example. Text: a dog on a beach
Rewritten: A young golden retriever runs along a wide sandy beach at low tide, its wet fur shining in warm evening \
light. It leaps over a shallow pool, splashing water to both sides, then slows to a trot and turns towards the sea. \
Low waves roll in behind it and draw foam lines on the sand. The camera travels beside the dog at knee height, then \
falls back slightly as the dog stops and shakes itself, drops of water flying. The picture is sharp and natural, like \
a documentary film."""

_PREDICT2 = f"""You rewrite prompts for a model that makes short videos as a camera would record them. Turn the text \
of the user into a description of 80 to 100 words that the model can film.
{_RULES}
{_EXAMPLE}
{_ANSWER}"""

_GENERAL = f"""You rewrite prompts for a model that makes short videos. Turn the text of the user into a specific, \
visual description of two to four sentences: who or what is seen, its colours and details, what it does, where, in \
what light.
{_RULES}
{_ANSWER}"""

_SEGMENTS = f"""You write the script of a film for a model that makes it in segments of three seconds and reads one \
description for each. The descriptions follow one another closely, in the manner of detailed captions: first the place \
and its background, then who is there and how they look, then what they do in these three seconds, then the camera. \
Rewrite the text of one segment as such a description of 60 to 120 words. Describe place and characters in full again, \
in the same words as in the segments before and after, because each description is read by itself; let the action go \
on from the segment before and lead to the one after.
{_RULES}
{_ANSWER}"""

_FROM_PICTURE = """Describe the film that begins with this picture, for a model that will make it: what is there and \
how it moves from this moment on. At most 150 words, content alone: no introduction, no remark about style, nothing \
that lies outside of the picture and what follows from it."""

MAX_TOKENS: dict[PromptStyle, int] = {"predict1": 512, "predict2": 512, "segments": 700, "general": 512}
MAX_WORDS: dict[PromptStyle, int] = {"predict1": 250, "predict2": 160, "segments": 220, "general": 220}
"""Of an answer; what is longer is cut at the end of a sentence."""


def writes_from_picture(request: RefineRequest, style: PromptStyle) -> bool:
    """Whether the prompt is written from the picture alone, as Predict1's way is: the author's words are not sent."""
    return request.media is not None and (style == "predict1" or not request.prompt.strip())


def messages_for(request: RefineRequest, style: PromptStyle, picture: Picture | None) -> tuple[Message, ...]:
    """What is sent. ``picture``: of the request's media, where it has one."""
    pictures = (picture,) if picture else ()
    if writes_from_picture(request, style):
        return (Message("user", (*pictures, _FROM_PICTURE)),)
    if style == "predict1":
        return (Message("user", (f"{UPSAMPLE}{request.prompt.strip()}",)),)
    system = {"predict2": _PREDICT2, "segments": _SEGMENTS}.get(style, _GENERAL)
    return (Message("system", (system,)), Message("user", (_user_text(request), *pictures)))


def sampling_for(request: RefineRequest, style: PromptStyle) -> Sampling:
    """Predict1's scripts sample next to nothing; another seed would give the same text, so that one is warmer."""
    max_tokens = MAX_TOKENS.get(style, 512)
    if style == "predict1":
        top_p = 0.9 if request.media is not None else None
        return Sampling(max_tokens, 0.01 if request.seed == 0 else 0.7, top_p, request.seed)
    return Sampling(max_tokens, 0.7, 0.8, request.seed)


def _user_text(request: RefineRequest) -> str:
    """The text alone; with neighbours, each under a heading."""
    texts = {"Before it": request.before, "After it": request.after, "The text to rewrite": request.prompt}
    given = {heading: text.strip() for heading, text in texts.items() if text.strip()}
    if len(given) == 1:
        return request.prompt.strip()
    return "\n\n".join(f"{heading}: {text}" for heading, text in given.items())
