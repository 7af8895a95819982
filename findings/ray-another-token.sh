#!/usr/bin/env bash
# A Ray cluster that asks for tokens tells who comes with another one nothing of tokens: after 20 seconds of trying, a
# ConnectionError. (Who comes without any is told at once.)
set -euo pipefail
folder=$(mktemp -d)
cluster=
# Not `ray stop`, which ends all of Ray on this machine, whoever has begun it.
trap 'test -z "$cluster" || kill -KILL -- "-$cluster" 2>/dev/null || true; rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0

export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
RAY_AUTH_TOKEN=$(printf 'a%.0s' {1..64}) setsid "$folder/venv/bin/ray" start --head --port 6399 --num-cpus 1 --block \
    --object-store-memory 100000000 --include-dashboard=false >/dev/null 2>&1 &
cluster=$!
until (exec 3<>/dev/tcp/127.0.0.1/6399) 2>/dev/null; do sleep 1; done

RAY_AUTH_TOKEN=$(printf 'b%.0s' {1..64}) "$folder/venv/bin/python" - 2>/dev/null <<'EOF'
import sys, time
import ray

begun = time.monotonic()
try:
    ray.init(address="127.0.0.1:6399", logging_level="ERROR", log_to_driver=False)
except Exception as error:
    seconds = time.monotonic() - begun
    print(f"{type(error).__name__} after {seconds:.0f} s: {error}")
    sys.exit(0 if type(error) is ConnectionError and "oken" not in str(error) and seconds > 10 else 1)
print("connected")
sys.exit(1)
EOF
