"""TreeText: an ensemble of regression trees in LightGBM's text, each number of it looked at.

LightGBM's reader follows node numbers wherever they lead. So what comes from a file is read here first, into arrays
that are checked, and LightGBM is given the text that these arrays make, never the file's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import DataError

MOST_LEAVES, MOST_TREES = 4096, 10_000
LARGEST_LEAF = 1e6
NODE_FIELDS: Mapping[str, Any] = {
    "split_feature": np.int64,
    "threshold": np.float64,
    "decision_type": np.int64,
    "left_child": np.int64,
    "right_child": np.int64,
}
"""Types of what a tree says of each inner node."""
BY_NUMBER = (0, 2, 4, 6, 8, 10)
"""Kinds of splits by a number: 2 sends what is missing to the left, 4 and 8 say that 0 or NaN is what is missing."""


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree of n leaves; node 0 is its root.

    Attributes:
        nodes: by name of `NODE_FIELDS`, shape (n - 1,) each; a child below 0 is the leaf ~child.
        leaves: values, shape (n,).
    """

    nodes: Mapping[str, NDArray[Any]]
    leaves: NDArray[np.float64]

    @classmethod
    def parse(cls, fields: Mapping[str, str]) -> "Tree":
        """Read the lines `name=value` of one tree.

        Raises:
            DataError: a line is missing, or they make no tree.
        """
        leaves = _numbers(fields, "leaf_value", np.float64)
        has_nodes = len(leaves) > 1
        nodes = {
            name: _numbers(fields, name, kind) if has_nodes else np.zeros(0, kind) for name, kind in NODE_FIELDS.items()
        }
        found = cls(nodes, leaves)
        found.check()
        return found

    def check(self) -> None:
        """Raise DataError unless every node and leaf but the root is the child of one node above it."""
        n = len(self.leaves)
        if not 1 <= n <= MOST_LEAVES or any(len(values) != n - 1 for values in self.nodes.values()):
            raise DataError(f"A tree has {n} leaves and not one inner node fewer, or more than {MOST_LEAVES}.")
        if not np.isfinite(self.leaves).all() or np.abs(self.leaves).max() > LARGEST_LEAF:
            raise DataError("A tree has leaves that are no scores.")
        if not np.isfinite(self.nodes["threshold"]).all():
            raise DataError("A tree splits by a number that is not finite.")
        if not np.isin(self.nodes["decision_type"], BY_NUMBER).all():
            raise DataError("A tree splits by something else than a number.")
        if (self.nodes["split_feature"] < 0).any():
            raise DataError("A tree splits by a feature below 0.")
        parents = np.tile(np.arange(n - 1), 2)
        children = np.concatenate([self.nodes["left_child"], self.nodes["right_child"]])
        inner = children >= 0
        wanted = np.concatenate([np.arange(-n, 0), np.arange(1, n - 1)]) if n > 1 else children
        if not np.array_equal(np.sort(children), wanted) or (children[inner] <= parents[inner]).any():
            raise DataError("The nodes of a tree make no tree.")

    def __str__(self) -> str:
        lines = [f"num_leaves={len(self.leaves)}", "num_cat=0"]
        lines += [f"{name}={_joined(values)}" for name, values in self.nodes.items()]
        return "\n".join([*lines, f"leaf_value={_joined(self.leaves)}", "shrinkage=1"])


@dataclass(frozen=True, eq=False)
class TreeText:
    """The trees of an ensemble, whose values add up.

    Attributes:
        trees: in their order.
        n_features: that they may split by.
    """

    trees: Sequence[Tree]
    n_features: int

    @classmethod
    def parse(cls, text: str, n_features: int) -> "TreeText":
        """Read LightGBM's text, of which only the trees count.

        Raises:
            DataError: a tree is none, splits by a feature that there is not, or there are none or too many.
        """
        body, end, _ = text.partition("\nend of trees")
        _, *parts = body.split("\nTree=")
        if not end or not 0 < len(parts) <= MOST_TREES:
            raise DataError(f"Expected 1 to {MOST_TREES} trees and the line 'end of trees'; found {len(parts)} trees.")
        trees = [Tree.parse(dict(line.split("=", 1) for line in part.splitlines() if "=" in line)) for part in parts]
        widest = max(int(tree.nodes["split_feature"].max(initial=-1)) for tree in trees)
        if widest >= n_features:
            raise DataError(f"A tree splits by feature {widest}; there are {n_features}.")
        return cls(trees, n_features)

    def __str__(self) -> str:
        n = self.n_features
        head = [
            "tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0",
            f"max_feature_idx={n - 1}", f"feature_names={' '.join(f'f{number}' for number in range(n))}",
            f"feature_infos={' '.join(['[-inf:inf]'] * n)}",
        ]  # fmt: skip
        trees = [f"\nTree={number}\n{tree}\n" for number, tree in enumerate(self.trees)]
        return "\n".join([*head, *trees, "\nend of trees\n"])


def _numbers(fields: Mapping[str, str], name: str, kind: Any) -> NDArray[Any]:
    if name not in fields:
        raise DataError(f"A tree does not say its {name}.")
    try:
        return np.array(fields[name].split(), dtype=kind)
    except (ValueError, OverflowError) as error:
        raise DataError(f"The {name} of a tree are no numbers: {error}.") from error


def _joined(values: NDArray[Any]) -> str:
    return " ".join(map(repr, values.tolist()))
