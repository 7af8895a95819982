"""/ui: what is in service, and where the pages are."""

from fastapi import Request, Response

from service.deployment.variants import Variant, VariantSet
from service.http.dependencies import ServicesDep
from service.ui.manifests import metrics_with_errors
from service.ui.rendering import page
from service.ui.routing import page_router

router = page_router()


@router.get("")
async def show_start(request: Request, services: ServicesDep) -> Response:
    """The start page; what is in service is shown to keys that may ask the API for it."""
    variant_set = services.deployments.variant_set
    return page(
        request,
        "start.html",
        generation=variant_set.generation,
        interleaved=variant_set.interleaved,
        variants=[_told(one, variant_set) for one in variant_set.variants],
    )


def _told(variant: Variant, variant_set: VariantSet) -> dict[str, object]:
    manifest = variant.catalogue.chain.bundle.manifest
    origin = manifest.provenance
    return {
        "name": variant.name,
        "share": variant_set.share(variant),
        "version": manifest.version,
        "model": manifest.model,
        "n_items": manifest.n_items,
        "dataset": origin.dataset,
        "cutoff": origin.training_cutoff,
        "created_at": manifest.created_at,
        "metrics": metrics_with_errors(origin.metrics),
        "metrics_on": origin.metrics_on,
    }
