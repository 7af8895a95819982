import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.dataset.fields import USER_OPTION, Fields, check_fields
from pipelines.dataset.item_features import content_of
from pipelines.dataset.sentence_features import MODEL, VARIABLE, load_encoder, sentence_columns
from recsys_vae.data.features import Field, Schema
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import ConfigError
from recsys_vae.protocols import Float32Array
from tests.pipelines import logs_of_tastes

FIELDS = (Field("plot", "sentence"), Field("genre", "category"))


def lengths(texts: list[str]) -> Float32Array:
    """A stand-in for an encoder: the number of words and of letters, scaled to length 1."""
    counted = np.array([[len(text.split()), len(text)] for text in texts], dtype=np.float32)
    return counted / np.linalg.norm(counted, axis=1, keepdims=True)


def test_items_without_text_have_no_vector() -> None:
    found = sentence_columns(["one two", None, "  ", "a"], lengths)
    assert np.diff(found.indptr).tolist() == [2, 0, 0, 2]
    assert found.toarray()[3] == pytest.approx([0.5**0.5, 0.5**0.5])
    assert sentence_columns([None, ""], lengths).shape == (2, 0)


def test_sentences_of_items_stand_beside_the_fields_that_are_counted(tmp_path: Path) -> None:
    dataset = logs_of_tastes.dataset(tmp_path / "d", logs_of_tastes.frame(4))
    table = {"item_id": ["a", "b"], "plot": ["boy meets girl", None], "genre": ["drama", "noir"]}
    pl.DataFrame(table).write_parquet(dataset.items_path)
    Fields((), FIELDS).write(dataset.fields_path)
    content = content_of(dataset, IdMap.from_values(["a", "b", "unheard of"]), lengths).toarray()
    assert content == pytest.approx(np.array([[1, 0, *lengths(["boy meets girl"])[0]], [0, 1, 0, 0], [0, 0, 0, 0]]))


def test_an_encoder_that_is_not_installed_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'recsys-vae\[text\]'"):
        load_encoder()


def test_the_encoder_is_the_one_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    class SentenceTransformer:
        """What the package has, as far as it is used."""

        def __init__(self, name: str, device: str) -> None:
            if name == "no such folder":
                raise OSError("not there")
            self.name = name

        def encode(self, texts: list[str], *, normalize_embeddings: bool, show_progress_bar: bool) -> Any:
            assert normalize_embeddings
            return [[float(len(self.name)), 0.0] for _ in texts]

    package = ModuleType("sentence_transformers")
    package.SentenceTransformer = SentenceTransformer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", package)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert load_encoder()(["text"])[0, 0] == len(MODEL)
    monkeypatch.setenv(VARIABLE, "mine")
    assert load_encoder()(["text"]).dtype == np.float32
    assert load_encoder()(["text"])[0, 0] == 4
    monkeypatch.setenv(VARIABLE, "no such folder")
    with pytest.raises(ConfigError, match=f"cannot be loaded: not there.*{VARIABLE}"):
        load_encoder()


def test_sentences_of_users_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="describe items only"):
        check_fields(FIELDS, tmp_path / "users.parquet", USER_OPTION)
    with pytest.raises(ConfigError, match="declare plot as text"):
        Schema.learn(FIELDS, [])
