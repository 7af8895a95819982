"""Search: which settings of a model are tried, which are fixed, and what decides between them."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import read_manifest
from pipelines.training.fit import ModelSpec
from pipelines.training.model_settings import OF_THE_MACHINE, ending, settings_of, specify
from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.metrics import parse_metric
from recsys_vae.models.configs.blend import named_parts
from recsys_vae.models.configs.hybrid import OF_METADATA
from recsys_vae.models.search_space import SearchSpace, Value
from recsys_vae.models.weighting import without_effect


@dataclass(frozen=True)
class Search:
    """What is searched for.

    Attributes:
        base: the model with the settings that are fixed; the others at their defaults, with which the search begins.
        space: the settings that are searched, within their bounds.
        given: names of the settings that were fixed by the user.
        split: name of the split.
        metric: what is to be high on its validation part.
        seed: of the draws; the training has its own among its settings.
    """

    base: ModelSpec
    space: SearchSpace
    given: tuple[str, ...]
    split: str
    metric: str
    seed: int

    @classmethod
    def of(
        cls,
        model: str,
        fixed: Mapping[str, Any],
        *,
        split: str = "strong",
        metric: str | None = None,
        seed: int | None = None,
    ) -> "Search":
        """The search over all of a model's search space that is not fixed; of a blend, over those of its parts.

        Args:
            metric, seed: of the search and, for models trained by gradient, of their training; its defaults when None.

        Raises:
            UnknownNameError: no such model, setting or metric.
            ConfigError: a value out of its range, or nothing is left to search.
        """
        base = specify(model, fixed)
        name = parse_metric(metric or base.training.validation_metric).name
        seed = base.training.seed if seed is None else seed
        base = replace(base, training=replace(base.training, validation_metric=name, seed=seed))
        unused = () if base.may_take_metadata else OF_METADATA
        space = {
            setting: bounds
            for setting, bounds in base.search_space.items()
            if setting not in fixed and ending(setting) not in unused
        }
        if not space:
            raise ConfigError(f"There is nothing to tune: {model} has no other setting with a search space.")
        return cls(base, space, tuple(fixed), split, name, seed)

    def among(self, train: csr_array, dislikes: csr_array | None) -> "Search":
        """The search without what has no effect on such data: weights where all are equal, dislikes where none are.

        Args:
            train: interactions of the training part, shape (n_users, n_items).
            dislikes: what speaks against items there, of the same shape; None for nothing.

        Raises:
            ConfigError: nothing is left to search.
        """
        unused = without_effect(train, dislikes)
        space = {setting: bounds for setting, bounds in self.space.items() if ending(setting) not in unused}
        if not space:
            raise ConfigError(
                f"There is nothing to tune: {', '.join(self.space)} of {self.base.name} has no effect on these data."
            )
        return replace(self, space=space)

    @property
    def fixed_parts(self) -> frozenset[str]:
        """Parts of a blend of which nothing is searched: they are the same in all trials."""
        has_training = any("." not in setting for setting in self.space)
        return frozenset(
            name
            for name, part in named_parts(self.base.config).items()
            if not any(setting.startswith(f"{name}.") for setting in self.space)
            and not (has_training and part.traits.by_gradient)
        )

    def weighs(self, settings: Mapping[str, Value]) -> bool:
        """Whether a model with settings of the space goes by more than yes or no: by weights or dislikes."""
        return self.spec(settings).goes_by_more_than_yes_or_no

    def spec(self, settings: Mapping[str, Value]) -> ModelSpec:
        """The model with settings of the space."""
        return specify(self.base.name, settings_of(self.base).settings | dict(settings), self.base.training)

    def first(self) -> dict[str, Value]:
        """The settings of the space as they are where nobody chooses."""
        present = settings_of(self.base).settings
        return {name: present[name] for name in self.space}

    def identity(self, dataset: DatasetDir) -> dict[str, Any]:
        """All that decides the outcome of a trial, as JSON takes it."""
        manifest = read_manifest(dataset, self.split)
        return {
            "model": self.base.name,
            "metric": self.metric,
            "split": {"name": self.split} | manifest.recipe.model_dump(mode="json"),
            "data": manifest.dataset_fingerprint,
            "settings": settings_of(self.base).settings,
            "given": sorted(set(self.given) - OF_THE_MACHINE),
            "device": self.base.training.device,
            "precision": self.base.training.precision,
            "seed": self.seed,
            "space": [f"{name}: {bounds}" for name, bounds in sorted(self.space.items())],
        }


def train_command(dataset: DatasetDir, search: Search, settings: Mapping[str, Value]) -> str:
    """The command line that trains with settings of the space and those that were fixed."""
    chosen = settings_of(search.spec(settings)).settings
    names = [*search.given, *(name for name in settings if name not in search.given)]
    if search.base.is_trained_by_gradient:
        names += [name for name in ("validation_metric", "seed") if name not in names]
    words = ["recsys", "train", dataset.name, "--split", search.split, "--model", search.base.name]
    for name in names:
        if name in chosen:
            words += ["--set", f"{name}={chosen[name]}"]
    for name in sorted(OF_THE_MACHINE & set(search.given)):
        words += ["--set", f"{name}={getattr(search.base.training, name)}"]
    return shlex.join([*words, "--to", f"bundles/{search.base.name}"])
