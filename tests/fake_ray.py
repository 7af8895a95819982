"""Ray in one process: calls are carried out where they are begun, everything pickled on its way there and back.

The little of Ray's interface that `pipelines.cluster` uses; tests on a real cluster hold that it behaves like this.
"""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import cloudpickle

from pipelines.cluster.connection import Cluster, Node

CLUSTER = Cluster("fake", (Node("n1", "here", 1), Node("n2", "there", 1)))


class ObjectRef:
    """A value that is held as bytes, or what was raised instead."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self._pickled, self._error = cloudpickle.dumps(value), error

    def get(self) -> Any:
        if self._error is not None:
            raise self._error
        return cloudpickle.loads(self._pickled)


class RayError(Exception):
    """As Ray's, and so are those below it."""


class RayTaskError(RayError):
    def as_instanceof_cause(self) -> BaseException | None:
        return self.__cause__


class RayActorError(RayError):
    pass


def _begun(function: Callable[..., Any]) -> Any:
    class Begun:
        @staticmethod
        def remote(*arguments: Any) -> ObjectRef:
            sent = cloudpickle.loads(cloudpickle.dumps(function))
            try:
                return ObjectRef(sent(*(get(one) if isinstance(one, ObjectRef) else _copied(one) for one in arguments)))
            except Exception as error:
                told = RayTaskError(str(error))
                told.__cause__ = error
                return ObjectRef(error=told)

    return Begun


class Pending(ObjectRef):
    """A value that never comes."""

    def get(self) -> Any:
        raise AssertionError("this would wait for ever")


class Gone(ObjectRef):
    """What an actor answers that could not be made, or has died for good."""

    def __init__(self) -> None:
        super().__init__(error=RayActorError("it could not be made"))


class _Actor:
    dies_at: int | None = None
    """Which question an actor dies at; all actors together, from 0."""
    asked = 0
    fates: tuple[type[ObjectRef] | None, ...] = ()
    """Of the first actors: what all that they are asked gives instead of an answer."""

    def __init__(self, made: Any) -> None:
        self._made = made
        self._fate, _Actor.fates = next(iter(_Actor.fates), None), _Actor.fates[1:]

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._made, name)

        class Begun:
            @classmethod
            def options(cls, **_: Any) -> Any:
                return cls

            @staticmethod
            def remote(*arguments: Any) -> ObjectRef:
                if self._fate is not None:
                    return self._fate()
                if name == "answer":
                    _Actor.asked += 1
                    if _Actor.asked - 1 == _Actor.dies_at:
                        return ObjectRef(error=RayActorError("the node is gone"))
                return ObjectRef(method(*map(_copied, arguments)))

        return Begun


def _copied(value: Any) -> Any:
    return cloudpickle.loads(cloudpickle.dumps(value))


def get(references: Any) -> Any:
    """As `ray.get`."""
    return references.get() if isinstance(references, ObjectRef) else [one.get() for one in references]


def wait(references: Sequence[ObjectRef], num_returns: int, timeout: float) -> tuple[list[ObjectRef], list[ObjectRef]]:
    """As `ray.wait`; the latest is done first, for an order that is not that of the questions."""
    done = [one for one in references if not isinstance(one, Pending)][-num_returns:]
    assert len(done) == num_returns, "this would wait for ever"
    return done, [one for one in references if one not in done]


def remote(**_: Any) -> Callable[[Any], Any]:
    """As `ray.remote`."""

    def made(what: Any) -> Any:
        if isinstance(what, type):

            class Kind:
                @staticmethod
                def remote(*arguments: Any) -> _Actor:
                    return _Actor(what(*arguments))

            return Kind
        return _begun(what)

    return made


def fake_ray(dies_at: int | None = None, fates: tuple[type[ObjectRef] | None, ...] = ()) -> ModuleType:
    """To stand in `sys.modules` as `ray`.

    Args:
        dies_at: at which question to any actor that one dies.
        fates: of the first actors: `Pending` for one that no node has a processor for, `Gone` for one that cannot be
            made, None for one that answers.
    """
    module = ModuleType("ray")
    exceptions = ModuleType("ray.exceptions")
    vars(exceptions).update(RayError=RayError, RayTaskError=RayTaskError, RayActorError=RayActorError)
    _Actor.dies_at, _Actor.asked, _Actor.fates = dies_at, 0, fates
    vars(module).update(
        ObjectRef=ObjectRef,
        get=get,
        put=ObjectRef,
        wait=wait,
        remote=remote,
        kill=lambda _: None,
        exceptions=exceptions,
    )
    return module
