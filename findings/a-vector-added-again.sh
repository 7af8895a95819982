#!/usr/bin/env bash
# faiss-cpu 1.15.1, hnswlib 0.8.0, usearch 2.26.6, voyager 2.2.3: adding a vector under an id that is there already.
#
# Guess: the new vector replaces the old one, everywhere.
# Seen: hnswlib and voyager replace it, usearch refuses it. Faiss keeps both: `IndexIDMap2.reconstruct` gives the new
# vector, searches find both, and a top 3 names the same item twice; `remove_ids` of the one id removes two vectors.
# Who is hurt: item vectors that are refreshed in place.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check faiss-cpu==1.15.1 hnswlib==0.8.0 usearch==2.26.6 voyager==2.2.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import faiss
import hnswlib
import numpy as np
import usearch.index
import voyager

vectors, changed = np.eye(3, dtype=np.float32), np.array([[0, 0, 2]], np.float32)  # item 0 becomes like item 2
asked = np.array([[1, 0.1, 0.5]], np.float32)

flat = faiss.IndexIDMap2(faiss.IndexFlatIP(3))
flat.add_with_ids(vectors, np.arange(3))
flat.add_with_ids(changed, np.array([0]))
seen = {"faiss finds": flat.search(asked, 3)[1][0].tolist(), "faiss reconstructs": flat.reconstruct(0).tolist()}
seen["faiss removes"] = flat.remove_ids(np.array([0]))

small = hnswlib.Index("ip", 3)
small.init_index(10)
small.add_items(vectors, [0, 1, 2])
small.add_items(changed, [0])
seen["hnswlib"] = small.get_current_count(), small.get_items([0])[0].tolist()

spotify = voyager.Index(voyager.Space.Euclidean, 3)
spotify.add_items(vectors, ids=[0, 1, 2])
spotify.add_item(changed[0], 0)
seen["voyager"] = len(spotify), spotify.get_vector(0).tolist()

refusing = usearch.index.Index(ndim=3, metric="ip", dtype="f32")
refusing.add(np.arange(3), vectors)
try:
    refusing.add(0, changed[0])
    seen["usearch"] = "takes it"
except RuntimeError:
    seen["usearch"] = "refuses it"

for what, value in seen.items():
    print(f"{what}: {value}")
told = {"faiss finds": [0, 0, 2], "faiss reconstructs": [0.0, 0.0, 2.0], "faiss removes": 2}
told |= {"hnswlib": (3, [0.0, 0.0, 2.0]), "voyager": (3, [0.0, 0.0, 2.0]), "usearch": "refuses it"}
sys.exit(0 if seen == told else f"This has changed: {told} was seen before.")
PYTHON
