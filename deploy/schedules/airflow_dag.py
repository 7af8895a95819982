"""Airflow: the weekly job as a DAG of one task; the job has steps of its own, and goes on where it stopped.

Put it into the DAGs folder; recsys is installed for the workers, or `RECSYS` names it.
"""

import os
from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException

RECSYS = os.environ.get("RECSYS", "recsys")
CONFIG = os.environ.get("RECSYS_WEEKLY", "/etc/recsys/weekly.toml")
FOR_PEOPLE = {3: "the gate refused the challenger, the champion stays", 4: "the checks of the data stopped it"}


@dag(
    schedule="10 3 * * 0",
    start_date=datetime(2026, 1, 4, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
    tags=["recommendations"],
)
def recsys_retrain() -> None:
    """From the newest events to the model in service."""

    @task(execution_timeout=timedelta(hours=12))
    def retrain() -> None:
        import subprocess

        status = subprocess.run([RECSYS, "retrain", "--config", CONFIG], check=False).returncode
        if status in FOR_PEOPLE:
            raise AirflowFailException(f"{FOR_PEOPLE[status]}: see the page of the run")  # trying again would not help
        if status:
            raise RuntimeError(f"recsys retrain ended with status {status}; it goes on where it stopped")

    retrain()


recsys_retrain()
