"""``Studio.assistants``: refiner, guard and critic as the page and the command line call them. Composition only.

Comes in: the host's settings and what the studio is made of. Goes out: one member for each assistant. Does not know
how any of them answers.
"""

from studio.services.assistants.critic import CriticService
from studio.services.assistants.host import AssistantHost
from studio.services.assistants.refining import RefineService
from studio.services.guards.service import GuardService


class AssistantService:
    """``host``: what the assistants share."""

    def __init__(
        self, host: AssistantHost, refiner: RefineService, critic: CriticService, guards: GuardService
    ) -> None:
        self.host = host
        self.refiner = refiner
        self.critic = critic
        self.guards = guards

    def close(self) -> None:
        self.guards.close()
        self.host.close()
