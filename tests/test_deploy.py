"""The files that start clusters are ones that Ray and linters accept, and do not cost or expose more than they must."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CLOUDS = ("cluster.yaml", "deploy/gcp.yaml")
LAUNCHED = (*CLOUDS, "deploy/own-machines.yaml")
FILES = (*LAUNCHED, "deploy/rayjob.yaml", "deploy/volume.yaml", "deploy/Dockerfile", "deploy/slurm.sh")
MONEY = (
    r"min_workers|max_workers: [1-9]|(min|max)Replicas|InstanceType|machineType|(?i:spot)"
    r"|diskSizeGb|VolumeSize|storage:"
)
DOOR = r"ssh_user|auth_token:|SecurityGroupIds: &|dashboard-host: 0"


def _text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def _content(file: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(_text(file))
    return content


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    """The RayJob."""
    return dict(_content("deploy/rayjob.yaml")["spec"])


def test_all_are_there() -> None:
    """And no other, so that nothing is unchecked."""
    assert {path.name for path in (ROOT / "deploy").iterdir()} == {Path(file).name for file in FILES[1:]}


@pytest.mark.parametrize("file", LAUNCHED)
def test_ray_accepts_it(file: str) -> None:
    """Ray's own validation of cluster files passes."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(_content(file))
    prepared.setdefault("cluster_synced_files", [])
    validate_config(prepared)


@pytest.mark.parametrize("file", CLOUDS)
def test_no_machine_is_kept_for_nothing(file: str) -> None:
    """Workers come with trials, at a third of the price, and go without; a disk goes with its machine."""
    cluster = _content(file)
    nodes = cluster["available_node_types"]
    assert all(node["min_workers"] == 0 for node in nodes.values())
    assert cluster["idle_timeout_minutes"] <= 10
    assert cluster["max_workers"] <= 4
    assert nodes["head"]["resources"] == {"CPU": 0}
    assert "spot" in str(nodes["gpu"]["node_config"]).lower()
    assert not cluster["provider"].get("cache_stopped_nodes", False)
    assert re.search("(DeleteOnTermination|autoDelete): true", _text(file))


def test_ssh_is_open_to_one_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the user: Ray's start of the cluster adds no door to the group, and makes no other."""
    import boto3
    from moto import mock_aws
    from ray.autoscaler._private.aws import config as ray_aws
    from ray.autoscaler._private.util import prepare_config

    monkeypatch.setenv("HOME", str(tmp_path))  # for the key that Ray makes
    (tmp_path / ".ssh").mkdir()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of-nobody")
    monkeypatch.setattr(ray_aws.time, "sleep", lambda _seconds: None)
    cluster = _content("cluster.yaml")
    (rule,) = re.findall(r"--protocol tcp --port (\d+) --cidr (\S+)", _text("cluster.yaml"))
    assert rule == ("22", "192.0.2.1/32"), "nobody's, so that it has to be put in"
    with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
        ec2 = boto3.client("ec2", region_name=cluster["provider"]["region"])
        (vpc,) = ec2.describe_vpcs()["Vpcs"]
        group = ec2.create_security_group(GroupName="ae-search", Description="-", VpcId=vpc["VpcId"])["GroupId"]
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": rule[1]}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh])
        before = ec2.describe_security_groups()["SecurityGroups"]
        for node in cluster["available_node_types"].values():
            assert node["node_config"]["SecurityGroupIds"] == ["sg-00000000000000000"]
            node["node_config"]["SecurityGroupIds"] = [group]
        started = ray_aws.bootstrap_aws(prepare_config(cluster))
        assert ec2.describe_security_groups()["SecurityGroups"] == before
    for node in started["available_node_types"].values():
        assert node["node_config"]["SecurityGroupIds"] == [group]
    assert "--source-ranges=192.0.2.1/32" in _text("deploy/gcp.yaml")


