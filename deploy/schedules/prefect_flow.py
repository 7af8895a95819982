"""Prefect: the weekly job as a flow. `python prefect_flow.py` serves it, every Sunday at 03:10."""

import os
import subprocess

from prefect import flow, task
from prefect.states import Failed

RECSYS = os.environ.get("RECSYS", "recsys")
CONFIG = os.environ.get("RECSYS_WEEKLY", "/etc/recsys/weekly.toml")
FOR_PEOPLE = {3: "the gate refused the challenger, the champion stays", 4: "the checks of the data stopped it"}


@task(retries=2, retry_delay_seconds=600, timeout_seconds=12 * 3600)
def retrain() -> int:
    """Run the job; a failure is tried again, and goes on where it stopped."""
    status = subprocess.run([RECSYS, "retrain", "--config", CONFIG], check=False).returncode
    if status and status not in FOR_PEOPLE:
        raise RuntimeError(f"recsys retrain ended with status {status}")
    return status


@flow(name="recsys-retrain")
def weekly():
    """From the newest events to the model in service."""
    status = retrain()
    if status in FOR_PEOPLE:
        return Failed(message=f"{FOR_PEOPLE[status]}: see the page of the run")
    return None


if __name__ == "__main__":
    weekly.serve(name="weekly", cron="10 3 * * 0")
