"""Estimator: one model of the catalogue with its settings, to be fitted and asked."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import polars as pl
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import NO_INDEX, Bundle, Tiers, write_bundle
from recsys_vae.bundles.manifest import Manifest, Provenance
from recsys_vae.bundles.tier_policy import POSTERIOR, PRIOR, TierPolicy, TierThreshold
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, ModelError, UnknownNameError
from recsys_vae.estimators.inputs import Data, Histories, as_dislikes, as_interactions
from recsys_vae.estimators.metadata import Inputs, Metadata
from recsys_vae.estimators.order import order_of_data
from recsys_vae.estimators.served import ServedModel
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.extras import is_installed
from recsys_vae.models import catalog
from recsys_vae.protocols import Float32Array, Recommender
from recsys_vae.recommender import FallbackChain
from recsys_vae.settings import with_plain_settings
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.fit import Fitted, ModelSpec, default_training, fit

BY_METADATA = TierPolicy(described=(TierThreshold(0, PRIOR), TierThreshold(1, POSTERIOR)))
"""Of a model that was fitted with metadata of users: who has some gets what the model makes of them."""
TRAINING = tuple(field.name for field in fields(TrainingConfig))


class Estimator:
    """A model of the catalogue by name; the classes of `estimators.models` have their names set.

    Args:
        settings: fields of the model's configuration, and of `TrainingConfig` where it is trained by gradient. A part
            of a blend is an estimator or the name of a model.

    Attributes:
        name: of the model, in the catalogue.
        config: the model's configuration.
        training: how it is trained; closed-form models pass over it.
        fitted: the model with its weights, epochs and history of training; None before `fit`.

    Raises:
        UnknownNameError: the model has no such setting.
        ConfigError: a value of the wrong type or out of its range.
    """

    name: ClassVar[str]

    def __init_subclass__(cls, *, model: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if model:
            cls.name = model

    def __init__(self, **settings: Any) -> None:
        expanded = _with_parts_expanded(settings)
        own = {name: value for name, value in expanded.items() if name not in TRAINING}
        given = {name: value for name, value in expanded.items() if name in TRAINING}
        self._check_names(own)
        self.config = catalog.configure(self.name, own)
        self.training = with_plain_settings(default_training(self.name), given, of=self.name)
        self._given = given
        if given and not self._spec.is_trained_by_gradient:
            raise ConfigError(f"{self.name} is solved in closed form; it has no setting {min(given)!r} of a training.")
        self.fitted: Fitted | None = None
        self._served: ServedModel | None = None
        self._provenance = Provenance()

    @classmethod
    def of(cls, name: str, **settings: Any) -> "Estimator":
        """The estimator of a name in the catalogue.

        Raises:
            UnknownNameError: there is no such model, or it has no such setting.
        """
        catalog.entry(name)
        made: Estimator = type(name, (Estimator,), {}, model=name)(**settings)
        return made

    def fit(
        self,
        train: Data,
        validation: HeldOut | None = None,
        *,
        user_metadata: Any = None,
        item_metadata: Any = None,
        kinds: Mapping[str, str] | None = None,
        dislikes: Data = None,
        order: csr_array | None = None,
        progress: bool = False,
    ) -> Self:
        """Learn from interactions, with fresh weights.

        Args:
            train: Interactions; a frame with columns user_id, item_id and perhaps weight; or a sparse matrix.
            validation: users on whom the best epoch, and a blend's weight, are chosen, over the same items: the part of
                a split. Without them all epochs are run; closed-form models pass over them.
            user_metadata: what else is known of users, a frame with a column user_id and a column a field; for models
                that take it, which are shown it here and in `recommend`. It tells who has no history what to expect.
            item_metadata: likewise of items, by item_id; models that take it are shown it in training only.
            kinds: of fields, where their column does not tell: category, set, text or number.
            dislikes: what users dislike, in the forms of `train`, for models that take it; others pass over it.
            order: places in time of the interactions, in their pattern, as `Split.train_order`; a frame with a column
                timestamp or position tells it itself. Only models that go by order need it.
            progress: show a bar on standard error.

        Raises:
            DataError: the data break their contract, or validation is over other items.
            EmptyDataError: there are no interactions.
            ConfigError: the model needs something that is not given, or has no place for something that is.
            TrainingError: the loss became infinite or NaN.
        """
        data = as_interactions(train)
        if not data.matrix.nnz:
            raise EmptyDataError("There are no interactions to learn from. Give at least one.")
        _check_validation(validation, data)
        inputs = Inputs.read(self._spec, (data.users, data.items), validation, user_metadata, item_metadata, kinds)
        fitted = fit(
            inputs.spec,
            data.matrix,
            validation=inputs.validation,
            metadata=inputs.users,
            item_metadata=inputs.items,
            dislikes=None if dislikes is None else as_dislikes(dislikes, data),
            order=_order(train, order),
            progress=progress,
        )
        tiers = Tiers() if inputs.schema is None else Tiers(BY_METADATA, inputs.schema)
        bundle = Bundle.unwritten(fitted.model, data.items, data.item_counts(), tiers)
        self.fitted, self._served = fitted, ServedModel(FallbackChain(bundle))
        self._provenance = Provenance(
            dataset_fingerprint=data.fingerprint(),
            trained_on="fit",
            n_users=data.n_users,
            n_interactions=int(data.matrix.nnz),
            training=asdict(self.training) if self._spec.is_trained_by_gradient else {},
            epochs=fitted.epochs,
        )
        return self

    @property
    def served(self) -> ServedModel:
        """What answers.

        Raises:
            ModelError: it is not fitted yet.
        """
        if self._served is None:
            raise ModelError(f"This {type(self).__name__} is not fitted yet: call fit first.")
        return self._served

    @property
    def model(self) -> Recommender:
        """The model itself, which computes on rows."""
        return self.served.bundle.model

    @property
    def items(self) -> IdMap:
        """The catalogue that it was fitted on."""
        return self.served.items

    @property
    def n_items(self) -> int:
        """Width of that catalogue."""
        return self.served.n_items

    @property
    def is_signed(self) -> bool:
        """It takes signed histories, whatever its model does."""
        return True

    @property
    def n_features(self) -> int:
        """Width of the metadata of users; 0 without any."""
        return self.served.n_features

    def recommend(
        self,
        histories: Histories,
        k: int = 10,
        *,
        keep_seen: bool = False,
        allowed: Sequence[object] | pl.Series | None = None,
        metadata: Metadata = None,
        dislikes: Histories = None,
    ) -> pl.DataFrame:
        """The k best items of each user, best first; see `ServedModel.recommend`."""
        return self.served.recommend(
            histories, k, keep_seen=keep_seen, allowed=allowed, metadata=metadata, dislikes=dislikes
        )

    def similar_items(self, item: object, k: int = 10) -> pl.DataFrame:
        """The k items most similar to one, best first; see `ServedModel.similar_items`."""
        return self.served.similar_items(item, k)

    def with_metadata(self, part: HeldOut, user_metadata: Metadata) -> HeldOut:
        """A part of a split with metadata of its users, for `evaluate`; see `ServedModel.with_metadata`."""
        return self.served.with_metadata(part, user_metadata)

    @property
    def is_sequential(self) -> bool:
        """Whether the model goes by the order of histories."""
        return self.served.is_sequential

    def score(
        self, histories: csr_array, metadata: csr_array | None = None, order: csr_array | None = None
    ) -> Float32Array:
        """Scores of all items, shape (n, n_items): what `evaluate` asks for."""
        return self.served.score(histories, metadata, order)

    def save(self, path: str | Path, *, index: str | None = None) -> Manifest:
        """Write a bundle, which `load` and `recsys serve` read; a bundle that stands there is replaced.

        Args:
            index: flat, or none, where the model itself is asked; by default flat where FAISS is installed. For an
                approximate index, see `write_bundle`.

        Raises:
            ModelError: it is not fitted yet.
            ConfigError: something else than a bundle stands there.
        """
        bundle = self.served.bundle
        kind = index or ("flat" if is_installed("faiss") else NO_INDEX)
        return write_bundle(
            Path(path),
            bundle.model,
            bundle.items,
            popularity=bundle.popularity,
            provenance=self._provenance,
            index_kind=kind,
            tiers=bundle.tiers,
        )

    def __repr__(self) -> str:
        told = catalog.described(self.config) | self._given
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in told.items())})"

    @property
    def _spec(self) -> ModelSpec:
        return ModelSpec(self.name, self.config, self.training)

    def _check_names(self, own: Mapping[str, Any]) -> None:
        known = [field.name for field in fields(catalog.entry(self.name).config)]
        if ModelSpec(self.name, catalog.entry(self.name).config()).is_trained_by_gradient:
            known += TRAINING
        if unknown := [name for name in own if name.partition(".")[0] not in known]:
            raise UnknownNameError(f"setting of {self.name}", unknown[0], known)


def _order(train: Data, given: csr_array | None) -> csr_array | None:
    if given is not None:
        return given
    places = order_of_data(train)
    return None if places is None else places.matrix


def _with_parts_expanded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Parts of a blend that are given as estimators, by name with their settings; their training's come first."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Estimator):
            found = value._given | found
            found[name] = value.name
            found |= {f"{name}.{key}": inner for key, inner in catalog.described(value.config).items()}
    return found | {name: value for name, value in settings.items() if not isinstance(value, Estimator)}


def _check_validation(validation: HeldOut | None, data: Interactions) -> None:
    if validation is None:
        return
    if not isinstance(validation, HeldOut):
        raise DataError(f"validation is a part of a split (HeldOut), got {type(validation).__name__}. Use split(...).")
    if validation.targets.shape[1] != data.n_items:
        raise DataError(
            f"validation is over {validation.targets.shape[1]} items, the training data over {data.n_items}: take both "
            "from one split."
        )
