"""ModelSpec: which model, and how it is trained; checked without torch."""

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from recsys_vae.errors import ConfigError
from recsys_vae.models import catalog
from recsys_vae.models.configs.blend import BlendConfig, Part, named_parts, parts_of
from recsys_vae.models.configs.hybrid import HybridOptions
from recsys_vae.models.entry import Entry
from recsys_vae.models.search_space import SearchSpace
from recsys_vae.models.weighting import BINARY, OF_WEIGHTS, options_of
from recsys_vae.training.config import TrainingConfig

if TYPE_CHECKING:
    from recsys_vae.data.features import Schema

LEARNER, LINEAR = "autoencoder", "linear"
"""Parts of a blend: that which the settings of the training are about, and that in closed form."""


def default_training(name: str) -> TrainingConfig:
    """How a model is trained where nothing else is asked for: by its configuration's `TRAINING`, else the defaults."""
    return suited(TrainingConfig(), name)


def suited(training: TrainingConfig, name: str) -> TrainingConfig:
    """What is asked for, and by a model's own defaults what is as it is for all."""
    own: dict[str, Any] = getattr(catalog.entry(name).config, "TRAINING", {})
    usual = TrainingConfig()
    unasked = {key: value for key, value in own.items() if getattr(training, key) == getattr(usual, key)}
    return replace(training, **unasked)


@dataclass(frozen=True)
class ModelSpec:
    """Which model, and how it is trained.

    Attributes:
        name: in the catalogue.
        config: its configuration.
        training: settings of the loop; closed-form models pass over them.

    Raises:
        ConfigError: a setting of the model has the name of one of the training, so that none could tell which is meant;
            or its item tables are to be shared out, and cannot be.
    """

    name: str
    config: Any
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if taken := {own.name for own in fields(self.config)} & {one.name for one in fields(TrainingConfig)}:
            raise ConfigError(
                f"A setting of {self.name} is named {min(taken)}, as one of the training is: it needs another name."
            )
        if self.training.shard_items:
            self._check_shards()

    @property
    def is_trained_by_gradient(self) -> bool:
        """Whether the training settings matter."""
        return self._learner.traits.by_gradient

    @property
    def is_variational(self) -> bool:
        """Whether there is a KL to weigh."""
        return self._learner.traits.variational

    def with_schema(self, schema: "Schema") -> "ModelSpec":
        """The same with metadata of these columns, where the model takes any.

        Raises:
            ConfigError: the model is asked to take them, and there are no columns.
        """
        if not self.may_take_metadata:
            return self
        if self.is_hybrid and not schema.width:
            raise ConfigError(
                "user_metadata asks for metadata of users, and the dataset declares none. Ingest it with --users TABLE "
                "--user-field NAME:KIND, or leave user_metadata out."
            )
        return replace(self, config=replace(self.config, metadata=schema.widths))

    def _check_shards(self) -> None:
        if (found := getattr(self.config, "looks_at_all_items", None)) is None:
            able = [name for name in catalog.names() if hasattr(catalog.entry(name).config, "looks_at_all_items")]
            raise ConfigError(
                f"shard_items: the item tables of {self.name} cannot be shared out, those of {', '.join(able)} can. "
                "Leave shard_items out, or train one of these."
            )
        if found:
            raise ConfigError(
                f"shard_items: with {found} a step of {self.name} looks at all rows of its item tables. Leave one of "
                "the two out; weight_decay takes the place of l2."
            )
        if self.training.validation_metric == "mrr":
            raise ConfigError("shard_items makes lists that end, and mrr asks for the whole catalogue. Write mrr@100.")

    @property
    def takes_order(self) -> bool:
        """Whether the model, or a part of it, goes by the order of histories."""
        names = [self.name, *(part.model for part in self._parts)]
        return any(catalog.entry(name).traits.sequential for name in names)

    @property
    def takes_weights(self) -> bool:
        """Whether weights of interactions mean anything to the model, or to a part of it."""
        configs = [self.config, *(part.config for part in self._parts)]
        return any(getattr(config, name, "") not in ("", BINARY) for config in configs for name in OF_WEIGHTS)

    @property
    def goes_by_more_than_yes_or_no(self) -> bool:
        """Whether weights of interactions or dislikes mean anything to the model, or to a part of it."""
        configs = [self.config, *(part.config for part in self._parts)]
        return not all(options_of(config).is_plain for config in configs)

    @property
    def search_space(self) -> SearchSpace:
        """What is worth tuning of the model and of its parts, by the names that settings have.

        Settings of the training are those of the model that it is about, the autoencoder of a blend.
        """
        found = dict(catalog.search_space(self.name))
        for name, part in named_parts(self.config).items():
            own = {one.name for one in fields(part.config)}
            for setting, bounds in catalog.search_space(part.model).items():
                if setting in own:
                    found[f"{name}.{setting}"] = bounds
                elif name == LEARNER:
                    found[setting] = bounds
        return found

    @property
    def may_take_metadata(self) -> bool:
        """Whether the model has a place for metadata of users: a prior that is learned from them, or an encoder."""
        return self.config.user_metadata if self.is_hybrid else hasattr(self.config, "metadata")

    @property
    def may_take_item_metadata(self) -> bool:
        """Whether the model's encoder is to take metadata of the items in a history."""
        return self.is_hybrid and bool(self.config.item_metadata)

    @property
    def is_hybrid(self) -> bool:
        """Whether metadata are an option of the model's encoder."""
        return isinstance(self.config, HybridOptions)

    @property
    def _parts(self) -> list[Part]:
        """Models inside it."""
        return parts_of(self.config)

    @property
    def _learner(self) -> Entry:
        """The model that the training settings are about."""
        name = getattr(self.config, LEARNER).model if isinstance(self.config, BlendConfig) else self.name
        return catalog.entry(name)
