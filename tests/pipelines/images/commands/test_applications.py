from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pipelines.images.commands.remarks import subject_of
from pipelines.images.inputs import open_model
from recsys_vae.errors import ConfigError, DataError, ModelError, UnknownNameError
from tests.pipelines.commands.saved_images import saved
from tests.pipelines.images.commands.test_figures import run


def pictures(folder: Path, n: int = 3) -> Path:
    """A folder of pictures larger than the model's."""
    folder.mkdir()
    for number in range(n):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"photo-{number}.png")
    return folder


@pytest.mark.parametrize("name", ["scores.parquet", "scores.csv"])
def test_scores_have_a_row_an_image_and_separate(name: str, tmp_path: Path) -> None:
    told = run("score", saved("ae", tmp_path), "--to", str(tmp_path / name), "--ordinary", "3")
    table = pl.read_parquet(tmp_path / name) if name.endswith("parquet") else pl.read_csv(tmp_path / name)
    assert table.columns == ["image", "label", "score"]
    assert len(table) == 180
    ordinary = (table["label"].cast(pl.String) == "3").sum()
    assert f"{180 - ordinary} anomalies told apart with an area under the curve of 0." in told


def test_pictures_are_scored_by_their_names(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in")
    run("score", saved("vae", tmp_path), str(folder), "--to", str(tmp_path / "scores.csv"), "--by", "elbo")
    table = pl.read_csv(tmp_path / "scores.csv")
    assert table["image"].to_list() == [str(folder / f"photo-{number}.png") for number in range(3)]
    assert table["label"].null_count() == 3


def test_a_picture_under_a_wrong_name_is_read_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "x.jpg", format="PNG")
    opened = open_model(Path(saved("ae", tmp_path)))
    assert len(subject_of(opened, None, "test", [tmp_path / "x.jpg"]).images) == 1
    assert "x.jpg: its content is PNG, and its ending .jpg does not say so" in capsys.readouterr().err
    folder = pictures(tmp_path / "in", 4)
    (folder / "notes.txt").touch()
    subject_of(opened, str(folder), "test")
    assert "passed over notes.txt: its ending is none of .png" in capsys.readouterr().err


def test_embeddings_are_codes_and_a_probe_reads_them(tmp_path: Path) -> None:
    model = saved("ae", tmp_path)
    told = run("embed", model, "--to", str(tmp_path / "codes.parquet"), "--probe")
    assert "linear probe on 2 codes: accuracy 0." in told
    assert "linear probe on 64 pixels: accuracy 0.9" in told
    table = pl.read_parquet(tmp_path / "codes.parquet")
    assert table.schema["code"] == pl.Array(pl.Float32, 2)
    run("embed", model, "--to", str(tmp_path / "codes.csv"))
    flat = pl.read_csv(tmp_path / "codes.csv")
    np.testing.assert_allclose(
        flat.select("code_0", "code_1").to_numpy(), np.stack(table["code"].to_numpy()), rtol=1e-5
    )


def test_files_are_cleaned_one_by_one(tmp_path: Path) -> None:
    folder, model = pictures(tmp_path / "in"), saved("denoising-ae", tmp_path)
    assert "3 pictures" in run("denoise", model, str(folder), "--to", str(tmp_path / "out"))
    for number in range(3):
        with Image.open(tmp_path / "out" / f"photo-{number}.png") as picture:
            assert (picture.size, picture.mode) == ((8, 8), "L")


def test_without_files_noise_is_added_and_shown(tmp_path: Path) -> None:
    run("denoise", saved("denoising-ae", tmp_path), "--to", str(tmp_path / "triptych.svg"), "--n", "3")
    assert "denoising, masking 0.5: denoising-ae, digits test, grayscale" in (tmp_path / "triptych.svg").read_text()


def test_files_that_would_be_lost_are_kept(tmp_path: Path) -> None:
    folder, model = pictures(tmp_path / "in"), saved("denoising-ae", tmp_path)
    with pytest.raises(ConfigError, match="another folder"):
        run("denoise", model, str(folder), "--to", str(folder))
    with pytest.raises(ConfigError, match="Several files would become"):
        run("denoise", model, str(folder), str(folder), "--to", str(tmp_path / "out"))


def test_what_cannot_be_read_or_scored_is_a_clear_error(tmp_path: Path) -> None:
    model, to = saved("ae", tmp_path), str(tmp_path / "x.csv")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png cannot be read"):
        run("score", model, str(tmp_path / "broken.png"), "--to", to)
    with pytest.raises(DataError, match="No picture lies in"):
        run("score", model, str(tmp_path / "ae"), "--to", to)
    with pytest.raises(ModelError, match="no evidence lower bound"):
        run("score", model, "--by", "elbo", "--to", to)
    with pytest.raises(UnknownNameError, match="label named '12'"):
        run("score", model, "--ordinary", "12", "--to", to)
    with pytest.raises(DataError, match="have no labels"):
        run("score", model, str(pictures(tmp_path / "in")), "--ordinary", "1", "--to", to)
    with pytest.raises(ConfigError, match=r"\.parquet, \.csv"):
        run("embed", model, "--to", str(tmp_path / "x.json"))
