"""RecBole's own configuration, dataset and loader over an exported split. Runs in the peer's environment."""

import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.utils import get_dataloader
from recbole.utils import init_seed
from scipy.sparse import csr_matrix

NAME = "exported"


@dataclass(frozen=True, eq=False)
class Catalogue:
    """RecBole's numbers of our rows; its row 0 and its column 0 are padding.

    Attributes:
        items: RecBole's column of each of our columns, 0 where it never saw the item; shape (n_items,).
        n_items: RecBole's number of columns, the padding counted.
    """

    items: NDArray[np.int64]
    n_items: int

    def histories(self, matrix: csr_matrix) -> csr_matrix:
        """Our histories in RecBole's columns; items that it never saw are left out."""
        rows, columns = matrix.nonzero()
        known = self.items[columns] > 0
        entries = (np.ones(int(known.sum()), np.float32), (rows[known], self.items[columns[known]]))
        return csr_matrix(entries, shape=(matrix.shape[0], self.n_items))

    def scores(self, theirs: NDArray[np.floating]) -> NDArray[np.floating]:
        """RecBole's scores in our columns, -inf where it never saw the item; shape (n, n_items)."""
        ours = theirs[:, self.items]
        ours[:, self.items == 0] = -np.inf
        return ours


def configuration(model: str, folder: Path, settings: dict[str, Any], seed: int) -> Config:
    """RecBole's defaults for a model, with settings set over them."""
    sys.argv = sys.argv[:1]  # Config reads the command line too
    ours = {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "load_col": {"inter": ["user_id", "item_id"]},
        "eval_args": {"split": {"RS": [1.0, 0.0, 0.0]}, "group_by": "user", "order": "RO", "mode": "full"},
        "metrics": ["NDCG"],
        "topk": [100],
        "valid_metric": "NDCG@100",
        "use_gpu": False,
        "show_progress": False,
        "seed": seed,
    }
    return Config(model=model, dataset=NAME, config_dict=ours | settings)


def write_atomic_file(train: csr_matrix, folder: Path) -> None:
    """The interactions in RecBole's file format: our row and column numbers are its tokens."""
    (folder / NAME).mkdir(parents=True, exist_ok=True)
    rows, columns = train.nonzero()
    lines = "\n".join(f"{user}\t{item}" for user, item in zip(rows, columns, strict=True))
    (folder / NAME / f"{NAME}.inter").write_text(f"user_id:token\titem_id:token\n{lines}\n")


@lru_cache(maxsize=1)
def scratch() -> Path:
    """A folder for what RecBole writes, gone with the process."""
    keeper = tempfile.TemporaryDirectory(prefix="recbole-")
    _KEPT.append(keeper)
    return Path(keeper.name)


_KEPT: list[Any] = []


def training_data(config: Config, n_items: int) -> tuple[Any, Catalogue]:
    """RecBole's training loader, as its `data_preparation` makes it, and the numbers of our items.

    Args:
        n_items: of our catalogue.
    """
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config).build()[0]
    tokens = dataset.field2token_id[dataset.iid_field]
    items = np.array([tokens.get(str(item), 0) for item in range(n_items)], dtype=np.int64)
    loader = get_dataloader(config, "train")(config, dataset, None, shuffle=config["shuffle"])
    return loader, Catalogue(items, dataset.item_num)


def padded(histories: csr_matrix) -> tuple[torch.Tensor, torch.Tensor]:
    """Histories as RecBole's autoencoders keep them: items and values, shape (n, longest), filled up with 0."""
    lengths = np.diff(histories.indptr)
    places = np.arange(lengths.max(initial=1))[None, :] < lengths[:, None]
    items = np.zeros(places.shape, dtype=np.int64)
    items[places] = histories.indices
    return torch.from_numpy(items), torch.from_numpy(places.astype(np.float32))
