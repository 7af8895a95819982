"""Record: a comparison as it is kept, so that a kill loses nothing but the trial under way.

DATASET/comparisons/NAME/
    comparison.json         what it is about, what was tried, what came of it
    values.npz              of the best trial of each model, the metrics user by user
    N-C.safetensors         checkpoint of choice C of model N, while it may be gone on with
    N.weights               what the best trial of model N has learned, until all are measured
    best.toml               settings file of the model that is recommended
    page.html               why
"""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.dataset.directory import COMPARISON_FILES
from pipelines.selection.schedule import Done
from pipelines.selection.trials import Measured
from recsys_vae.atomic import write_atomically
from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.breakdown import Group
from recsys_vae.evaluation.metrics import Float64Array
from recsys_vae.outputs import new_directory

COMPARISON, VALUES, BEST, PAGE = "comparison.json", "values.npz", "best.toml", "page.html"
WRITTEN = replace(new_directory("a comparison of `recsys compare`", COMPARISON_FILES), is_part=True)
"""What comparing may write over."""


@dataclass(frozen=True)
class Standing:
    """The best trial of a model, as it would be served.

    Attributes:
        model, choice: which.
        settings: all that decide what is learned.
        means, errors: by metric, over the validation users; an error is None where there is none.
        groups: of users by the length of their history.
        seconds: that training took.
        epochs: that were run; 0 for models in closed form.
        is_whole: whether it was trained to its end.
        milliseconds: to answer one user alone.
        n_bytes: of what was learned.
    """

    model: str
    choice: int
    settings: dict[str, Any]
    means: dict[str, float]
    errors: dict[str, float | None]
    groups: list[dict[str, Any]]
    seconds: float
    epochs: int
    is_whole: bool
    milliseconds: float
    n_bytes: int

    def by_history(self) -> list[Group]:
        """Users in groups by the length of their history."""
        return [Group(**{**group, "standard_error": _nan(group["standard_error"])}) for group in self.groups]


@dataclass
class Record:
    """A comparison under way.

    Attributes:
        folder: where it is kept.
        identity: what decides its outcome.
        done: what was tried, the latest word on each.
        standings: of the best trial of each model.
        measuring: seconds that measuring a model as served took; None before the first.
        values: of these, by model and metric, shape (n_users,).
        seconds: that it has taken.
        run_id: at the tracking server; None until it was told.
        is_complete: whether there is nothing left to try.
    """

    folder: Path
    identity: dict[str, Any]
    done: list[Done] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)
    values: dict[tuple[str, str], Float64Array] = field(default_factory=dict)
    seconds: float = 0.0
    measuring: float | None = None
    run_id: str | None = None
    is_complete: bool = False

    @classmethod
    def open(cls, folder: Path, identity: Mapping[str, Any], *, resume: bool, afresh: bool) -> "Record":
        """Begin one, or with `resume` go on with the one that is there.

        Args:
            afresh: begin anew where it is about something else.

        Raises:
            ConfigError: one is there and not to be resumed, or it is about something else.
        """
        path, asked = folder / COMPARISON, json.loads(json.dumps(identity))
        if not path.exists():
            return cls(folder, asked)
        if not resume:
            raise ConfigError(
                f"Comparison {folder.name} is there. Continue it with --resume, remove {folder} to start over, or name "
                "another --name."
            )
        kept = json.loads(path.read_text())
        differing = [name for name, value in asked.items() if kept["identity"].get(name) != value]
        if differing and afresh:
            remove_models(folder)
            return cls(folder, asked)
        if differing:
            raise ConfigError(
                f"Comparison {folder.name} was begun with other settings or data ({', '.join(sorted(differing))}). "
                f"Remove {folder} to start over, or name another --name."
            )
        return cls(
            folder,
            asked,
            [Done(**one) for one in kept["done"]],
            {name: Standing(**one) for name, one in kept["standings"].items()},
            _read_values(folder / VALUES),
            kept["seconds"],
            kept["measuring"],
            kept["run_id"],
            kept["is_complete"],
        )

    def keep(self, done: Done) -> None:
        """Note what came of a trial, in place of what was known of it."""
        self.done = [one for one in self.done if (one.model, one.choice) != (done.model, done.choice)] + [done]

    def forget(self, model: str) -> None:
        """A model was not tried."""
        self.done = [one for one in self.done if one.model != model]
        self.standings.pop(model, None)

    def best(self) -> dict[str, Done]:
        """The trial of the highest value of each model, the earliest of equal ones."""
        found: dict[str, Done] = {}
        for one in self.done:
            if one.value is not None and (one.model not in found or one.value > (found[one.model].value or 0.0)):
                found[one.model] = one
        return found

    def stand(self, standing: Standing, measured: Measured) -> None:
        """Note that a trial is the best of its model so far."""
        self.standings[standing.model] = standing
        self.values |= {(standing.model, metric): values for metric, values in measured.per_user.items()}

    def write(self) -> None:
        """Write all of it; the values first, as without them the rest says nothing."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **{f"{m} {v}": array for (m, v), array in self.values.items()})
        write_atomically(self.folder / VALUES, buffer.getvalue())
        content = {
            "identity": self.identity,
            "done": [asdict(one) for one in self.done],
            "standings": {name: asdict(one) for name, one in self.standings.items()},
            "seconds": round(self.seconds, 3),
            "measuring": self.measuring,
            "run_id": self.run_id,
            "is_complete": self.is_complete,
        }
        write_atomically(self.folder / COMPARISON, json.dumps(content, indent=1) + "\n")


def remove_models(folder: Path) -> None:
    """Remove checkpoints and what was learned: nothing is to be gone on with."""
    for pattern in ("*.safetensors", "*.weights"):
        for file in folder.glob(pattern):
            file.unlink()


def as_standing(done: Done, settings: Mapping[str, Any], measured: Measured) -> Standing:
    """What is kept of a trial that was measured."""
    return Standing(
        done.model,
        done.choice,
        dict(settings),
        dict(measured.means),
        {name: _number(measured.errors.get(name, float("nan"))) for name in measured.means},
        [{**asdict(group), "standard_error": _number(group.standard_error)} for group in measured.groups],
        done.training,
        done.epochs,
        done.until == 0,
        round(measured.milliseconds, 3),
        measured.n_bytes,
    )


def _read_values(path: Path) -> dict[tuple[str, str], Float64Array]:
    with np.load(path, allow_pickle=False) as kept:
        return {_key(name): kept[name] for name in kept.files}


def _key(name: str) -> tuple[str, str]:
    model, _, metric = name.rpartition(" ")
    return model, metric


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
