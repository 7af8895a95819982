"""GET /v1/bundle: what is in service."""

from fastapi import APIRouter

from service.http.dependencies import ServicesDep
from service.problems import RESPONSES
from service.schemas.common import BundleSummary
from service.schemas.deployments import ChosenVariant
from service.security.authorization import needs

router = APIRouter(prefix="/v1", tags=["operation"])


@router.get("/bundle", dependencies=[needs("recommend")], responses={422: RESPONSES[422], 503: RESPONSES[503]})
async def show_bundle(services: ServicesDep, variant: ChosenVariant = None) -> BundleSummary:
    """The model in service: what it is, what it has learned from, what was measured. Of several variants, the first."""
    variant_set = services.deployments.variant_set
    shown = variant_set.variants[0] if variant is None else variant_set.named(variant)
    manifest = shown.catalogue.chain.bundle.manifest
    origin = manifest.provenance
    return BundleSummary(
        variant=shown.name,
        model_version=manifest.version,
        model=manifest.model,
        settings=dict(manifest.settings),
        n_items=manifest.n_items,
        index=manifest.index.get("kind"),
        dataset=origin.dataset,
        dataset_fingerprint=origin.dataset_fingerprint,
        trained_on=origin.trained_on,
        training_cutoff=origin.training_cutoff,
        metrics=dict(origin.metrics),
        metrics_on=origin.metrics_on,
        created_at=manifest.created_at,
    )
