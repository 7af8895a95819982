"""/ui/images: galleries of image models: what they make of images, and what lies between and behind their codes."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from anyio import CapacityLimiter, to_thread
from fastapi import HTTPException, Path, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import QueryParams

from recsys_vae.pages import charts
from service.http.dependencies import AccessDep
from service.schemas.common import Id
from service.ui import latent_map, png
from service.ui.image_models import WIDTH, Studio, clamp, opened, places, saved_models
from service.ui.rendering import page
from service.ui.routing import page_router

router = page_router()
ONE_AT_A_TIME = CapacityLimiter(1)
"""Decoders compute in one thread, so that the answers of the service keep the others."""


@dataclass(frozen=True)
class Asked:
    """What an address asks of a model.

    Attributes:
        at: place on the map, each coordinate in -100 to 100.
        image: number of the example whose code is moved.
        moves: deviations from the mean, by dimension, as they were set.
        start: first example of a path.
        end: its last.
    """

    at: tuple[int, int]
    image: int
    moves: dict[int, float]
    start: int
    end: int

    @classmethod
    def read(cls, query: QueryParams, studio: Studio) -> "Asked":
        """From an address; what is no number counts as not said."""
        image, start, end = places([query.get(name, "") for name in ("image", "a", "b")], studio.n)
        is_same = query.get("of", str(image)) == str(image)  # else they were set for another one
        moves = {
            dimension: clamp(value, -WIDTH, WIDTH)
            for dimension in studio.varying
            if is_same and (value := _number(query.get(f"z{dimension}"))) is not None
        }
        x, y = (round(clamp(_number(query.get(name)) or 0, -100, 100)) for name in ("x", "y"))
        return cls((x, y), image, moves, start, end if "b" in query else min(1, studio.n - 1))

    def but(self, *names: str) -> list[tuple[str, str]]:
        """Fields of the address other than these: what a form carries along."""
        fields = [("x", str(self.at[0])), ("y", str(self.at[1])), ("image", str(self.image))]
        fields += [(f"z{dimension}", f"{value:g}") for dimension, value in self.moves.items()]
        fields += [("a", str(self.start)), ("b", str(self.end))]
        return [(name, value) for name, value in fields if name.rstrip("0123456789") not in names]


@router.get("/images")
async def list_models(request: Request, access: AccessDep) -> Response:
    """All image models."""
    found = await to_thread.run_sync(saved_models) if access.opens("recommend") else {}
    return page(request, "images.html", models=[manifest for _, manifest in found.values()])


@router.get("/images/{version:recsys_id}")
async def show_model(request: Request, version: Annotated[Id, Path()], access: AccessDep) -> Response:
    """One model."""
    access.demand("recommend")
    found = (await to_thread.run_sync(saved_models)).get(version)
    if found is None:
        raise HTTPException(404, "No image model of this version is here.")
    studio = await to_thread.run_sync(opened, found[0], version, limiter=ONE_AT_A_TIME)
    query = request.query_params
    if "at.x" in query and studio.n:
        return await to_thread.run_sync(_clicked, studio, query, limiter=ONE_AT_A_TIME)
    shown = await to_thread.run_sync(_shown, studio, query, limiter=ONE_AT_A_TIME)
    return page(request, "image_model.html", manifest=studio.manifest, studio=studio, **shown)


def _clicked(studio: Studio, query: QueryParams) -> Response:
    """To the address of the place that was clicked."""
    asked = Asked.read(query, studio)
    place = latent_map.clicked(query.get("at.x"), query.get("at.y"))
    x, y = asked.at if place is None else (round(100 * one) for one in place)
    fields = [("x", str(x)), ("y", str(y)), *asked.but("x", "y")]
    return RedirectResponse(f"/ui/images/{quote(studio.manifest.version, safe='')}?{urlencode(fields)}#map", 303)


def _shown(studio: Studio, query: QueryParams) -> dict[str, Any]:
    curves = _curves(studio)
    samples = studio.samples
    shown: dict[str, Any] = {"curves": curves, "samples": png.address(samples, 8) if samples is not None else ""}
    if not studio.n:
        return shown
    asked = Asked.read(query, studio)
    shown |= {
        "asked": asked,
        "originals": png.address(studio.x[: len(studio.reconstructions)]),
        "reconstructions": png.address(studio.reconstructions),
        "pairs": [png.address(studio.x[[place]]) for place in (asked.image, asked.start, asked.end)],
        "map": _map(studio, asked),
        "sliders": _sliders(studio, asked) if studio.has_axes and not studio.is_slow else [],
        "moved": "",
        "paths": [],
        "codebook": _codebook(studio),
    }
    if shown["sliders"]:
        shown["moved"] = png.address(studio.decode(studio.moved(asked.image, asked.moves), asked.image))
    if not studio.is_slow:
        shown["paths"] = [(name, png.address(found)) for name, found in studio.paths(asked.start, asked.end).items()]
    return shown


def _map(studio: Studio, asked: Asked) -> dict[str, Any] | None:
    plane = studio.plane
    if plane is None:
        return None
    x, y = asked.at[0] / 100, asked.at[1] / 100
    near = studio.nearest(x, y)
    decoded = studio.decode(plane.code(x, y).unsqueeze(0), near)
    numbers = sorted(set(studio.labels))
    return {
        "picture": latent_map.address(plane, studio.labels, (x, y)),
        "decoded": png.address(decoded),
        "nearest": png.address(studio.x[[near]]),
        "near": near,
        "is_whole": studio.codes.shape[1] == 2,
        "legend": [(studio.name_of(number), latent_map.colour(number)) for number in numbers],
    }


def _sliders(studio: Studio, asked: Asked) -> list[dict[str, Any]]:
    own = studio.deviations(asked.image)
    return [
        {
            "dimension": dimension,
            "value": round(asked.moves.get(dimension, clamp(own[dimension], -WIDTH, WIDTH)), 2),
            "strip": png.address(strip),
        }
        for dimension, strip in studio.strips(asked.image).items()
    ]


def _codebook(studio: Studio) -> dict[str, Any] | None:
    if studio.codebook is None:
        return None
    usage, drawn = studio.codebook
    ranked, places_of = sorted(usage, reverse=True), [str(one + 1) for one in range(len(usage))]
    chart = charts.line("How often codes are chosen", places_of, [charts.Series("times", ranked)], digits=0)
    used = sum(1 for number in usage if number)
    return {"used": used, "codes": len(usage), "chart": chart, "drawn": png.address(drawn, 16), "shown": len(drawn)}


def _curves(studio: Studio) -> str:
    """The course of the training, where it was kept."""
    names = [name for name in ("loss", "validation_loss") if any(name in one for one in studio.history)]
    if len(studio.history) < 2 or not names:
        return ""
    series = [charts.Series(name.replace("_", " "), [one.get(name) for one in studio.history]) for name in names]
    epochs = [str(one + 1) for one in range(len(studio.history))]
    return charts.line("Loss after each epoch, nats an image", epochs, series)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None and len(text) < 20 else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 1e6 else None
