"""Clusters: launcher files read by Ray's own schema, manifests by what they must agree on with the product."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = ROOT / "deploy" / "ray"
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)["ray"]


@pytest.fixture(params=["aws", "gcp"])
def launcher(request) -> dict[str, Any]:
    return yaml.safe_load((FILES / f"{request.param}.yaml").read_text())


def test_ray_takes_the_launcher_files(launcher):
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(launcher))


def test_rays_schema_refuses_what_is_no_setting(launcher):
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(ValidationError, match="max_wokers"):
        validate_config(prepare_config({**launcher, "max_wokers": 3}))


def test_nodes_of_launchers_ask_for_the_token_and_see_one_home(launcher):
    starts = [
        command
        for name in ("head_start_ray_commands", "worker_start_ray_commands")
        for command in launcher[name]
        if "ray start" in command
    ]
    assert len(starts) == 2
    assert all(command.startswith("RAY_AUTH_MODE=token ") for command in starts)
    assert "/home/ubuntu/.ray/auth_token" in launcher["file_mounts"]
    assert launcher["available_node_types"]["head"]["resources"] == {"CPU": 0}
    setup = "\n".join(launcher["setup_commands"])
    home = re.search(r"RECSYS_HOME=(\S+)", setup)
    assert home is not None
    assert re.search(rf"mount -t nfs\S* .*{home[1]}\)", setup)


def test_manifests_of_kuberay_agree_with_each_other_and_the_product():
    claim, cluster, job = yaml.safe_load_all((FILES / "kuberay.yaml").read_text())
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    spec = cluster["spec"]
    assert (spec["rayVersion"], spec["authOptions"]) == (PINNED, {"mode": "token"})
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    pods = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for pod in (one["template"]["spec"] for one in pods):
        (container,) = pod["containers"]
        home = {one["name"]: one["value"] for one in container["env"]}["RECSYS_HOME"]
        (mount,) = container["volumeMounts"]
        assert (mount["mountPath"], container["image"]) == (home, "recsys-ray")
        assert pod["volumes"] == [{"name": mount["name"], "persistentVolumeClaim": {"claimName": "recsys-home"}}]
    assert claim["metadata"]["name"] == "recsys-home"
    assert all(isinstance(value, str) for one in pods for value in one["rayStartParams"].values())
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    assert job["spec"]["entrypoint"].startswith("recsys ingest /home/shared/")
    assert job["spec"]["entrypoint"].endswith(" --ray auto")


def test_the_image_has_the_version_that_is_pinned():
    lines = (FILES / "Dockerfile").read_text()
    assert "-c /tmp/constraints.txt 'ray[default]>=2.60'" in lines
    assert "\nFROM recsys\n" in lines
