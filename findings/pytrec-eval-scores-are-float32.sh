#!/usr/bin/env bash
# pytrec_eval 0.5.11 (and ir-measures, which asks it): scores are compared as float32, and ties go to the larger id, not
# to the first.
#
# Guess: scores are Python floats, so 1700000050 ranks above 1700000000; where scores tie, the order that was given
# stands.
# Seen: the two are the same float32, and so are 0.1234567891 and 0.1234567890. Ties are then broken by the item's id as
# a text, the largest first: "9", "100", "10". The same lists get other figures when items are renumbered.
# Who is hurt: scores that are times, counts of a large log, or probabilities of a large catalogue; popularity
# baselines, which are full of ties.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pytrec_eval-terrier==0.5.11 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import pytrec_eval


def rank(relevant, scores):
    found = pytrec_eval.RelevanceEvaluator({"user": {relevant: 1}}, {"recip_rank"}).evaluate({"user": scores})
    return round(1 / found["user"]["recip_rank"])


seen = {
    "rank of b, newest first: b 1700000050, c 1700000000": rank("b", {"b": 1700000050.0, "c": 1700000000.0}),
    "the same, c called a": rank("b", {"b": 1700000050.0, "a": 1700000000.0}),
    "rank of b: b 0.1234567891, c 0.1234567890": rank("b", {"b": 0.1234567891, "c": 0.1234567890}),
    "ranks of 10, 9, 100, all with score 1": [rank(item, {"10": 1.0, "9": 1.0, "100": 1.0}) for item in ("10", "9", "100")],
}
for what, value in seen.items():
    print(f"{what}: {value}")
told = dict(zip(seen, (2, 1, 2, [3, 1, 2])))
sys.exit(0 if seen == told else f"This has changed: {told} was seen before.")
PYTHON
