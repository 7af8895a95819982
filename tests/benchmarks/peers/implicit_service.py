"""`implicit` behind a FastAPI endpoint, as somebody would write it. Runs in the peer's environment.

    python tests/benchmarks/peers/implicit_service.py --items 40981 --factors 200 --port 8001

Item factors are random: what they hold does not change the work. Users are folded in from the history that is sent.
"""

import argparse

import numpy as np
import threadpoolctl
import uvicorn
from fastapi import FastAPI
from implicit.cpu.als import AlternatingLeastSquares
from pydantic import BaseModel
from scipy.sparse import csr_matrix


class Asked(BaseModel):
    """A request."""

    history: list[str]
    k: int = 10


def create(n_items: int, factors: int) -> FastAPI:
    """An application that answers for anybody's history."""
    rng = np.random.default_rng(0)
    model = AlternatingLeastSquares(factors=factors, num_threads=1)
    model.user_factors = rng.standard_normal((1, factors), dtype=np.float32)
    model.item_factors = rng.standard_normal((n_items, factors), dtype=np.float32)
    ids = [str(item) for item in range(n_items)]
    rows = {item_id: row for row, item_id in enumerate(ids)}
    app = FastAPI()

    @app.post("/recommend")
    async def recommend(asked: Asked) -> dict[str, list[dict[str, str | float]]]:
        liked = [rows[item_id] for item_id in asked.history if item_id in rows]
        history = csr_matrix((np.ones(len(liked), np.float32), ([0] * len(liked), liked)), shape=(1, n_items))
        found, scores = model.recommend(0, history, N=asked.k, recalculate_user=True)
        best = zip(found.tolist(), scores.tolist(), strict=True)
        return {"items": [{"item_id": ids[row], "score": score} for row, score in best]}

    return app


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, required=True, help="of the catalogue")
    parser.add_argument("--factors", type=int, required=True, help="dimension of the vectors")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    threadpoolctl.threadpool_limits(1, "blas")  # as implicit asks for
    uvicorn.run(create(arguments.items, arguments.factors), port=arguments.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
