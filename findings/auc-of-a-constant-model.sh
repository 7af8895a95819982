#!/usr/bin/env bash
# cornac 3.0.1 and LightFM 1.17.3 (as RecTools keeps it): a model that knows nothing has an AUC of 0, not of 0.5.
#
# Guess: equal scores count one half, as in the area under a ROC curve; a constant model gets 0.5 and a reversed one 0.
# Seen: a positive counts only where it is strictly above a negative. A constant model gets 0.0 in both libraries, 0.5
# in scikit-learn; LightFM's precision, recall and reciprocal rank place what is tied last as well.
# Who is hurt: models with many equal scores: popularity, item-item neighbours with zeros, new users.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cornac==3.0.1 rectools-lightfm==1.17.3 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from cornac.metrics import AUC
from lightfm import LightFM
from lightfm.evaluation import auc_score, reciprocal_rank
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

relevant = np.eye(4, 6, dtype=np.float32)
model = LightFM(no_components=2, random_state=0).fit(csr_matrix(relevant), epochs=1)
for name in ("item_embeddings", "user_embeddings", "item_biases", "user_biases"):
    getattr(model, name)[:] = 0  # all scores are equal
constant = {"item_indices": np.arange(6), "pd_scores": np.zeros(6), "gt_pos": np.array([0])}
seen = {
    "cornac": float(AUC().compute(**constant)),
    "LightFM": float(auc_score(model, csr_matrix(relevant)).mean()),
    "scikit-learn": float(roc_auc_score(relevant[0], np.zeros(6))),
    "LightFM, reciprocal rank among 6": round(float(reciprocal_rank(model, csr_matrix(relevant)).mean()), 4),
}
print(seen)
told = {"cornac": 0.0, "LightFM": 0.0, "scikit-learn": 0.5, "LightFM, reciprocal rank among 6": 0.1667}
sys.exit(0 if seen == told else f"This has changed: {told} was seen before.")
PYTHON
