"""Actors: objects on workers that are made once, such as a bundle that is loaded, and then asked again and again.

An actor that dies with its worker or node is made again elsewhere; what it was asked, another one is asked meanwhile.
So an answer must not depend on what was asked before. An actor is asked once it is there: one for which no node has a
processor left, because a node has died or has other work, holds nothing up.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from pipelines.cluster.connection import Cluster
from pipelines.cluster.versions import versions
from pipelines.cluster.waiting import wait_for_any
from pipelines.cluster.work import RETRIES, Raised, carry_out, result
from recsys_vae.errors import UnavailableError

AHEAD: Final = 3
"""Answers for each actor, beyond the one that is waited for, that are held until their turn."""


class _Maker:
    """What an actor is: it makes its object at the first call, so that what is raised there is told like all else."""

    def __init__(self, expected: Any, make: Callable[..., Any], arguments: Sequence[Any]) -> None:
        import ray

        self._expected, self._make = expected, make
        self._arguments = [ray.get(one) if isinstance(one, ray.ObjectRef) else one for one in arguments]
        self._made: Any = None

    def answer(self, *arguments: Any) -> Any:
        """What the object, called, gives."""
        if self._made is None:
            made = carry_out(self._expected, self._make, *self._arguments)
            if isinstance(made, Raised):
                return made
            self._made, self._arguments = made, []
        return carry_out(self._expected, self._made, *arguments)

    def is_there(self) -> bool:
        """Answers once it is there."""
        return True


class _Asked(NamedTuple):
    """A question under way: its place among all, and the actor; without a question, whether that is there."""

    actor: Any
    place: int
    question: Sequence[Any] | None


class Actors:
    """Several of a kind."""

    def __init__(self, actors: Sequence[Any]) -> None:
        self._idle, self._most = list[Any](), len(actors) * (1 + AHEAD)
        self._under_way: dict[Any, _Asked] = {}
        self._again: list[tuple[int, Sequence[Any]]] = []
        self._tries: Counter[int] = Counter()
        for actor in actors:
            self._await(actor)

    def ask_all(self, questions: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """Answers, in the order of the questions.

        Raises:
            RecsysError: what an answer raised on purpose.
            UnavailableError: actors have died again and again over a question.
        """
        waiting, answers, turn = enumerate(questions), dict[int, Any](), 0
        are_all_asked = False
        while True:
            are_all_asked = self._ask(waiting, len(answers)) or are_all_asked
            if turn in answers:
                yield answers.pop(turn)
                turn += 1
            elif are_all_asked and not self._again and all(one.question is None for one in self._under_way.values()):
                return
            else:
                answers |= self._next_answer()

    def _ask(self, waiting: Iterator[tuple[int, Sequence[Any]]], held: int) -> bool:
        """Ask whoever is idle, first what was asked of those that have died; so much is ahead and no more.

        Returns:
            Whether the questions have come to their end.
        """
        while self._idle and (self._again or held + len(self._under_way) < self._most):
            found = self._again.pop() if self._again else next(waiting, None)
            if found is None:
                return True
            actor = self._idle.pop()
            self._under_way[actor.answer.remote(*found[1])] = _Asked(actor, *found)
        return False

    def _await(self, actor: Any) -> None:
        """Ask it nothing until it is there, however often it is made again until then."""
        self._under_way[actor.is_there.options(max_task_retries=-1).remote()] = _Asked(actor, -1, None)

    def _next_answer(self) -> dict[int, Any]:
        """Wait for one, by its place; none where an actor has died, or is there."""
        import ray

        done = wait_for_any(list(self._under_way))
        actor, place, question = self._under_way.pop(done)
        try:
            found = result(done)
        except UnavailableError as error:
            is_gone = isinstance(error.__cause__, ray.exceptions.RayActorError)
            if question is None or not is_gone or self._tries[place] >= RETRIES:
                raise
            self._await(actor)
            self._tries[place] += 1
            self._again.append((place, question))
            return {}
        self._idle.append(actor)
        return {} if question is None else {place: found}


@contextmanager
def actors(cluster: Cluster, make: Callable[..., Any], *arguments: Any) -> Iterator[Actors]:
    """Begin an actor for each processor, which are there as long as the context.

    Args:
        make: gives what an actor is asked: something to be called, from `arguments`, which may be shared values.
    """
    import ray

    kind: Any = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=0)(_Maker)
    begun = [kind.remote(versions(), make, list(arguments)) for _ in range(cluster.cpus)]
    try:
        yield Actors(begun)
    finally:
        for one in begun:
            ray.kill(one)
