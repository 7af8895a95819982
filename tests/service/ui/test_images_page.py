"""/ui/images: every kind of model shows what it can; a click finds its place; no address breaks it."""

import re
from base64 import b64decode
from html import unescape
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.models import catalog
from recsys_vae.images.saved import Origin, load_image_model, save_image_model
from service.ui import latent_map, png
from service.ui.image_models import Plane, Studio
from tests.recsys_vae.images.small import WITHOUT_SAMPLES, images, untrained
from tests.service.ui.logins import LogIn

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def saved(home: Path, name: str, *, with_examples: bool = True) -> str:
    """Address of the page of an untrained model."""
    examples = ImageSet(images(12), torch.arange(12) % 3) if with_examples else None
    origin = Origin(dataset=HOSTILE, labels=[HOSTILE, "two"], metrics={"validation_loss": 1.0})
    history = [{"loss": 3.0}, {"loss": 2.0, "validation_loss": 2.5}]
    manifest = save_image_model(home / "models" / name, untrained(name), origin, history, examples)
    return f"/ui/images/{manifest.version}"


@pytest.mark.parametrize("name", list(catalog.CATALOG))
def test_a_model_shows_what_it_can(home: Path, client: TestClient, name: str) -> None:
    address = saved(home, name)
    assert f'href="{address}"' in client.get("/ui/images").text
    response = client.get(address)
    assert response.status_code == 200
    found = set(re.findall(r'<h2 id="(\w+)"', response.text))
    is_grid, is_flat = name.startswith("vq"), name not in ("vq-vae", "vq-vae-2", "categorical-vae", "conv-ae")
    assert {"made", "course"} <= found
    assert ("codebook" in found) == is_grid
    assert ("drawn" in found) == (name not in WITHOUT_SAMPLES)
    assert ("paths" in found) == (name != "pixelcnn-vae")
    if is_flat:
        assert "map" in found
        assert ("axes" in found) == (name != "pixelcnn-vae")
    assert "<script>alert" not in response.text
    for picture in re.findall(r'src="data:image/png;base64,([^"]+)"', response.text):
        assert Image.open(BytesIO(b64decode(picture))).size[0] >= 8


def test_a_click_goes_to_its_place_and_keeps_the_rest(home: Path, client: TestClient) -> None:
    address = saved(home, "vae")
    clicked = client.get(f"{address}?a=3&b=4&image=2&of=2&z0=1&at.x=240&at.y=80", follow_redirects=False)
    assert clicked.status_code == 303
    assert clicked.headers["location"] == f"{address}?x=50&y=50&image=2&z0=1&a=3&b=4#map"
    by_key = client.get(f"{address}?x=7&y=-8&at.x=0&at.y=0", follow_redirects=False)
    assert "x=7&y=-8" in by_key.headers["location"]
    assert 'name="x" min="-100" max="100" value="50"' in client.get(clicked.headers["location"]).text


def test_what_was_set_for_another_image_is_put_back(home: Path, client: TestClient) -> None:
    address = saved(home, "vae")
    moved = re.compile(r'id="z0"[^>]* value="([^"]+)"')
    assert moved.search(client.get(f"{address}?image=1&of=1&z0=2.5").text)[1] == "2.5"
    assert moved.search(client.get(f"{address}?image=2&of=1&z0=2.5").text)[1] != "2.5"


@pytest.mark.parametrize(
    "query",
    [
        "x=nan&y=inf",
        "x=1e999",
        "image=99999999999&a=-1&b=x",
        "z0=nan&z1=--",
        "at.x=-5&at.y=99999",
        "at.x=²&at.y=1",
        "a=٣",
    ],
)
def test_no_address_breaks_it(home: Path, client: TestClient, query: str) -> None:
    assert client.get(f"{saved(home, 'vae')}?{query}").status_code == 200


def test_a_model_without_images_says_so_and_a_damaged_one_is_passed_over(home: Path, client: TestClient) -> None:
    assert "No image model lies under" in client.get("/ui/images").text
    address = saved(home, "vae", with_examples=False)
    assert "No images were saved beside this model" in client.get(address).text
    (home / "models" / "vae" / "manifest.json").write_text("{}")
    assert client.get(address).status_code == 404
    assert client.get("/ui/images").status_code == 200


def test_the_key_has_to_show_models(home: Path, log_in: LogIn) -> None:
    address, client = saved(home, "vae"), log_in("ui", "histories")
    assert address not in client.get("/ui/images").text
    assert client.get(address).status_code == 403


def test_examples_come_back_and_are_bounded(tmp_path: Path) -> None:
    many = ImageSet(images(300), torch.arange(300) % 2)
    save_image_model(tmp_path / "model", untrained("ae"), Origin(), examples=many)
    found = load_image_model(tmp_path / "model").examples
    assert found is not None
    assert torch.equal(found.x, many.x[:256])
    assert found.y is not None
    assert torch.equal(found.y, many.y[:256])  # type: ignore[index]


def test_a_plane_of_two_dimensions_is_the_code_itself() -> None:
    codes = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]])
    plane = Plane.through(codes)
    assert plane.reach == pytest.approx(2 * 1.05)
    assert plane.code(0, 0).tolist() == [1.0, 1.0]
    assert plane.code(*(plane.points[2] / plane.reach).tolist()).tolist() == pytest.approx([1.0, 3.0])


def test_principal_axes_find_the_line_that_codes_lie_on() -> None:
    line = torch.linspace(-1, 1, 5)
    plane = Plane.through(torch.stack([line, 2 * line, torch.zeros(5)], dim=1))
    assert plane.axes[0].abs().tolist() == pytest.approx([5**-0.5, 2 * 5**-0.5, 0.0], abs=1e-6)
    assert plane.points[:, 1].tolist() == pytest.approx([0.0] * 5, abs=1e-6)


def test_an_unmoved_code_is_the_images_own(home: Path) -> None:
    saved(home, "vae")
    studio = Studio(load_image_model(home / "models" / "vae"))
    own = studio.moved(3, studio.deviations(3))
    assert torch.allclose(own[0], studio.codes[3], atol=1e-5)


def test_a_mosaic_is_a_png_of_its_pixels() -> None:
    x = torch.tensor([0.0, 1.0, 0.2]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    picture = Image.open(BytesIO(b64decode(png.address(x, 2).partition(",")[2])))
    assert (picture.size, picture.mode) == ((5, 5), "L")
    assert np.asarray(picture)[0].tolist() == [0, 0, 128, 255, 255]
    assert np.asarray(picture)[4].tolist() == [51, 51, 128, 128, 128]
    coloured = Image.open(BytesIO(b64decode(png.address(torch.rand(1, 3, 4, 6)).partition(",")[2])))
    assert (coloured.size, coloured.mode) == ((6, 4), "RGB")


def test_the_map_has_a_point_an_example_and_tells_clicks_by_its_side() -> None:
    plane = Plane.through(torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    drawn = unescape(b64decode(latent_map.address(plane, [0, 1, 1], (0.0, 0.0)).partition(",")[2]).decode())
    assert drawn.count('r="3.5"') == 3
    assert drawn.count(latent_map.colour(1)) == 2
    assert latent_map.clicked("160", "160") == (0.0, 0.0)
    assert latent_map.clicked("320", "0") == (1.0, 1.0)
    assert latent_map.clicked("0", "0") is None
