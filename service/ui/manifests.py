"""Manifests as pages show them: a row a fact, and two of them side by side."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from recsys_vae.bundles.manifest import Manifest
from recsys_vae.pages.formatting import number, value

ERROR: Final = "_se"
"""Ends the name of a metric's standard error."""
MOST_FACTS: Final = 60
"""Rows of one group; what a plug-in puts into its settings may be long."""
METRICS: Final = "Metrics"


@dataclass(frozen=True)
class Fact:
    """Something that one or two manifests say.

    Attributes:
        name: what it is.
        texts: what each of them says, a dash for nothing.
        difference: the second number less the first; None where they are no numbers.
    """

    name: str
    texts: tuple[str, ...]
    difference: float | None = None

    @property
    def differs(self) -> bool:
        """Whether they say different things."""
        return len(set(self.texts)) > 1


@dataclass(frozen=True)
class Group:
    """Facts that belong together."""

    name: str
    facts: tuple[Fact, ...]

    @property
    def n_different(self) -> int:
        """How many of them differ."""
        return sum(fact.differs for fact in self.facts)


def groups(*manifests: Manifest) -> list[Group]:
    """What one manifest says, or what two say side by side; groups that are empty in all are left out."""
    told = [_told(one) for one in manifests]
    return [Group(name, tuple(_facts([one[name] for one in told], name))) for name in told[0] if any(
        one[name] for one in told
    )]  # fmt: skip


def metrics_with_errors(metrics: Mapping[str, float]) -> list[tuple[str, float, float | None]]:
    """Name, value and standard error of each metric."""
    return [(name, found, metrics.get(name + ERROR)) for name, found in metrics.items() if not name.endswith(ERROR)]


def _facts(told: list[dict[str, Any]], group: str) -> Iterator[Fact]:
    for name in list(dict.fromkeys(name for one in told for name in one))[:MOST_FACTS]:
        found = [one.get(name) for one in told]
        if group == METRICS:
            texts = tuple(_measured(one) for one in found)
            known = [one[0] for one in found if one is not None]
            yield Fact(name, texts, known[1] - known[0] if len(known) == 2 else None)
        else:
            yield Fact(name, tuple(map(value, found)), _difference(found))


def _difference(found: list[Any]) -> float | None:
    numbers = [one for one in found if isinstance(one, int | float) and not isinstance(one, bool)]
    return numbers[1] - numbers[0] if len(numbers) == len(found) == 2 else None


def _measured(found: tuple[float, float | None] | None) -> str:
    if found is None:
        return value(None)
    return number(found[0], 4) + ("" if found[1] is None else f" ± {number(found[1], 4)}")


def _told(manifest: Manifest) -> dict[str, dict[str, Any]]:
    origin = manifest.provenance
    data = {
        "dataset": origin.dataset,
        "fingerprint": origin.dataset_fingerprint,
        "learned from": origin.trained_on,
        "data until": origin.training_cutoff,
        "users": origin.n_users,
        "interactions": origin.n_interactions,
        **_flat(origin.decay, "decay"),
    }
    training = {"epochs": origin.epochs, "run": origin.run_id, "commit": origin.git_commit, **_flat(origin.training)}
    bundle = {
        "version": manifest.version,
        "written": manifest.created_at,
        "format": manifest.format_version,
        "items": manifest.n_items,
        **_flat(manifest.index, "index"),
    }
    return {
        "Bundle": bundle,
        "Model": {"model": manifest.model, **_flat(manifest.settings)},
        "Data": data,
        "Training": training,
        METRICS: {name: (found, error) for name, found, error in metrics_with_errors(origin.metrics)},
        "Measured on": {"users and weights": origin.metrics_on} if origin.metrics_on else {},
        "Lineage": _flat(origin.lineage),
        "Who is answered how": {**_flat(manifest.ladder), **_flat(manifest.signals, "signals")},
        "Libraries": dict(manifest.libraries),
    }


def _flat(found: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Values by their names, those of tables within tables with points between."""
    flat: dict[str, Any] = {}
    for name, one in found.items():
        whole = f"{before}.{name}" if before else name
        flat |= _flat(one, whole) if isinstance(one, Mapping) else {whole: one}
    return flat
