"""Actors: objects on workers that are made once, such as a bundle that is loaded, and then asked again and again.

An actor that dies with its worker or node is made again elsewhere; what it was asked, another one is asked meanwhile. So
what is asked of one must not depend on what it was asked before.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pipelines.cluster.connection import Cluster
from pipelines.cluster.versions import versions
from pipelines.cluster.work import RETRIES, Raised, carry_out
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


@dataclass
class Actors:
    """Several of a kind."""

    actors: list[Any]
    _asked: dict[Any, tuple[int, Any]] = field(default_factory=dict)
    """By reference: place of the question, and who is asked; a place below 0 is only whether it is there."""

    def ask_all(self, questions: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """Answers, in the order of the questions.

        Raises:
            RecsysError: what an answer raised on purpose.
            UnavailableError: actors have died again and again over a question.
        """
        import ray

        waiting, idle, tries = enumerate(questions), list(self.actors), dict[int, int]()
        again: list[tuple[int, Sequence[Any]]] = []
        answers: dict[int, Any] = {}
        open_questions: dict[int, Sequence[Any]] = {}
        turn, most = 0, len(self.actors) * (1 + AHEAD)
        while True:
            while idle and (again or len(answers) + len(open_questions) < most):
                asked = again.pop() if again else next(waiting, None)
                if asked is None:
                    break
                place, question = asked
                open_questions[place] = question
                actor = idle.pop()
                self._asked[actor.answer.remote(*question)] = (place, actor)
            if not open_questions and not again:
                if turn not in answers:
                    self._asked.clear()
                    return
            elif turn not in answers:
                done, _ = ray.wait(list(self._asked), num_returns=1)
                place, actor = self._asked.pop(done[0])
                try:
                    found = ray.get(done[0])
                except ray.exceptions.RayActorError as error:
                    self._asked[actor.is_there.remote()] = (-1, actor)
                    if place >= 0:
                        tries[place] = tries.get(place, 0) + 1
                        if tries[place] > RETRIES:
                            raise UnavailableError(
                                f"Actors on the cluster have died {RETRIES} times over one question: {error}"
                            ) from error
                        again.append((place, open_questions.pop(place)))
                    continue
                except ray.exceptions.RayTaskError as error:
                    raise error.as_instanceof_cause() from None  # type: ignore[no-untyped-call]
                idle.append(actor)
                if place >= 0:
                    del open_questions[place]
                    answers[place] = found
            while turn in answers:
                found = answers.pop(turn)
                turn += 1
                if isinstance(found, Raised):
                    raise found.error()
                yield found


@contextmanager
def actors(cluster: Cluster, make: Callable[..., Any], *arguments: Any) -> Iterator[Actors]:
    """Begin an actor for each processor, which are there as long as the context.

    Args:
        make: gives what an actor is asked: something to be called, from `arguments`, which may be shared values.
    """
    import ray

    kind = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=0)(_Maker)
    begun = [kind.remote(versions(), make, list(arguments)) for _ in range(cluster.cpus)]
    try:
        yield Actors(begun)
    finally:
        for one in begun:
            ray.kill(one)
