"""The service is asked what is short while a pod finds no node."""

from __future__ import annotations

import asyncio

from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.errors import Unavailable
from mlabhub.messages import Message
from mlabhub.spawners.kube.explaining import Explainer
from mlabhub.spawners.kube.watching import Sight, StartWatch
from tests.spawners.kube_recorded import looks
from tests.spawners.test_kube_watching import PLAN

WHY = Message("4 A100 wait: 3 are free (n1 3).")


class Service:
    """Answers one question after the other."""

    def __init__(self, *answers: Message | Unavailable | None):
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self) -> Message | None:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return answer


async def ask(service: Service, times: int = 3) -> list[str]:
    """Look several times, and return what was told."""
    watch = StartWatch(PLAN, KubernetesSpec(), 0.0)
    explainer = Explainer(watch, service)
    first, told = next(looks("no-gpu")), []
    for _ in range(times):
        sight = watch.see(first.pod, first.events, 0.1)
        told += [str(message) for message in sight.news]
        explainer.note(sight)
        await asyncio.sleep(0.01)
    explainer.close()
    return told


async def test_its_answer_is_told() -> None:
    service = Service(WHY)
    assert await ask(service) == ["No node can take the server now: 4 A100 wait: 3 are free (n1 3)."]
    assert service.asked == 1


async def test_it_is_not_asked_in_a_row() -> None:
    service = Service(None, WHY)
    assert await ask(service) == []
    assert service.asked == 1


async def test_no_answer_does_no_harm() -> None:
    service = Service(Unavailable("The service does not answer."))
    assert await ask(service) == []
    assert service.asked == 1


async def test_a_start_that_is_over_asks_no_more() -> None:
    never = asyncio.Event()

    async def hang() -> Message | None:
        await never.wait()
        return None

    explainer = Explainer(StartWatch(PLAN, KubernetesSpec(), 0.0), hang)
    explainer.note(Sight(short=True))
    await asyncio.sleep(0)
    explainer.close()
    await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if "Explainer._explain" in repr(task)] == []
