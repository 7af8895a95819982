"""Assembly: lineups, made of what the settings name or of what the store says, with bundles that are verified and warm.

What is in memory already is used again, so that a rollback takes no time and equal bundles are held once.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from recsys_vae.errors import BundleError, RecsysError, UnavailableError
from service.deployment import bundle_sources
from service.deployment.bundle_sources import USUAL, Patience
from service.deployment.source_policy import permitted
from service.deployment.variants import Variant, VariantSet
from service.errors import FieldError
from service.ranking.served_model import Catalogue
from service.settings import NamedSource, Settings
from service.store.deployments import Deployment, DeploymentTable, Part

logger = logging.getLogger("recsys.service")

Held = Mapping[str, Catalogue]
"""Version -> what is in memory."""


def open_first(settings: Settings, store: DeploymentTable) -> VariantSet | None:
    """What to start with: what the settings name, or with `follow` what the store says; None where there is neither.

    Raises:
        BundleError: what the settings name cannot be used, or what the store says is in service cannot be had: then
            nothing else is, since it is not what is to be answered with.
        UnavailableError: the model registry does not hand it out, or the store does not answer: what is in service is
            not known then, and what is named here may be something else.
    """
    active, patience = _active(settings, store) if settings.follow else None, patience_of(settings)
    if active is not None:
        return assemble(active, settings.sources, {}, patience)
    return open_named(settings.sources, None, patience, settings.interleave) if settings.sources else None


def patience_of(settings: Settings) -> Patience:
    """How long the settings let the model registry be waited for."""
    return Patience(settings.registry_seconds, settings.download_seconds)


def _active(settings: Settings, store: DeploymentTable) -> Deployment | None:
    try:
        return store.active()
    except UnavailableError as error:
        if not settings.sources:
            raise
        if not settings.start_without_store:
            raise UnavailableError(
                f"What is in service is not known: {error} This starts once it answers, or with what is named here if "
                "RECSYS_START_WITHOUT_STORE (--start-without-store) is on."
            ) from error
        logger.error("This starts with what its settings name, whatever is in service: %s", error)
        return None


def open_named(
    sources: Sequence[NamedSource],
    held: Held | None = None,
    patience: Patience = USUAL,
    interleaved: tuple[str, ...] = (),
) -> VariantSet:
    """What the settings name, read and verified afresh.

    Raises:
        BundleError: a bundle is missing, damaged, of another format, or does not answer.
        UnavailableError: the model registry does not hand one out.
    """
    aliases = aliases_of(sources, patience)
    known = dict(aliases)
    variants = [
        open_variant(name, weight, known.get(source, source), held, patience) for name, weight, source in sources
    ]
    return VariantSet(0, tuple(variants), aliases, interleaved)


def aliases_of(sources: Sequence[NamedSource], patience: Patience = USUAL) -> tuple[tuple[str, str], ...]:
    """What the aliases among the sources name now.

    Raises:
        UnavailableError: the model registry does not say.
    """
    found = sorted({source for _, _, source in sources if bundle_sources.is_alias(source)})
    return tuple((alias, bundle_sources.resolved(alias, patience)) for alias in found)


def open_variant(
    name: str, weight: float, source: str, held: Held | None = None, patience: Patience = USUAL
) -> Variant:
    """One variant, read and verified afresh.

    Raises:
        BundleError: its bundle is missing, damaged, of another format, or does not answer.
        UnavailableError: the model registry does not hand it out.
    """
    place = bundle_sources.resolved(source, patience)
    catalogue = bundle_sources.open_catalogue(place, patience)
    return Variant(name, weight, place, (held or {}).get(catalogue.version, catalogue))


def with_source(
    variant_set: VariantSet, source: str | None, name: str | None, settings: Settings, held: Held
) -> VariantSet:
    """A set of variants with another bundle as one of its variants.

    Args:
        variant_set: what it is made from.
        source: of the bundle; None for the one that the settings name for this variant.
        name: of the variant; None where there is one only.
        settings: which say what may be loaded.
        held: what is in memory.

    Raises:
        FieldError: the source may not be loaded, or there is no such variant.
        BundleError: the bundle cannot be used.
        UnavailableError: the model registry does not hand it out.
    """
    place = _place(variant_set, name)
    old = variant_set.variants[place]
    wanted = _own_source(old.name, settings) if source is None else permitted(source, settings)
    new = open_variant(old.name, old.weight, wanted, held, patience_of(settings))
    return replace(variant_set, variants=(*variant_set.variants[:place], new, *variant_set.variants[place + 1 :]))


def assemble(
    deployment: Deployment, sources: Sequence[NamedSource], held: Held, patience: Patience = USUAL
) -> VariantSet:
    """What the store says: from memory, from where it was taken, or else from what the settings name.

    Raises:
        BundleError: one of the bundles is in none of these places any more.
    """
    found = dict(held)
    variants = []
    for part in deployment.plan.parts:
        if part.version not in found:
            found[part.version] = _found(part, sources, patience)
        variants.append(Variant(part.name, part.weight, part.source, found[part.version]))
    return VariantSet(deployment.generation, tuple(variants), deployment.plan.aliases, deployment.plan.interleaved)


def _found(part: Part, sources: Sequence[NamedSource], patience: Patience) -> Catalogue:
    reasons = []
    for source in dict.fromkeys([part.source, *(named.source for named in sources)]):
        try:
            catalogue = bundle_sources.open_catalogue(bundle_sources.resolved(source, patience), patience)
        except RecsysError as error:
            reasons.append(str(error))
            continue
        if catalogue.version == part.version:
            return catalogue
        reasons.append(f"{source} holds {catalogue.version} by now.")
    raise BundleError(f"The bundle {part.version} of variant {part.name!r} cannot be had: {' '.join(reasons)}")


def _place(variant_set: VariantSet, name: str | None) -> int:
    names = [variant.name for variant in variant_set.variants]
    if name is None and len(names) > 1:
        raise FieldError("body.variant", f"several variants are in service: {', '.join(names)}; name one")
    if name is not None and name not in names:
        raise FieldError("body.variant", f"no variant {name!r} is in service; there are: {', '.join(names)}")
    return 0 if name is None else names.index(name)


def _own_source(name: str, settings: Settings) -> str:
    for named in settings.sources:
        if named.name == name:
            return named.source
    raise FieldError("body.variant", f"the settings name no source for {name!r}; name one in body.source")
