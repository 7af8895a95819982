"""Steps about what a challenger has beside its model: a repeat-purchase head, a second stage.

Only after a full training: an update keeps what the champion has.
"""

from pipelines.retraining.config import as_arguments
from pipelines.retraining.model_steps import CHALLENGER, version_in
from pipelines.retraining.rule import decide, wants_ranker, wants_repeats
from pipelines.retraining.run import Result, Run, Skip, Work
from recsys_vae.bundles.manifest import read_manifest

KEPT = "the update keeps what the champion has"


class LearnRepeats:
    """What users buy again, where the settings ask for it, or the champion knows it."""

    name = "repeats"

    def prepare(self, run: Run) -> Work | Skip:
        """From what the challenger has learned from, in its own place."""
        if "due" not in run.facts:
            raise LookupError("what is due")
        if (due := decide(run)).champion is not None:
            return Skip(KEPT)
        if not wants_repeats(run.config, due.before):
            return Skip("nobody asks for a repeat-purchase head")
        return _in_place("learn-repeats", run, ())

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """The new version of the challenger."""
        return _renewed(run, told)


class LearnRanker:
    """The order of candidates by trees, likewise."""

    name = "ranker"

    def prepare(self, run: Run) -> Work | Skip:
        """By the options under [ranker]; without any, with the models that the champion's second stage has."""
        if "due" not in run.facts:
            raise LookupError("what is due")
        if (due := decide(run)).champion is not None:
            return Skip(KEPT)
        if not wants_ranker(run.config, due.before):
            return Skip("nobody asks for a second stage")
        asked = run.config.ranker
        options = as_arguments(asked) if isinstance(asked, dict) else ["--like", str(due.before)]
        return _in_place("learn-ranker", run, tuple(options))

    def conclude(self, run: Run, status: int, told: str) -> Result:
        """The new version of the challenger."""
        return _renewed(run, told)


def _in_place(verb: str, run: Run, options: tuple[str, ...]) -> Work:
    place, name = str(run.folder / CHALLENGER), run.config.name
    return Work(command=(verb, place, name, "--to", place, "--register-as", name, *options))


def _renewed(run: Run, told: str) -> Result:
    bundle = read_manifest(run.folder / CHALLENGER).version
    return Result({"bundle": bundle}, {"challenger_version": version_in(told)})
