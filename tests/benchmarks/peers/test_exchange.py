import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array

from recsys_vae.data.ids import IdMap
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import HeldOut
from tests.benchmarks.peers.exchange import NAMES, PeerSplit, ndcg, read_split, top_lists, write_split
from tests.benchmarks.peers.measure import Listed
from tests.benchmarks.peers.process import ROOT
from tests.worlds import csr


def test_split_survives_its_file(tmp_path: Path) -> None:
    parts = (csr(rows, 4) for rows in ([[0, 1], [], [3]], [[0]], [[2]], [[1, 3]]))
    split = PeerSplit(*(csr_matrix(part) for part in parts))
    write_split(split, tmp_path / "folder" / "split.npz")
    read = read_split(tmp_path / "folder" / "split.npz")
    for name in NAMES:
        np.testing.assert_array_equal(getattr(read, name).toarray(), getattr(split, name).toarray())


def test_lists_leave_out_seen_items_and_break_ties_by_item() -> None:
    scores = np.array([[3.0, 5.0, 3.0, -1.0], [0.0, 0.0, 0.0, 0.0]])
    lists = top_lists(scores, csr_matrix(csr([[1], [0, 1, 2]], 4)), k=5)
    assert lists.tolist() == [[0, 2, 3, -1, -1], [3, -1, -1, -1, -1]]
    assert scores[0, 1] == 5.0, "the scores asked about stay as they were"


def test_ndcg_by_hand() -> None:
    lists = np.array([[4, 2], [0, 1], [3, 0]])
    targets = csr_matrix(csr([[2], [], [3, 0, 1]], 5))
    assert ndcg(lists, targets) == pytest.approx((1 / np.log2(3) + 1.0) / 2)


def test_peers_choose_by_what_the_project_measures() -> None:
    rng = np.random.default_rng(0)
    n, items, k = 30, 250, 100
    seen = random_array((n, items), density=0.1, rng=rng, format="csr")
    wanted = random_array((n, items), density=0.1, rng=rng, format="csr")
    wanted = wanted - wanted.multiply(seen.astype(bool))
    wanted.eliminate_zeros()
    histories, targets = (csr([row.indices.tolist() for row in matrix], items) for matrix in (seen, wanted.tocsr()))
    lists = top_lists(rng.standard_normal((n, items)), csr_matrix(histories), k)
    held_out = HeldOut(IdMap.from_values(f"{user:02}" for user in range(n)), histories, targets)
    found = evaluate(Listed(lists, items), held_out, ["ndcg@100"])
    assert found.n_users == n
    assert ndcg(lists, csr_matrix(targets)) == pytest.approx(found.means["ndcg@100"], abs=1e-12)


def test_lists_belong_to_all_the_users_at_once() -> None:
    with pytest.raises(ValueError, match="2 lists for 1 users"):
        Listed(np.zeros((2, 3), dtype=np.int64), 5).score(csr([[0]], 5))


def test_served_lines_are_answered_in_order_and_prints_stay_out() -> None:
    program = (
        "from tests.benchmarks.peers.exchange import serve\n"
        "def answer(n):\n"
        "    print('a library speaks')\n"
        "    return {'double': 2 * n}\n"
        "serve(answer)\n"
    )
    answered = subprocess.run(
        [sys.executable, "-c", program], input="3\n\n4\n", text=True, capture_output=True, check=True, cwd=ROOT
    )
    assert answered.stdout.splitlines() == ['{"ready": true}', '{"double": 6}', '{"double": 8}']
    assert answered.stderr.count("a library speaks") == 2
