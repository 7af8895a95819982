"""/ui/compare: two bundles on the same users, side by side; sets of users that are kept."""

from dataclasses import dataclass, replace
from html import escape
from typing import Any, Final
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup
from pydantic import TypeAdapter, ValidationError

from recsys_vae.pages import charts
from service.deployment.variants import VariantSet
from service.errors import FieldError
from service.http.dependencies import AccessDep, Services, ServicesDep
from service.ranking.served_model import Catalogue
from service.schemas.common import Id
from service.security.access import Access
from service.store.user_sets import MOST_USERS, UserSets
from service.ui.cards import Card, Columns, cards, columns_of
from service.ui.comparison import Pair, by_length, by_tier, pairs, summed
from service.ui.courtesy import in_turn
from service.ui.forms import form_of
from service.ui.rendering import page
from service.ui.routing import page_router

MOST_K: Final = 50
DEFAULT_K: Final = 20
MOST_SHOWN: Final = 15
"""Users whose lists are shown, those first whose lists differ most."""
LONGEST_NAME: Final = 100
BINS: Final = 10
IDS: Final[TypeAdapter[list[str]]] = TypeAdapter(list[Id])

router = page_router()


@dataclass(frozen=True)
class Asked:
    """What is compared.

    Attributes:
        sides: versions of the bundles; empty for what is usual.
        users: as they were typed, one a line.
        chosen: name of a set; empty for none.
        k: places.
    """

    sides: tuple[str, str]
    users: str
    chosen: str
    k: int

    @classmethod
    def read(cls, sent: Any) -> "Asked":
        """From a query or a form."""
        text = sent.get("k", "")
        k = min(max(int(text), 1), MOST_K) if text.isascii() and text.isdigit() and len(text) < 5 else DEFAULT_K
        return cls((sent.get("a", ""), sent.get("b", "")), sent.get("users", ""), sent.get("set", ""), k)

    @property
    def typed(self) -> list[str]:
        """Ids of the users, each once.

        Raises:
            FieldError: one is no id, or there are too many.
        """
        found = list(dict.fromkeys(line.strip() for line in self.users.splitlines() if line.strip()))
        if len(found) > MOST_USERS:
            raise FieldError("users", f"{len(found):,} users are too many; at most {MOST_USERS} are compared at a time")
        try:
            return IDS.validate_python(found)
        except ValidationError:
            raise FieldError("users", "one of these is no id: too long, or with a NUL") from None


@dataclass(frozen=True)
class Line:
    """A place of both lists of a user.

    Attributes:
        first: name of the item there in the first list; None where it has ended.
        second: likewise in the second.
        move: places up of the second's item; None where it is not in the first list.
        is_lost: whether the first's item is not in the second list.
    """

    first: Markup | None
    second: Markup | None
    move: int | None
    is_lost: bool


@router.get("/compare")
async def show_comparison(request: Request, services: ServicesDep, access: AccessDep) -> Response:
    """The form, and the comparison where a set is named."""
    return await _answered(request, services, access, Asked.read(request.query_params))


@router.post("/compare")
async def compare(request: Request, services: ServicesDep, access: AccessDep) -> Response:
    """Compare on users that were typed, keep them as a set, or forget one."""
    form = await form_of(request)
    asked, name, sets = Asked.read(form), form.get("name", "").strip(), UserSets(services.store.database)
    if form.get("do") == "save":
        access.demand("histories")
        try:
            if not 0 < len(name) <= LONGEST_NAME or "\0" in name:
                raise FieldError("name", f"a set has a name of 1 to {LONGEST_NAME} characters")
            await to_thread.run_sync(sets.save, name, asked.typed)
        except FieldError as error:
            return await _page(request, services, access, asked, {"fault": str(error)})
        return RedirectResponse(f"/ui/compare?{_query(asked, name)}", 303)
    if form.get("do") == "delete":
        access.demand("histories")
        await to_thread.run_sync(sets.drop, asked.chosen)
        return RedirectResponse(f"/ui/compare?{_query(asked, '')}", 303)
    return await _answered(request, services, access, asked)


