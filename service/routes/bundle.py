"""GET /v1/bundle: what is in service."""

from fastapi import APIRouter

from service.deps import ServicesDep
from service.doors import needs
from service.errors import RESPONSES
from service.schemas import BundleSummary

router = APIRouter(prefix="/v1", tags=["operation"])


@router.get("/bundle", dependencies=[needs("recommend")], responses={503: RESPONSES[503]})
async def show_bundle(services: ServicesDep) -> BundleSummary:
    """The model in service: what it is, what it has learned from, what was measured."""
    manifest = services.engine.ladder.bundle.manifest
    origin = manifest.provenance
    return BundleSummary(
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
