"""What stands beside a bundle's model and is kept when the model is made again: repeat-purchase head and second stage.

The head is learned again, from what the dataset has by now. Of the second stage the trees stay, and the models beside
the first are learned again as the first one is, for they are what the trees were learned over.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.item_table import item_table
from pipelines.training.fit import Fitted, ModelSpec, spec_told
from pipelines.training.repeats import learn_repeats
from recsys_vae.bundles.bundle import REPEAT, Bundle
from recsys_vae.bundles.manifest import Manifest
from recsys_vae.bundles.second_stage import RANKER, ModelPart, counted_columns, moved
from recsys_vae.data.columns import ITEM, TIMESTAMP
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import BundleError, ConfigError, DataError
from recsys_vae.models import catalog
from recsys_vae.models.repeat import RepeatHead
from recsys_vae.second_stage.item_columns import ItemColumns
from recsys_vae.second_stage.ranker import Ranker


@dataclass(frozen=True, eq=False)
class KeptParts:
    """What is to be kept, none of it made again yet.

    Attributes:
        parent: the bundle that it comes from, without what is not kept.
        specs: of the models of the second stage beside the first.
    """

    parent: Bundle
    specs: tuple[ModelSpec, ...] = ()

    @classmethod
    def of(
        cls, bundle: Bundle, dataset: DatasetDir, *, drop_repeats: bool = False, drop_ranker: bool = False
    ) -> "KeptParts":
        """What is kept of a bundle; known before anything is computed.

        Raises:
            BundleError: there is a second stage that cannot be kept.
        """
        parent = replace(
            bundle,
            repeat=None if drop_repeats else bundle.repeat,
            ranker=None if drop_ranker else bundle.ranker,
            ranker_parts=() if drop_ranker else bundle.ranker_parts,
        )
        if parent.ranker is None:
            return cls(parent)
        try:
            _check_columns(parent, parent.ranker, dataset)
            return cls(parent, tuple(map(_spec_of, parent.ranker_parts)))
        except (BundleError, ConfigError, DataError) as error:
            raise cls(parent).cannot(error) from error

    def cannot(self, error: Exception) -> BundleError:
        """What to raise where the second stage cannot be kept, and why."""
        return BundleError(
            f"The second stage of {self.parent.version} cannot be kept: {error} Leave it behind with --drop-ranker, "
            "and learn another one with `recsys learn-ranker`."
        )

    def fit_each(self, fit: Callable[[int, ModelSpec, ModelPart], Fitted], learned_from: Interactions) -> "RemadeParts":
        """The models beside the first, learned again.

        Args:
            fit: learns one of them; it is given its number from 1, how, and what is known of it.
            learned_from: what they learn from.
        """
        made = [
            fit(number, spec, part)
            for number, (spec, part) in enumerate(zip(self.specs, self.parent.ranker_parts, strict=True), start=1)
        ]
        print_ = learned_from.fingerprint() if made else ""
        parts = [
            replace(part, version=self.parent.version, epochs=one.epochs, learned_from=print_)
            for part, one in zip(self.parent.ranker_parts, made, strict=True)
        ]
        return RemadeParts(self.parent, tuple(made), tuple(parts))


@dataclass(frozen=True, eq=False)
class RemadeParts:
    """What is kept, its models learned again.

    Attributes:
        parent: the bundle that it comes from, without what is not kept.
        fitted: models of the second stage beside the first.
        parts: what there is to say of them.
        erased: users whom the head may not learn from.
    """

    parent: Bundle
    fitted: tuple[Fitted, ...] = ()
    parts: tuple[ModelPart, ...] = ()
    erased: IdMap | None = None

    def beside(self, bundle: Bundle, dataset: DatasetDir) -> Bundle:
        """A new bundle of the same model with what is kept; it says what became of the head.

        Args:
            bundle: not written yet.
            dataset: that it has learned from.
        """
        if self.parent.ranker is not None:
            further = [(catalog.name_of(one.model), one.model) for one in self.fitted]
            lists, table = bundle.shelves.lists, bundle.item_table
            ranker = moved(self.parent.ranker, further, table, lists, bundle.popularity)
            bundle = replace(bundle, ranker=ranker, ranker_parts=self.parts)
        if self.parent.repeat is None:
            return bundle
        head, cutoff = self._head(bundle, dataset)
        manifest = bundle.manifest
        told = replace(manifest, provenance=replace(manifest.provenance, repeat_cutoff=cutoff))
        return replace(bundle, manifest=told, repeat=head)

    def _head(self, bundle: Bundle, dataset: DatasetDir) -> tuple[RepeatHead | None, str | None]:
        """It learned again; or as it was where nothing can be learned, unless it is to forget somebody."""
        assert self.parent.repeat is not None
        try:
            learned = learn_repeats(dataset, bundle, self.erased)
        except DataError as error:
            if self.erased:
                print(f"note: the repeat-purchase head is left behind, as it could not forget: {error}", flush=True)
                return None, None
            print(f"note: the repeat-purchase head stays as it was: {error}", flush=True)
            rows = self.parent.items.rows(bundle.items.values)
            return self.parent.repeat.onto(rows), self.parent.manifest.provenance.repeat_cutoff
        print(
            f"Repeat-purchase head learned again from {learned.purchases:,} purchases of {learned.users:,} users, the "
            f"latest at {learned.cutoff}.",
            flush=True,
        )
        return learned.head, learned.cutoff


def keeps(manifest: Manifest, parent: Manifest, *, drop_repeats: bool = False, drop_ranker: bool = False) -> bool:
    """Whether a bundle has what stands beside the model of the one that it was made of, but for what is left behind."""
    return all(
        (name in manifest.files) == (name in parent.files and not is_dropped)
        for name, is_dropped in ((REPEAT, drop_repeats), (RANKER, drop_ranker))
    )


def _spec_of(part: ModelPart) -> ModelSpec:
    spec = spec_told(part.model, part.settings, part.training)
    if spec.is_trained_by_gradient and not part.training:
        raise BundleError(f"it does not say how its {part.model} was trained, as it was written before that was kept.")
    return spec


def _check_columns(bundle: Bundle, ranker: Ranker, dataset: DatasetDir) -> None:
    """Raise DataError where a dataset lacks something that the trees go by."""
    columns, table = ranker.candidates.columns, item_table(dataset)
    counted = counted_columns(bundle.shelves.lists, bundle.popularity)
    days = ("since:user",) if ranker.candidates.has_recency else ()
    timed = [*days, *(name for name in columns.numbers if name in counted.keys() - {"popularity"})]
    if timed and not dataset.events().select(pl.col(TIMESTAMP).count()).collect().item():
        raise DataError(f"no event of {dataset.name} has a time, and it ranks by {timed[0]!r}.")
    ItemColumns.of(
        pl.DataFrame(schema={ITEM: pl.String}) if table is None else table,
        counted,
        tuple(columns.numbers),
        tuple(columns.shares),
    )
