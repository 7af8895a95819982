from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.images import output_files
from recsys_vae.errors import BundleCorruptError, ConfigError, DataError, ModelError, UnavailableError, UnknownNameError
from tests.pipelines.commands.saved_images import saved


def run(*arguments: str) -> str:
    found = CliRunner().invoke(build(), ("images", *arguments), catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.mark.parametrize(
    ("model", "verb"),
    [
        ("vae", ("sample", "--n", "9")),
        ("conditional-vae", ("sample", "--n", "2", "--by-class")),
        ("conditional-vae", ("sample", "--n", "2", "--label", "7")),
        ("conditional-vae", ("interpolate", "--pairs", "2", "--steps", "3", "--path", "spherical")),
        ("ae", ("interpolate", "--pairs", "1", "--steps", "3")),
        ("vae", ("traverse", "--dimensions", "2", "--steps", "3", "--image", "5")),
        ("ae", ("map", "--method", "direct", "--n", "50")),
        ("vae", ("map", "--n", "50", "--part", "train")),
        ("vae", ("curves",)),
        ("vq-vae", ("codebook",)),
        ("vq-vae", ("reconstruct", "--n", "4")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_every_verb_writes_its_picture(model: str, verb: tuple[str, ...], tmp_path: Path) -> None:
    to = tmp_path / "pictures" / "picture.png"
    told = run(verb[0], saved(model, tmp_path), "--to", str(to), *verb[1:])
    assert "picture.png (not tracked: the model names no run)" in told
    with Image.open(to) as picture:
        assert min(picture.size) > 50


def test_a_reconstruction_says_how_far_off_it_is(tmp_path: Path) -> None:
    told = run("reconstruct", saved("vae", tmp_path), "--to", str(tmp_path / "x.svg"))
    assert "digits test, 180 images: mean squared error a pixel 0." in told
    assert (tmp_path / "x.svg").read_text().startswith("<?xml")


def test_equal_seeds_draw_equal_pictures(tmp_path: Path) -> None:
    model, paths = saved("vae", tmp_path), [tmp_path / f"{place}.png" for place in range(3)]
    for path, seed in zip(paths, "112", strict=True):
        run("sample", model, "--to", str(path), "--n", "4", "--seed", seed)
    first, same, other = (path.read_bytes() for path in paths)
    assert first == same != other


class Store:
    """A tracking store that remembers the files it is given."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str, str]] = []

    def log_artifact(self, run_id: str, path: str, folder: str) -> None:
        self.kept.append((run_id, Path(path).name, folder))


def test_a_picture_is_kept_with_the_run_of_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_files, "connect", lambda: store)
    store, model = Store(), saved("vae", tmp_path, run_id="abc")
    assert "tracked in run abc" in run("curves", model, "--to", str(tmp_path / "curves.png"))
    assert store.kept == [("abc", "curves.png", "images")]


def test_a_store_that_does_not_answer_costs_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> None:
        raise UnavailableError("nobody there")

    monkeypatch.setattr(output_files, "connect", silent)
    told = run("curves", saved("vae", tmp_path, run_id="abc"), "--to", str(tmp_path / "curves.png"))
    assert "curves.png (not tracked: nobody there)" in told
    assert (tmp_path / "curves.png").is_file()


@pytest.mark.parametrize(
    ("model", "arguments", "error", "says"),
    [
        ("ae", ("sample", "--to", "x.png"), ModelError, "no distribution"),
        ("vq-vae", ("sample", "--to", "x.png"), ModelError, "fit-prior"),
        ("vae", ("sample", "--to", "x.png", "--by-class"), ModelError, "conditional-vae"),
        ("vae", ("sample", "--to", "x.jpeg"), ConfigError, ".png, .svg, .pdf"),
        ("conditional-vae", ("sample", "--to", "x.png", "--label", "12"), DataError, "0 to 9"),
        ("vae", ("map", "--to", "x.png", "--method", "direct"), ConfigError, "pca or tsne"),
        ("vae", ("map", "--to", "x.png", "--part", "tset"), UnknownNameError, "'test'"),
        ("vae", ("interpolate", "--to", "x.png", "--path", "curved"), ConfigError, "linear, spherical or both"),
        ("vae", ("codebook", "--to", "x.png"), ModelError, "no codebook"),
        ("vq-vae", ("traverse", "--to", "x.png"), ModelError, "no axes"),
        ("vae", ("traverse", "--to", "x.png", "--image", "100000"), ConfigError, "images 0 to 179"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_shown_is_a_clear_error(
    model: str, arguments: tuple[str, ...], error: type[Exception], says: str, tmp_path: Path
) -> None:
    verb, *options = arguments
    with pytest.raises(error, match=says):
        run(verb, saved(model, tmp_path), *options)


def test_a_folder_without_a_model_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BundleCorruptError, match=r"manifest\.json"):
        run("curves", str(tmp_path), "--to", str(tmp_path / "x.png"))
