#!/usr/bin/env bash
# RecTools 0.19.0: the best list there can be has an NDCG@10 of 0.22 where the user has one relevant item.
#
# Guess: NDCG is divided by the DCG of the best possible list, so that a perfect list gets 1.
# Seen: by default it is divided by the DCG of a list of k relevant items, however many there are. One relevant item at
# the first rank gets 1 / sum(1 / log2(rank + 1)) = 0.220 at k = 10; ten of them get 1. `divide_by_achievable=True`
# gives what others call NDCG.
# Who is hurt: leave-one-out tests, whose NDCG can then never exceed 0.22, set beside figures of other libraries.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check RecTools==0.19.0 numpy==1.26.4 pandas==2.3.3 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import pandas as pd
from rectools.metrics import NDCG, calc_metrics

lists = pd.DataFrame({"user_id": [1] * 10, "item_id": range(10), "rank": range(1, 11)})
metrics = {"NDCG@10": NDCG(10), "divided by what can be had": NDCG(10, divide_by_achievable=True)}
seen = {}
for relevant in (1, 3, 10):
    log = pd.DataFrame({"user_id": [1] * relevant, "item_id": range(relevant)})
    seen[relevant] = {name: round(float(value), 3) for name, value in calc_metrics(metrics, lists, log).items()}
    print(f"perfect list, {relevant} relevant items: {seen[relevant]}")
told = {relevant: dict(zip(metrics, (value, 1.0))) for relevant, value in ((1, 0.22), (3, 0.469), (10, 1.0))}
sys.exit(0 if seen == told else f"This has changed: {told} was seen before.")
PYTHON
