"""/v1/admin: what is in service, and putting something else there while requests are answered."""

from fastapi import APIRouter

from service.deployment.variants import Variant, VariantSet
from service.http.dependencies import RequestId, ServicesDep
from service.problems import RESPONSES
from service.schemas.deployments import DeploymentChange, DeploymentSummary, ReloadRequest, VariantSummary
from service.security.authorization import needs

router = APIRouter(prefix="/v1/admin", tags=["operation"])


@router.get("/deployment", dependencies=[needs("admin")], responses={503: RESPONSES[503]})
async def show_deployment(services: ServicesDep, request_id: RequestId) -> DeploymentSummary:
    """The variants in service, and where their bundles were taken from."""
    variant_set = services.deployments.variant_set
    return DeploymentSummary(
        request_id=request_id,
        generation=variant_set.generation,
        active=services.deployments.active,
        variants=_variants(variant_set),
    )


@router.post(
    "/reload",
    dependencies=[needs("admin")],
    responses={status: RESPONSES[status] for status in (400, 409, 413, 415, 422, 503)},
)
async def reload(services: ServicesDep, request_id: RequestId, asked: ReloadRequest | None = None) -> DeploymentChange:
    """Load a bundle, verify it, let it answer once, and put it in service here and, by the event store, everywhere.

    Without a body, what the settings name is loaded again: a directory or link that holds something else by now. What
    was in service answers until then, and goes on where anything is wrong with the bundle; the answer says what.
    """
    wanted = asked or ReloadRequest()
    changed = await services.deployments.reload(wanted.source, wanted.variant)
    return _change(services.deployments.variant_set, request_id, changed=changed)


@router.post("/rollback", dependencies=[needs("admin")], responses={status: RESPONSES[status] for status in (409, 503)})
async def roll_back(services: ServicesDep, request_id: RequestId) -> DeploymentChange:
    """Put in service again what was before, here and everywhere. Once more goes further back."""
    await services.deployments.rollback()
    return _change(services.deployments.variant_set, request_id, changed=True)


def _change(variant_set: VariantSet, request_id: str, *, changed: bool) -> DeploymentChange:
    return DeploymentChange(
        request_id=request_id,
        generation=variant_set.generation,
        active=variant_set.generation,
        variants=_variants(variant_set),
        changed=changed,
    )


def _variants(variant_set: VariantSet) -> list[VariantSummary]:
    return [_variant(one, variant_set.share(one)) for one in variant_set.variants]


def _variant(variant: Variant, share: float) -> VariantSummary:
    manifest = variant.catalogue.chain.bundle.manifest
    return VariantSummary(
        name=variant.name,
        weight=variant.weight,
        share=share,
        model_version=manifest.version,
        model=manifest.model,
        n_items=manifest.n_items,
        source=variant.source,
    )
