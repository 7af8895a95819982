#!/usr/bin/env bash
# From a shop's own log to an answer over HTTP, in about a minute. docs/bring-your-own-log.md explains each step.
#
#   docs/bring_your_own_log.sh [FOLDER]     FOLDER: empty or new, keeps everything that is made; default: a temporary one
#
# PORT chooses the service's port (default 8000). The recsys command must be on the PATH: `source .venv/bin/activate`.
set -euo pipefail

folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"

step() { printf '\n== %s\n' "$*"; }

step "A log, as a shop might write it"
python3 - <<'PYTHON'
import csv
import random

random.seed(7)
KINDS = ("tea", "coffee", "cocoa", "mugs")
START, DAY = 1_750_000_000, 86_400
products = [(f"{kind}-{number:02}", f"{kind.title()} no. {number}", kind) for kind in KINDS for number in range(25)]
rows = []
for user in range(500):
    likes = random.sample(KINDS, 2)
    for _ in range(random.randint(8, 30)):
        kind = random.choice(likes) if random.random() < 0.9 else random.choice(KINDS)
        product = f"{kind}-{min(int(random.expovariate(0.12)), 24):02}"
        event = random.choices(("view", "cart", "purchase"), (0.7, 0.2, 0.1))[0]
        rows.append((f"u{user}", product, event, START + random.randrange(120 * DAY)))
rows += [("", "tea-01", "view", START + DAY), ("u1", "tea-02", "share", START + DAY), ("u2", "tea-03", "view", "yesterday")]
rows += [("passer-by", "mugs-01", "view", START + DAY)]
rows.sort(key=lambda row: str(row[3]))
with open("events.csv", "w", newline="") as file:
    csv.writer(file).writerows([("customer", "product", "event", "time"), *rows])
with open("products.csv", "w", newline="") as file:
    csv.writer(file).writerows([("product", "title", "kind"), *products])
PYTHON
head -3 events.csv

export RECSYS_HOME="$PWD/home"

step "Clean it"
recsys ingest events.csv --to shop \
  --map user_id=customer --map item_id=product --map event_type=event --map timestamp=time \
  --event-weight view=1 --event-weight cart=2 --event-weight purchase=5 --keep max \
  --min-user 5 --min-item 5 --items products.csv

step "Ask why somebody is missing"
recsys explain-data shop --user passer-by

step "Cut it in time: learn from the past, ask about the future"
recsys split shop --protocol temporal --validation 0.1 --test 0.1

step "Train"
recsys train shop --split temporal --to bundles/chosen \
  --epochs 40 --batch-size 50 --set hidden=64 --set latent=16

step "Measure it on the test window, beside two baselines"
recsys evaluate bundles/chosen shop --split temporal \
  --baselines popularity,ease --metrics recall@10,ndcg@10,coverage@10 --report report.html

step "Train it again on everything: the bundle that ships"
recsys publish bundles/chosen shop --to bundles/shipped

step "Make it the champion, unless it is worse"
recsys promote shop

step "Lists for every user, as a file"
recsys recommend bundles/shipped shop --k 10 --to recommendations.parquet

step "The same as a service"
PORT="${PORT:-8000}"
recsys load-history shop
recsys serve bundles/shipped --port "$PORT" &
trap 'kill $! && wait $!' EXIT
curl --silent --fail --retry 60 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$PORT/health/ready"

step "Ask it"
curl --silent --fail "http://127.0.0.1:$PORT/v1/recommendations" -H 'Content-Type: application/json' \
  -d '{"history": ["tea-01", "tea-04", "mugs-02"], "k": 5}'

printf '\n\nEverything is in %s\n' "$PWD"
