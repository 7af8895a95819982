"""/ui/deployments: what serves where, versions side by side, what was in service, and putting something else there."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from recsys_vae.errors import RecsysError, UnavailableError, fault_text
from service.deployment.source_policy import permitted
from service.errors import ConflictError, FieldError
from service.http.dependencies import AccessDep, Services, ServicesDep
from service.http.routes.admin import note_deployment
from service.problems import problem_of
from service.schemas.deployments import ReloadRequest
from service.security.access import Access
from service.store.actions import Action
from service.store.deployments import Deployment, Plan
from service.ui import versions
from service.ui.forms import form_of
from service.ui.manifests import groups
from service.ui.rendering import page
from service.ui.routing import page_router

HOME: Final = "/ui/deployments"
SHOWN: Final = 20
"""Deployments and actions of one page."""
WEIGHT: Final = "weight."
"""Begins names of fields, before the name of a variant."""
DONE: Final = {
    "reload": ("good", "It is in service here; the other replicas follow within seconds."),
    "unchanged": ("", "Just that was in service already; nothing has changed."),
    "rollback": ("good", "What was before is in service again."),
    "weights": ("good", "The variants have their new weights."),
}
"""What is told after a change, by the word in the address."""

router = page_router()
Before = Annotated[int | None, Query(ge=0, lt=2**63)]


@router.get("/deployments")
async def show_deployments(
    request: Request, services: ServicesDep, access: AccessDep, done: str = "", before: Before = None
) -> Response:
    """What is in service; for keys with the scope `admin` also where from, what was, who did what, and forms."""
    variant_set = services.deployments.variant_set
    told: dict[str, Any] = {"told": DONE.get(done), "variant_set": variant_set, "is_store_silent": False}
    if access.opens("admin"):
        try:
            told |= await _for_admins(services, access, before)
        except UnavailableError:
            told["is_store_silent"] = True
    return page(request, "deployments.html", **told)


async def _for_admins(services: Services, access: Access, before: int | None) -> dict[str, Any]:
    variant_set, active = services.deployments.variant_set, services.deployments.active
    recorded = await to_thread.run_sync(_recorded, services)
    found = await to_thread.run_sync(versions.known, variant_set, recorded, services.settings.bundle_root)
    asked = await to_thread.run_sync(services.actions.latest, 10 * SHOWN, None, "deployment")
    actions = await to_thread.run_sync(services.actions.latest, SHOWN + 1, before)
    return {
        "replicas": await services.deployments.replicas(),
        "active": active,
        "recorded": recorded,
        "asked": {action.detail.get("generation"): action for action in asked},
        "versions": found,
        "target": _target(recorded),
        "sources": _sources(services),
        "actions": [_told(action, access) for action in actions[:SHOWN]],
        "older": actions[SHOWN - 1].sequence if len(actions) > SHOWN else None,
        "is_later": before is not None,
    }


def _recorded(services: Services) -> list[Deployment]:
    """What was put in service last, latest first."""
    return services.deployments.recorded(SHOWN)


def _target(recorded: list[Deployment]) -> Plan | None:
    """What a rollback goes back to, where it is among these."""
    previous = recorded[0].previous if recorded else None
    return next((one.plan for one in recorded if one.generation == previous), None)


def _sources(services: Services) -> list[str]:
    """What may be put in service: what the settings name, and bundles of the bundle root."""
    named = [source for _, _, source in services.settings.sources]
    root = services.settings.bundle_root
    return list(dict.fromkeys([*named, *(path.rpartition("/")[2] for path in versions.folders(root))]))


def _told(action: Action, access: Access) -> Action:
    """An action as its key may be told of it: ids of users need `histories`, fields of items `items`."""
    if action.subject.startswith("user:") and not access.opens("histories"):
        return action._replace(subject="user", detail={})
    return action._replace(detail={}) if action.subject.startswith("item:") and not access.opens("items") else action


@router.get("/deployments/versions")
async def show_versions(
    request: Request, services: ServicesDep, access: AccessDep, one: str = "", other: str = ""
) -> Response:
    """What one bundle says of itself, or two side by side, the first two if none is named.

    Those that are not in service need the scope `admin`.
    """
    access.demand("recommend")
    found = versions.in_service(services.deployments.variant_set)
    if access.opens("admin"):
        recorded = await to_thread.run_sync(_recorded, services)
        found = await to_thread.run_sync(
            versions.known, services.deployments.variant_set, recorded, services.settings.bundle_root
        )
    chosen = [name for name in dict.fromkeys((one, other)) if name] or list(found)[:2]
    for name in chosen:
        if name not in found:
            raise HTTPException(404, f"No bundle that can be read here has the version {name}.")
    shown = [found[name] for name in chosen]
    facts = groups(*(version.manifest for version in shown))
    return page(request, "versions.html", versions=found, shown=shown, groups=facts)


@router.get("/deployments/reload")
async def ask_to_reload(
    request: Request, services: ServicesDep, access: AccessDep, source: str = "", variant: str = ""
) -> Response:
    """What a reload would do, to be confirmed."""
    access.demand("admin")
    return await _asked(request, services, "reload", {"source": source.strip(), "variant": variant})


@router.post("/deployments/reload")
async def reload(request: Request, services: ServicesDep, access: AccessDep) -> Response:
    """Put a bundle in service."""

    async def act(form: Mapping[str, str]) -> str:
        wanted = _wanted(form)
        if not await services.deployments.reload(wanted.source, wanted.variant):
            return "unchanged"
        await note_deployment(services, access, "reload", {"source": wanted.source, "variant": wanted.variant})
        return "reload"

    return await _changed(request, services, access, "reload", act)


@router.get("/deployments/rollback")
async def ask_to_roll_back(request: Request, services: ServicesDep, access: AccessDep) -> Response:
    """What a rollback would do, to be confirmed."""
    access.demand("admin")
    return await _asked(request, services, "rollback", {})


@router.post("/deployments/rollback")
async def roll_back(request: Request, services: ServicesDep, access: AccessDep) -> Response:
    """Put in service what was before."""

    async def act(form: Mapping[str, str]) -> str:
        await services.deployments.rollback()
        await note_deployment(services, access, "roll-back", {})
        return "rollback"

    return await _changed(request, services, access, "rollback", act)


@router.get("/deployments/weights")
async def ask_to_weigh(request: Request, services: ServicesDep, access: AccessDep) -> Response:
    """What other weights would do, to be confirmed."""
    access.demand("admin")
    typed = {name: text.strip() for name, text in request.query_params.items() if name.startswith(WEIGHT)}
    return await _asked(request, services, "weights", typed)


@router.post("/deployments/weights")
async def weigh(request: Request, services: ServicesDep, access: AccessDep) -> Response:
    """Give the variants other weights."""

    async def act(form: Mapping[str, str]) -> str:
        weights = _weights(form)
        if not await services.deployments.weigh(weights):
            return "unchanged"
        await note_deployment(services, access, "set-weights", {"weights": weights})
        return "weights"

    return await _changed(request, services, access, "weights", act)


async def _changed(
    request: Request, services: Services, access: Access, what: str, act: Callable[[Mapping[str, str]], Awaitable[str]]
) -> Response:
    """Do what was confirmed, unless something else is in service by now, and go back; or say why not."""
    access.demand("admin")
    form = dict(await form_of(request))
    form.pop("form_token", None)
    generation = form.pop("generation", "")
    try:
        if generation != str(services.deployments.active):
            raise ConflictError("superseded", "Something else was put in service since this was shown. Look again.")
        return RedirectResponse(f"{HOME}?done={await act(form)}", 303)
    except RecsysError as error:
        return await _asked(request, services, what, form, error)


async def _asked(
    request: Request, services: Services, what: str, fields: dict[str, str], error: RecsysError | None = None
) -> Response:
    """The page that asks whether something is to be done, or says why it cannot be."""
    told: dict[str, Any] = {}
    try:
        told = await to_thread.run_sync(EXPECTED[what], services, fields)
    except RecsysError as found:
        error = error or found
    problem = None if error is None else problem_of(error, request.state.request_id)
    return page(
        request,
        "deployment_confirm.html",
        status=200 if problem is None else problem.status,
        what=what,
        fields=fields,
        problem=problem,
        variant_set=services.deployments.variant_set,
        generation=services.deployments.active,
        **{"found": None, "target": None, "weighed": None, "current": None} | told,
    )


def _reload_expected(services: Services, fields: dict[str, str]) -> dict[str, Any]:
    """The bundle that a source names, where it lies here, and the one that it replaces."""
    wanted, variant_set = _wanted(fields), services.deployments.variant_set
    names = [one.name for one in variant_set.variants]
    if wanted.source is None and wanted.variant is None:
        return {}
    if len(names) > 1 and wanted.variant is None:
        raise FieldError("variant", f"several variants are in service: {', '.join(names)}; choose one")
    current = variant_set.named(wanted.variant) if wanted.variant is not None else variant_set.variants[0]
    place = permitted(wanted.source, services.settings) if wanted.source is not None else ""
    manifest = versions.manifest_at(place) if place else None
    return {"current": current, "found": None if manifest is None else versions.Version(manifest, place)}


def _rollback_expected(services: Services, fields: dict[str, str]) -> dict[str, Any]:
    return {"target": services.deployments.before()}


def _weights_expected(services: Services, fields: dict[str, str]) -> dict[str, Any]:
    return {"weighed": services.deployments.variant_set.weighed(_weights(fields))}


EXPECTED: Final[dict[str, Callable[[Services, dict[str, str]], dict[str, Any]]]] = {
    "reload": _reload_expected,
    "rollback": _rollback_expected,
    "weights": _weights_expected,
}
"""What each change would lead to; waits for the store and for disks."""


def _wanted(form: Mapping[str, str]) -> ReloadRequest:
    """What a form asks to load.

    Raises:
        FieldError: it is no source, or no name of a variant.
    """
    sent = {name: form.get(name) or None for name in ("source", "variant")}
    try:
        return ReloadRequest.model_validate(sent)
    except ValidationError as error:
        first = error.errors()[0]
        raise FieldError(str(first["loc"][0]), fault_text(first)) from None


def _weights(form: Mapping[str, str]) -> dict[str, float]:
    """Weights by variant.

    Raises:
        FieldError: one is no number.
    """
    try:
        return {name.removeprefix(WEIGHT): float(text) for name, text in form.items() if name.startswith(WEIGHT)}
    except ValueError:
        raise FieldError("weights", "each of them is a number from 0 on") from None
