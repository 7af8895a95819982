"""/v1/admin: what is in service, and putting something else there while requests are answered."""

from typing import Any

from anyio import to_thread
from fastapi import APIRouter

from service.deployment.variants import Variant, VariantSet
from service.http.dependencies import AccessDep, RequestId, Services, ServicesDep
from service.problems import RESPONSES
from service.schemas.deployments import DeploymentChange, DeploymentSummary, ReloadRequest, VariantSummary, Wait
from service.security.access import Access
from service.security.authorization import needs

router = APIRouter(prefix="/v1/admin", tags=["operation"])


@router.get("/deployment", dependencies=[needs("admin")], responses={503: RESPONSES[503]})
async def show_deployment(services: ServicesDep, request_id: RequestId) -> DeploymentSummary:
    """The variants in service, and where their bundles were taken from."""
    return DeploymentSummary(**await _summary(services, request_id))


@router.post(
    "/reload",
    dependencies=[needs("admin")],
    responses={status: RESPONSES[status] for status in (400, 409, 413, 415, 422, 503)},
)
async def reload(
    services: ServicesDep, access: AccessDep, asked: ReloadRequest | None = None, wait: Wait = 0.0
) -> DeploymentChange:
    """Load a bundle, verify it, let it answer once, and put it in service here and, by the event store, everywhere.

    Without a body, what the settings name is loaded again: a directory or link that holds something else by now. What
    was in service answers until then, and goes on where anything is wrong with the bundle; the answer says what. The
    other replicas follow within seconds; `wait` waits for them.
    """
    wanted = asked or ReloadRequest()
    changed = await services.deployments.reload(wanted.source, wanted.variant)
    if changed:
        told = {"source": wanted.source, "variant": wanted.variant}
        await note_deployment(services, access, "reload", told)
    return await _change(services, access.request_id, wait, changed=changed)


@router.post(
    "/rollback", dependencies=[needs("admin")], responses={status: RESPONSES[status] for status in (409, 422, 503)}
)
async def roll_back(services: ServicesDep, access: AccessDep, wait: Wait = 0.0) -> DeploymentChange:
    """Put in service again what was before, here and everywhere. Once more goes further back."""
    await services.deployments.rollback()
    await note_deployment(services, access, "roll-back", {})
    return await _change(services, access.request_id, wait, changed=True)


async def note_deployment(services: Services, access: Access, action: str, detail: dict[str, Any]) -> None:
    """Note who put something else in service, with the generation that it became."""
    told = {"generation": services.deployments.variant_set.generation, **detail}
    note = services.actions.note
    await to_thread.run_sync(note, access.caller.name, action, "deployment", told, access.request_id)


async def _change(services: Services, request_id: str, patience: float, *, changed: bool) -> DeploymentChange:
    return DeploymentChange(**await _summary(services, request_id, patience), changed=changed)


async def _summary(services: Services, request_id: str, patience: float = 0.0) -> dict[str, Any]:
    """The fields of `DeploymentSummary`, once all replicas follow or patience is at an end."""
    found = await services.deployments.replicas(patience)
    variant_set = services.deployments.variant_set
    return {
        "request_id": request_id,
        "generation": variant_set.generation,
        "active": services.deployments.active,
        "variants": _variants(variant_set),
        "interleaved": list(variant_set.interleaved),
        "replicas": None if found is None else found.running,
        "behind": None if found is None else found.behind,
    }


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
