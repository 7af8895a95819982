"""Shelves: what a bundle answers without a user, as files beside its model.

lists.json              rules of both
lists.safetensors       counts in windows of time; only where events have times
neighbours.safetensors  what comes with each item
"""

from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from recsys_vae.bundles.item_lists import ItemLists, ListRules
from recsys_vae.bundles.neighbours import Neighbours

LIST_RULES, LISTS, NEIGHBOURS = "lists.json", "lists.safetensors", "neighbours.safetensors"


@dataclass(frozen=True, eq=False)
class Shelves:
    """What answers without a user.

    Attributes:
        lists: what is popular, trending or new.
        neighbours: what comes with each item; None where nothing was counted.
    """

    lists: ItemLists = field(default_factory=ItemLists)
    neighbours: Neighbours | None = None

    def write(self, directory: Path) -> None:
        """Write the files into a bundle."""
        (directory / LIST_RULES).write_text(self.lists.rules.to_json())
        neighbours = {} if self.neighbours is None else self.neighbours.tensors()
        for name, tensors in ((LISTS, self.lists.tensors()), (NEIGHBOURS, neighbours)):
            if tensors:
                save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, directory / name)
                (directory / name).chmod(0o644)  # safetensors makes it readable to its owner only

    @classmethod
    def read(cls, directory: Path, files: Container[str], n_items: int, n_features: int) -> "Shelves":
        """Read the files of a bundle; of one from before there were any, what is popular.

        Args:
            directory: the bundle.
            files: names of its files.
            n_items: of its catalogue.
            n_features: width of the metadata of users.

        Raises:
            DataError: they are of another catalogue or schema, or hold values that nothing could compute with.
        """
        if LIST_RULES not in files:
            return cls()
        rules = ListRules.from_json((directory / LIST_RULES).read_bytes())
        counts = load_file(directory / LISTS) if LISTS in files else {}
        lists = ItemLists.from_tensors(rules, counts, n_items, n_features)
        if NEIGHBOURS not in files:
            return cls(lists)
        return cls(lists, Neighbours.from_tensors(load_file(directory / NEIGHBOURS), n_items))