async def _answered(request: Request, services: Services, access: Access, asked: Asked) -> Response:
    if not access.opens("recommend"):
        return page(request, "compare.html", asked=asked)
    try:
        users = asked.typed
    except FieldError as error:
        return await _page(request, services, access, asked, {"fault": str(error)})
    if asked.chosen and access.opens("histories"):
        users = await to_thread.run_sync(UserSets(services.store.database).users, asked.chosen)
    sides = _sides(services)
    chosen = _chosen(asked, services.deployments.variant_set, sides)
    if not users or not all(version in sides for version in chosen):
        gone = bool(users) and len(sides) > 1
        told = {"fault": "A bundle that was named is no longer in memory; choose another one."} if gone else {}
        return await _page(request, services, access, asked, told)
    await access.pay(2.0 * len(users))
    both = (sides[chosen[0]], sides[chosen[1]])
    found, n_late = await pairs(services, both, users, asked.k, f"{access.caller.name} compare")
    variant_set = services.deployments.variant_set
    told = await in_turn(services.engine, _view, found, both, variant_set) if found else {}
    return await _page(request, services, access, asked, told | {"n_late": n_late, "n_asked": len(users)})


async def _page(request: Request, services: Services, access: Access, asked: Asked, told: dict[str, Any]) -> Response:
    sides, variant_set = _sides(services), services.deployments.variant_set
    sizes: dict[str, int] = {}
    if access.opens("histories"):
        sizes = await to_thread.run_sync(UserSets(services.store.database).sizes)
    options = [(version, _label(version, variant_set)) for version in sides]
    chosen = _chosen(asked, variant_set, sides)
    return page(
        request, "compare.html", asked=asked, options=options, chosen=chosen, labels=dict(options), sizes=sizes,
        most=MOST_USERS, most_shown=MOST_SHOWN, told=told,
    )  # fmt: skip


def _sides(services: Services) -> dict[str, Catalogue]:
    """What may be compared: what is in service first, then what was before."""
    in_service = services.deployments.variant_set.catalogues
    return in_service | {
        version: one for version, one in services.deployments.held().items() if version not in in_service
    }


def _label(version: str, variant_set: VariantSet) -> str:
    names = [one.name for one in variant_set.variants if one.version == version]
    return f"{' and '.join(names)}: {version}" if names else f"before: {version}"


def _chosen(asked: Asked, variant_set: VariantSet, sides: dict[str, Catalogue]) -> tuple[str, str]:
    """Two versions; variants may be named too. The first two where none are."""
    by_name = {one.name: one.version for one in variant_set.variants}
    usual = [*sides, *sides][:2]
    first, second = (by_name.get(named, named) or other for named, other in zip(asked.sides, usual, strict=True))
    return first, second


def _query(asked: Asked, name: str) -> str:
    told = {"a": asked.sides[0], "b": asked.sides[1], "k": str(asked.k), "set": name}
    return urlencode({key: value for key, value in told.items() if value})


def _view(found: list[Pair], both: tuple[Catalogue, Catalogue], variant_set: VariantSet) -> dict[str, Any]:
    """What the template shows of a comparison."""
    ordered = sorted(found, key=lambda one: one.overlap)
    shown, columns = ordered[:MOST_SHOWN], replace(columns_of(variant_set), picture=None, others=())
    known = [_names(both[side], [item for one in shown for item in one.lists[side]], columns) for side in (0, 1)]
    counts = [0] * BINS
    for one in found:
        counts[min(BINS - 1, int(one.overlap * BINS))] += 1
    edges = [100 * place / BINS for place in range(BINS + 1)]
    return {
        "all": summed("all", found),
        "tiers": by_tier(found),
        "lengths": by_length(found),
        "n_items": [len({item for one in found for item in one.lists[side]}) for side in (0, 1)],
        "chart": charts.histogram("Users by overlap of their lists, in percent", edges, counts),
        "users": [(one, _lines(one, known[0], known[1])) for one in shown],
        "others": ordered[MOST_SHOWN:],
    }


def _names(catalogue: Catalogue, item_ids: list[str], columns: Columns) -> dict[str, Markup]:
    """What items are called, each made once for all tables that name it."""
    return {item_id: _name(one) for item_id, one in cards(catalogue, item_ids, columns).items()}


def _name(card: Card) -> Markup:
    title, item_id = escape(card.title), escape(card.item_id)  # at a twentieth of what Markup takes to be added up
    named = "" if title == item_id else f' <span class="id quiet"><bdi>{item_id}</bdi></span>'
    return Markup(f"<bdi>{title}</bdi>{named}")


def _lines(one: Pair, first: dict[str, Markup], second: dict[str, Markup]) -> list[Line]:
    (a, b), moves, common = one.lists, one.moves, one.common
    return [
        Line(
            first[a[place]] if place < len(a) else None,
            second[b[place]] if place < len(b) else None,
            moves.get(b[place]) if place < len(b) else None,
            place < len(a) and a[place] not in common,
        )
        for place in range(max(len(a), len(b)))
    ]
