import numpy as np
import pytest

from recsys_vae.errors import DataError
from recsys_vae.second_stage.tree_text import MOST_TREES, TreeText
from recsys_vae.second_stage.trees import Trees
from tests.second_stages import NEEDS_LIGHTGBM, steps

TREE = """tree
version=v4

Tree=0
num_leaves=3
num_cat=0
split_feature=1 0
threshold=0.5 2.5
decision_type=2 8
left_child=1 -1
right_child=-2 -3
leaf_value=0.25 -1 4
leaf_weight=1 2 3
shrinkage=0.1


end of trees

parameters:
[boosting: gbdt]
end of parameters
"""


def test_only_the_trees_count_and_they_are_written_as_they_were_read() -> None:
    text = TreeText.parse(TREE, 2)
    assert text.trees[0].leaves.tolist() == [0.25, -1, 4]
    assert "leaf_weight" not in str(text)
    assert "gbdt" not in str(text)
    assert str(TreeText.parse(str(text), 2)) == str(text)


@NEEDS_LIGHTGBM
def test_lightgbm_gives_each_row_the_sum_of_its_leaves() -> None:
    rows = np.array([[1, 0], [3, 0], [1, 1], [np.nan, 0]], dtype=np.float32)
    # The first node goes by the second feature; below it the first one, and what is missing there goes to the right.
    assert Trees(TREE, 2).score(rows).tolist() == [0.25, 4, -1, 4]
    assert Trees(steps(0, [0.0, 2.0], 0.5), 2).score(rows).tolist() == [0.5, 1.0, 0.5, 0.0]
    assert Trees(TREE, 2).score(rows[:0]).tolist() == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("left_child=1 -1", "left_child=1 -4", "make no tree"),
        ("left_child=1 -1", "left_child=0 -1", "make no tree"),
        ("right_child=-2 -3", "right_child=-2 -2", "make no tree"),
        ("left_child=1 -1", "left_child=1", "not one inner node fewer"),
        ("leaf_value=0.25 -1 4", "leaf_value=0.25 -1", "not one inner node fewer"),
        ("leaf_value=0.25 -1 4", "leaf_value=0.25 -1 nan", "no scores"),
        ("leaf_value=0.25 -1 4", "leaf_value=0.25 -1 1e30", "no scores"),
        ("leaf_value=0.25 -1 4", "leaf_value=", "leaves"),
        ("threshold=0.5 2.5", "threshold=0.5 inf", "not finite"),
        ("decision_type=2 8", "decision_type=2 1", "something else than a number"),
        ("split_feature=1 0", "split_feature=1 2", "by feature 2; there are 2"),
        ("split_feature=1 0", "split_feature=-1 0", "below 0"),
        ("split_feature=1 0", "split_feature=1 99999999999999999999", "no numbers"),
        ("threshold=0.5 2.5", "threshold=0.5 x", "no numbers"),
        ("threshold=0.5 2.5\n", "", "does not say its threshold"),
        ("end of trees", "", "end of trees"),
        ("Tree=0", "Trees", "found 0 trees"),
    ],
)
def test_what_makes_no_trees_is_refused_before_lightgbm_reads_it(old: str, new: str, message: str) -> None:
    assert old in TREE
    with pytest.raises(DataError, match=message):
        TreeText.parse(TREE.replace(old, new), 2)


def test_there_may_not_be_any_number_of_trees() -> None:
    with pytest.raises(DataError, match="10001 trees"):
        TreeText.parse(steps(0, [0.0] * (MOST_TREES + 1)), 1)