@pytest.mark.parametrize("file", LAUNCHED)
def test_the_dashboard_is_the_heads_own_and_asks_for_the_token(file: str) -> None:
    """Every start of Ray has the token; the dashboard listens on loopback."""
    cluster = _content(file)
    (head,) = [command for command in cluster["head_start_ray_commands"] if "ray start" in command]
    (worker,) = [command for command in cluster["worker_start_ray_commands"] if "ray start" in command]
    assert all(command.startswith("RAY_AUTH_MODE=token ") for command in (head, worker))
    assert "--dashboard-host=127.0.0.1" in head
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_versions_are_pinned_and_the_same_everywhere() -> None:
    """A node that differs would be refused; and they are versions that the project allows."""
    texts = "\n".join(map(_text, FILES))
    (ray,) = set(re.findall(r"(?:ray(?:\[[\w,]+\])?==|rayVersion: )([\d.]+)", texts))
    (_torch,) = set(re.findall(r"torch==([\d.]+)", texts))
    (python,) = set(re.findall(r"(?:--python |FROM python:)(3[\d.]+)", texts))
    assert f"python{python.rpartition('.')[0]} -m venv" in _text("deploy/own-machines.yaml")
    (asked,) = [name for name in tomllib.loads(_text("pyproject.toml"))["project"]["dependencies"] if "ray[" in name]
    assert f">={ray.rpartition('.')[0]}," in asked
    for file in LAUNCHED:
        (install,) = [command for command in _content(file)["setup_commands"] if "ray==" in command]
        assert "torch==" in install
        assert "wheels/ae_search-*.whl)[cluster]" in install, "that of the working tree, built beforehand"


@pytest.mark.parametrize("file", [*LAUNCHED, "deploy/rayjob.yaml", "deploy/volume.yaml"])
def test_what_costs_money_or_opens_a_door_says_so(file: str) -> None:
    """A line that does has a comment, on it or just above."""
    lines = _text(file).splitlines()
    for number, line in enumerate(lines):
        code = line.partition("#")[0]
        if not line.strip().startswith("#") and "max_workers: 0" not in code and re.search(f"{MONEY}|{DOOR}", code):
            above = lines[number - 1].strip()
            assert "#" in line or above.startswith("#") or code.rstrip().endswith(": 0"), line


def test_a_job_on_kubernetes_ends_with_its_search(job: dict[str, Any]) -> None:
    """Its cluster goes, results stay on a volume; pods have bounds, and nobody gets in without the token."""
    assert job["shutdownAfterJobFinishes"] is True
    cluster = job["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] == workers["replicas"] == 0
    for group in (cluster["headGroupSpec"], workers):
        (container,) = group["template"]["spec"]["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
    head = cluster["headGroupSpec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in head["containers"][0]["volumeMounts"]}
    assert f"--results-dir {mounts['work']}/" in job["entrypoint"]
    assert f"run {mounts['settings']}/" in job["entrypoint"]
    volumes = {volume["name"]: volume for volume in head["volumes"]}
    assert volumes.keys() == mounts.keys()
    claim, pod = yaml.safe_load_all(_text("deploy/volume.yaml"))
    assert volumes["work"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert pod["spec"]["volumes"] == [volumes["work"]]
    assert pod["spec"]["containers"][0]["volumeMounts"] == [{"name": "work", "mountPath": mounts["work"]}]


@pytest.mark.parametrize(("linter", "file"), [("hadolint", "deploy/Dockerfile"), ("shellcheck", "deploy/slurm.sh")])
def test_a_linter_has_nothing_to_say(linter: str, file: str) -> None:
    """Of the image, and of the script."""
    found = shutil.which(linter)
    assert found, f"{linter} comes with the extra 'test'"
    done = subprocess.run([found, ROOT / file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert not done.stdout


def test_the_image_has_what_the_package_is_made_of() -> None:
    """The packages that pyproject.toml names, and what it reads."""
    copied = re.findall(r"^COPY (.+) \S+$", _text("deploy/Dockerfile"), flags=re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    packages = tomllib.loads(_text("pyproject.toml"))["tool"]["setuptools"]["packages"]
    assert names == {"pyproject.toml", "README.md", "LICENSE"} | {package.partition(".")[0] for package in packages}
