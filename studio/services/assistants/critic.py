"""``Studio.assistants.critic``: scores takes and clips, in the background as takes arrive, or when it is asked.

Comes in: takes of the library, files, the host's settings. Goes out: critiques beside the takes, and changed projects.
A take that cannot be scored stays without a score. Does not know which take is shown or rendered next.
"""

import itertools
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from engine.assistants.critic import asked_of_endpoint, knowledge_of, measured, read_clip
from engine.contract.assistants import Critique, CritiqueRequest
from engine.contract.cards import ModelCard
from engine.contract.errors import AssistantFailed, EngineError
from engine.contract.jobs import FromTake, Segment, Take
from engine.storage.media import Frames
from studio.document.validation import suggestion
from studio.errors import PresetError, StudioError
from studio.library.critiques import CritiqueRepository, StoredCritique
from studio.library.takes import StoredTake, TakeRepository
from studio.rendering.models import ModelCatalog
from studio.services.assistants.host import AssistantHost
from studio.services.assistants.local_assistants import LocalAssistant
from studio.services.assistants.settings import AUTO, BUILT_IN, FILE, OFF

LOG = logging.getLogger(__name__)
FILES_PROJECT = "critique"
"""The project that questions about files are asked for."""


class CriticService:
    """``on_change``: called with the id of a project whose takes were scored. Thread-safe."""

    def __init__(
        self,
        host: AssistantHost,
        takes: TakeRepository,
        critiques: CritiqueRepository,
        models: ModelCatalog,
        on_change: Callable[[str], None],
    ) -> None:
        self._host = host
        self._takes = takes
        self._critiques = critiques
        self._models = models
        self._on_change = on_change
        self._measuring = threading.Lock()

    @property
    def is_off(self) -> bool:
        return self._use == OFF

    @property
    def is_built_in(self) -> bool:
        """Whether asking costs next to nothing."""
        return self._use in (AUTO, BUILT_IN)

    @property
    def needs_engine(self) -> bool:
        """Whether a model of the engine is asked."""
        return not self.is_off and not self.is_built_in and not self._host.settings.critic.is_endpoint

    @property
    def _use(self) -> str:
        return self._host.settings.critic.use

    # ---- takes
    def score_arrived(self, project_ids: Iterable[str]) -> None:
        """In the background: the built-in critique of every take of the projects that has none."""
        for project_id in project_ids:
            if self.is_off:
                self._on_change(project_id)
            else:
                self._host.in_background(lambda project_id=project_id: self._score_all(project_id))

    def score(self, project_id: str, take_ids: Collection[str], on_done: Callable[[], None]) -> None:
        """In the background: what the host's critic says of these takes, where it has not said it yet."""
        self._host.in_background(lambda: self._score_asked(project_id, take_ids, on_done))

    def critiques(self, take_ids: Collection[str]) -> dict[str, StoredCritique]:
        """By take, what the host's critic said. Of a model in the engine or behind an endpoint: the newest word."""
        return self._critiques.of_takes(take_ids, self.is_built_in)

    def _score_all(self, project_id: str) -> None:
        with self._measuring:  # whoever comes second finds it done
            self._score(self._takes.takes_of(project_id), built_in=True)
        self._on_change(project_id)

    def _score_asked(self, project_id: str, take_ids: Collection[str], on_done: Callable[[], None]) -> None:
        own = [stored for stored in self._takes.takes_of(project_id) if stored.take.id in take_ids]
        try:
            self._score(own, self.is_built_in)
        finally:
            on_done()
            self._on_change(project_id)

    def _score(self, stored: Sequence[StoredTake], built_in: bool) -> None:
        done = self._critiques.of_takes([one.take.id for one in stored], built_in)
        for take in [one.take for one in stored if one.take.id not in done]:
            try:
                self._critiques.keep(take.id, self._measure_take(take) if built_in else self._ask_about(take))
            except (EngineError, StudioError) as error:
                LOG.warning("take %s has no score: %s", take.id, error)

    def _measure_take(self, take: Take) -> Critique:
        frames = read_clip(self._host.store.path(take.media))
        before, num_prompted = self._frames_before(take), num_prompted_frames(take)
        return self._measure(frames, prompt_of(take), take.job.model, before, num_prompted)

    def _frames_before(self, take: Take) -> Frames | None:
        """Of the take that this one continues."""
        start = take.job.conditioning
        if not isinstance(start, FromTake):
            return None
        found = self._takes.takes_by_recipe([start.recipe], self._host.store).get(start.recipe)
        return read_clip(self._host.store.path(found.take.media)) if found else None

    def _ask_about(self, take: Take) -> Critique:
        request = CritiqueRequest(media=take.media, prompt=prompt_of(take), seed=take.seed)
        return self._ask(self._host.store.path(take.media), request, take.job.project_id)

    # ---- files
    def critique_file(
        self, path: Path, prompt: str = "", model: str = "", num_trials: int = 5, seed: int = 0
    ) -> Critique:
        """Of any clip. ``model``: the film model whose vocabulary the built-in critic reads by; "": one that the clip's
        size fits. Raises EngineError,
        StudioError."""
        if self.is_off:
            raise PresetError(FILE, "critic.use", "the critic is off. Name one with --critic, or set it in the file")
        frames = read_clip(path)
        if self.is_built_in:
            return self._measure(frames, prompt, model)
        with path.open("rb") as file:
            media = self._host.store.put_stream(iter(lambda: file.read(1 << 20), b""))
        request = CritiqueRequest(media=media, prompt=prompt, num_trials=num_trials, seed=seed)
        return self._ask(path, request, FILES_PROJECT)

    # ---- the critics
    def _measure(
        self, frames: Frames, prompt: str, model: str, before: Frames | None = None, num_prompted: int | None = None
    ) -> Critique:
        card = self._card(model, frames)
        return measured(frames, prompt, knowledge_of(card, self._host.models_root), before, num_prompted)

    def _card(self, model: str, frames: Frames) -> ModelCard | None:
        cards = [status.card for status in self._models.all().values()]
        size = (frames.shape[2], frames.shape[1])
        fitting = [card for card in cards if card.built_in and size in card.sizes_px.values()]
        named = [card for card in cards if card.name == model]
        return next(iter(named if model else fitting), None)

    def _ask(self, clip: Path, request: CritiqueRequest, project_id: str) -> Critique:
        if self._host.settings.critic.is_endpoint:
            endpoint = self._host.endpoint("critic")
            return asked_of_endpoint(endpoint, clip, request.prompt, request.num_trials, request.seed)
        local = self._host.local
        card = local.cards().get(self._use)
        if card is None or "critic" not in card.kinds:
            named = suggestion(self._use, [name for name, each in local.cards().items() if "critic" in each.kinds])
            raise PresetError(
                FILE, "critic.use", f'no critic is called "{self._use}"{named}. Use built-in, or an address'
            )
        answer = LocalAssistant(local, card, project_id).answer(request)
        if not isinstance(answer, Critique):
            raise AssistantFailed(f"{card.title} answered something else than a critique. Use another critic.")
        return answer


def prompt_of(take: Take) -> str:
    """What a take should show: the scene's first prompt; further prompts of a long scene change it on the way."""
    return _segments_of(take)[0].prompt


def num_prompted_frames(take: Take) -> int:
    """How many of a take's frames the first prompt is for."""
    own = _segments_of(take)
    first = list(itertools.takewhile(lambda segment: segment.prompt == own[0].prompt, own))
    return sum(segment.num_frames - segment.num_overlap_frames for segment in first)


def _segments_of(take: Take) -> list[Segment]:
    """Of the scene that it was made for: another scene that shares the take has another id."""
    made_for = {span.scene_id for span in take.job.spans if span.recipe == take.recipe}
    return [segment for segment in take.job.segments if segment.scene_id in made_for] or list(take.job.segments)
