#!/usr/bin/env bash
# A worker of Ray Train dies while its group is being set up, once. The group's placement group is never removed: all
# processors stay with workers that are gone, and the next group, which Ray Train is to start, waits for them without end.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[train]==2.60.0"

cat >"$folder/train.py" <<'EOF'
import os, signal, sys, threading, time
from dataclasses import dataclass

import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.backend import Backend, BackendConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

died = sys.argv[1] + "/died"


def prepare():  # in each worker, where a backend for torch joins its processes
    if ray.train.get_context().get_world_rank() == 1 and not os.path.exists(died):
        open(died, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)


class Preparing(Backend):
    def on_start(self, worker_group, backend_config):
        worker_group.execute(prepare)


@dataclass
class PreparingConfig(BackendConfig):
    @property
    def backend_cls(self):
        return Preparing


ray.init("local", num_cpus=2, object_store_memory=100_000_000, logging_level="ERROR", log_to_driver=False)
trainer = DataParallelTrainer(
    lambda: None,
    backend_config=PreparingConfig(),
    scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
    run_config=RunConfig(storage_path=sys.argv[1], failure_config=FailureConfig(max_failures=3)),
)
fit = threading.Thread(target=trainer.fit, daemon=True)
fit.start()
while fit.is_alive() and not os.path.exists(died):
    time.sleep(0.1)
fit.join(30)
groups = sorted(one["state"] for one in ray.util.placement_group_table().values())
free = ray.available_resources().get("CPU", 0)
print(f"a worker died: {os.path.exists(died)}; the training is over: {not fit.is_alive()}")
print(f"processors free: {free:g} of 2; placement groups: {', '.join(groups)}", flush=True)
waits = fit.is_alive() and not free and "CREATED" in groups
ray.shutdown()
os._exit(0 if waits else 1)  # whatever the thread that still waits makes of it
EOF
# Ray Train begins another attempt after a minute otherwise.
RAY_USAGE_STATS_ENABLED=0 RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S=5 "$folder/venv/bin/python" "$folder/train.py" "$folder" >"$folder/said" 2>&1 ||
    status=$?
grep -E '^(a worker|processors)' "$folder/said"
exit "${status:-0}"
