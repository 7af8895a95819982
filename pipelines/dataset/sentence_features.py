"""Sentences: texts of items as vectors of a pretrained encoder, where counting their words says too little.

Needs the extra `text`; imported where a field asks for it. Users have no such fields: the service would have to run the
encoder with every request.

Source: Reimers & Gurevych, Sentence-BERT, EMNLP 2019.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError
from recsys_vae.protocols import Float32Array

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
"""Encoder where the environment names no other."""
VARIABLE = "RECSYS_SENTENCE_MODEL"
"""Names an encoder, or the folder that holds one."""

Embed = Callable[[list[str]], Float32Array]
"""Texts to vectors of length 1, shape (len(texts), d)."""


def load_encoder(name: str | None = None) -> Embed:
    """A pretrained encoder, on the CPU.

    Args:
        name: of a public one or of a folder; that of the environment, or `MODEL`, when None.

    Raises:
        ConfigError: the extra is not installed, or the encoder cannot be loaded.
    """
    name = name or os.environ.get(VARIABLE) or MODEL
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ConfigError("Fields of kind sentence need an encoder: pip install 'recsys-vae[text]'.") from error
    try:
        encoder = SentenceTransformer(name, device="cpu")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The sentence encoder {name!r} cannot be loaded: {error}. Name the folder that holds one in {VARIABLE}."
        ) from error

    def embed(texts: list[str]) -> Float32Array:
        vectors = encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

    return embed


def sentence_columns(cells: Sequence[Any], embed: Embed) -> csr_array:
    """Vectors of texts as sparse rows, shape (len(cells), d); empty where there is no text."""
    texts = ["" if cell is None else str(cell).strip() for cell in cells]
    present = [place for place, text in enumerate(texts) if text]
    if not present:
        return csr_array((len(texts), 0), dtype=np.float32)
    vectors = embed([texts[place] for place in present])
    rows = np.zeros((len(texts), vectors.shape[1]), dtype=np.float32)
    rows[present] = vectors
    return csr_array(rows)
