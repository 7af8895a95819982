"""Schedules of the weekly job: read by the tools that they are for, where these are here, and true to the job."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.retraining import exit_status
from pipelines.retraining.config import read_config

SCHEDULES = Path(__file__).parents[2] / "deploy" / "schedules"
FOR_PEOPLE = {exit_status.REFUSED, exit_status.STOPPED}


def test_the_settings_are_read_and_their_options_exist(recsys_home: Path) -> None:
    assert read_config(SCHEDULES / "weekly.toml").name == "shop"
    arguments = ["retrain", "--config", str(SCHEDULES / "weekly.toml"), "--dry-run"]
    done = CliRunner().invoke(build(), arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "A new run of shop would begin" in done.output
    assert not recsys_home.exists()


def test_cron_has_five_fields_and_a_command() -> None:
    lines = (SCHEDULES / "recsys.crontab").read_text().splitlines()
    jobs = [line for line in lines if line and not re.match(r"#|[A-Z_]+=", line)]
    assert [re.fullmatch(r"(\S+ ){4}\S+  (/\S+ retrain --config \S+ --quiet)", job) is not None for job in jobs] == [
        True
    ]


def test_systemd_reads_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not here")
    for unit in SCHEDULES.glob("recsys-retrain.*"):
        text = unit.read_text().replace("/opt/recsys/bin/recsys", "/bin/true").replace("User=recsys\n", "")
        (tmp_path / unit.name).write_text(text)
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    service = (SCHEDULES / "recsys-retrain.service").read_text()
    assert set(map(int, re.findall(r"^RestartPreventExitStatus=(\d+) (\d+)", service, re.MULTILINE)[0])) == FOR_PEOPLE
    assert f"SuccessExitStatus={exit_status.BUSY}\n" in service


def test_kubernetes_tries_again_but_not_what_people_must_look_at() -> None:
    job = yaml.safe_load((SCHEDULES / "kubernetes-cronjob.yaml").read_text())
    assert (job["kind"], job["spec"]["concurrencyPolicy"]) == ("CronJob", "Forbid")
    template = job["spec"]["jobTemplate"]["spec"]
    [rule] = template["podFailurePolicy"]["rules"]
    assert set(rule["onExitCodes"]["values"]) == FOR_PEOPLE
    [container] = template["template"]["spec"]["containers"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in template["template"]["spec"]["volumes"]}


@pytest.mark.parametrize("name", ["airflow_dag.py", "prefect_flow.py"])
def test_flows_know_the_exit_statuses(name: str) -> None:
    tree = ast.parse((SCHEDULES / name).read_text())
    found = {
        target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name) and target.id.isupper()
        if isinstance(node.value, ast.Dict)
    }
    assert set(found["FOR_PEOPLE"]) == FOR_PEOPLE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "script"),
    [
        (
            "kubernetes-validate==1.37.0",
            "from kubernetes_validate.utils import validate; import yaml; "
            "validate(yaml.safe_load(open('kubernetes-cronjob.yaml')), '1.37', strict=True)",
        ),
        (
            "prefect==3.9.1",
            "from prefect.flows import load_flow_from_entrypoint as load; "
            "assert load('prefect_flow.py:weekly').name == 'recsys-retrain'",
        ),
        (
            "apache-airflow==3.3.2",
            "import runpy; found = runpy.run_path('airflow_dag.py')['recsys_retrain'](); "
            "assert [task.task_id for task in found.tasks] == ['retrain']",
        ),
    ],
)
def test_their_own_tools_read_them(tmp_path: Path, package: str, script: str) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(["python3", "-m", "venv", tmp_path / "venv"], check=True)
    made = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", package], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"{package} cannot be installed: {made.stderr[-200:]}")
    for schedule in SCHEDULES.iterdir():
        shutil.copy(schedule, tmp_path)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [python, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
