"""A search on a Ray cluster of hosts that are network namespaces, each with its own name, home and files."""

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

AE_SEARCH, RAY = (str(Path(sys.executable).with_name(name)) for name in ("ae-search", "ray"))

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
"""Ray asks for the token because the mode says so, and only those who know it may join."""
OURS = ("ae_model", "search", "ae_search", "__editable__")
"""What the names of our packages' files begin with, where Python looks for packages."""


class Hosts:
    """Hosts on one bridge, each with its own home folder and working directory, and its own of what is private.

    Args:
        scratch: A folder for their files.
        private: Folders that each host but the first has an own, empty one of, instead of seeing the first's.
    """

    def __init__(self, scratch: Path, *, private: Sequence[Path] = ()) -> None:
        self.address = "10.77.0.1:6379"
        self._scratch = scratch
        self._ray_folder = scratch / "ray"  # short: sockets lie in it
        self._private = [self._ray_folder, *private]
        self._stack = ExitStack()
        self._bridge = f"ae{os.getpid()}br"
        self._names: dict[int, str] = {}

    def __enter__(self) -> "Hosts":
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces cannot be made: {error}")
        self._stack.callback(_ip, "link", "delete", self._bridge)
        _ip("link", "set", self._bridge, "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self) -> int:
        """Add a host; its number, from 1."""
        number = len(self._names) + 1
        name = self._names[number] = f"ae{os.getpid()}h{number}"
        _ip("netns", "add", name)
        self._stack.callback(_ip, "netns", "delete", name)
        self._stack.callback(self.kill, number)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", name, "master", self._bridge, "up")
        _ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        for folder in (self.home(number), *(self._own(number, path) for path in self._private)):
            folder.mkdir(parents=True, exist_ok=True)
        return number

    def add_node(
        self,
        *options: str,
        n_cpus: int = 1,
        python: str = sys.executable,
        environment: dict[str, str] | None = None,
    ) -> int:
        """Add a host, and start Ray there: the cluster's head on the first, a worker on the others."""
        number = self.add()
        role = ["--head", "--port=6379", f"--temp-dir={self._ray_folder}"]
        if number > 1:
            role = [f"--address={self.address}"]
        address = [f"--node-ip-address=10.77.0.{number}", "--disable-usage-stats"]
        command = [python, "-m", "ray.scripts.scripts", "start", *role, *address, f"--num-cpus={n_cpus}", *options]
        done = self.start(number, *command, environment=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = done.communicate(timeout=120)
        assert done.returncode == 0, output
        return number

    def home(self, host: int) -> Path:
        """The home folder of a host, which its commands are run in."""
        return self._scratch / f"host{host}" / "home"

    def start(
        self, host: int, *command: str | Path, environment: dict[str, str] | None = None, **options: Any
    ) -> "subprocess.Popen[str]":
        """Start a command on a host.

        Args:
            host: The number of the host.
            command: The command.
            environment: More variables of the environment; the token of Ray's if None.
            options: Of Popen.
        """
        variables = os.environ | {"HOME": str(self.home(host))} | (TOKEN if environment is None else environment)
        private = self._private if host > 1 else []
        own = [str(part) for path in private for part in (self._own(host, path), path)]
        # `ip netns exec` has its own mounts; they end with the command.
        set_up = (
            'hostname $1; n=$2; shift 2; while [ $n -gt 0 ]; do mount --bind "$1" "$2"; n=$((n - 1)); shift 2; done'
        )
        inside = ["ip", "netns", "exec", self._names[host], "unshare", "--uts", "sh", "-c", f'{set_up}; exec "$@"']
        inside += ["sh", f"host{host}", str(len(own) // 2), *own, *map(str, command)]
        return subprocess.Popen(inside, env=variables, text=True, **{"cwd": self.home(host)} | options)

    def run(self, host: int, *command: str | Path, timeout: float = 300, **options: Any) -> tuple[int, str]:
        """Run a command on a host; its status, and all that it prints."""
        started = self.start(host, *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
        try:
            output, _ = started.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            started.kill()
            output, _ = started.communicate()
            raise AssertionError(f"{command} did not end: {output}") from None
        return started.returncode, output

    def pids(self, host: int) -> dict[int, str]:
        """Commands of all processes of a host."""
        found = {}
        for pid in _ip("netns", "pids", self._names[host]).split():
            with suppress(OSError):
                found[int(pid)] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
        return found

    def has_trial(self, host: int) -> bool:
        """Whether a trial is trained on a host."""
        return any("ImplicitFunc" in command for command in self.pids(host).values())

    def kill(self, host: int) -> None:
        """Kill all processes of a host."""
        while pids := self.pids(host):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def set_cable(self, host: int, state: str) -> None:
        """Pull the cable of a host ("down"), or put it back ("up")."""
        _ip("link", "set", self._names[host], state)

    def received_bytes(self, host: int) -> int:
        """How many bytes have come to a host over its network."""
        return int(Path(f"/sys/class/net/{self._names[host]}/statistics/tx_bytes").read_text())

    def _own(self, host: int, path: Path) -> Path:
        return path if host == 1 else self._scratch / f"host{host}" / path.name


def bare_python(folder: Path, *, versions: dict[str, str] | None = None) -> str:
    """A Python that has all that this one has, but our own packages.

    Args:
        folder: Where it is made.
        versions: Versions that some of its packages say they have, by name.

    Returns:
        Its path.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", folder], check=True)
    versions = versions or {}
    (site,) = folder.glob("lib/python3*/site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        package = path.name.partition("-")[0]
        if path.name.startswith(OURS) or (path.suffix == ".pth" and "ae_search" in path.name):
            continue
        if package in versions and path.suffix == ".dist-info":
            other = site / f"{package}-{versions[package]}.dist-info"
            other.mkdir()
            (other / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {versions[package]}\n")
        else:
            (site / path.name).symlink_to(path)
    return str(folder / "bin" / "python")


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


@contextmanager
def _hosts() -> Iterator[tuple["Hosts", Path]]:
    """Hosts, and a folder that the first has for itself."""
    with tempfile.TemporaryDirectory(prefix="ae") as scratch:
        work = Path(scratch) / "work"
        work.mkdir()
        with Hosts(Path(scratch), private=[work]) as hosts:
            yield hosts, work


def _wait(condition: Callable[[], bool], search: "subprocess.Popen[str]", log: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert search.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def _assert_equal_tables(expected: Path, found: Path) -> pd.DataFrame:
    """Two searches have the same tables to the bit, times and hosts aside; the second's trials."""
    read = {"trials.csv": pd.read_csv, "folds.csv": pd.read_csv, "epochs.parquet": pd.read_parquet}
    for name, reader in read.items():
        tables = [
            reader(path / name).drop(columns=["fit_seconds", "host"], errors="ignore") for path in (expected, found)
        ]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
    return pd.read_csv(found / "trials.csv")


ALGORITHMS = {
    "halving": "[space]\nhidden = ['', '16', '32']\nlearning_rate = [0.001, 0.003]\n"
    "[search]\npruning = 'halving'\ngrace_period = 2\nmax_epochs = 8\n",
    "tpe": "[space]\nlearning_rate = {low = 1e-4, high = 1e-2}\n"
    "[search]\nalgorithm = 'tpe'\nnum_samples = 6\nbatch_trials = 3\nmax_epochs = 4\n",
    "smallest": "[search]\nalgorithm = 'smallest-code'\ntarget_fve = 0.6\nmax_epochs = 4\n",
}


@pytest.mark.slow
def test_the_same_search_on_three_hosts(tmp_path: Path) -> None:
    """Tables are those of one host, whatever the algorithm and the way in; samples go to each host once.

    The head has no CPUs for trials, and of the other two one lacks our packages; results are the first host's alone.
    """
    rng = np.random.default_rng(0)
    values = rng.normal(size=(24_000, 8)) @ rng.normal(size=(8, 256)) + rng.normal(size=(24_000, 256))
    with _hosts() as (hosts, work):
        hosts.add_node(n_cpus=0)
        hosts.add_node(n_cpus=2)
        hosts.add_node(n_cpus=2, python=bare_python(tmp_path / "bare"))
        np.save(work / "values.npy", values.astype(np.float32))
        (work / "large.toml").write_text(
            "data.source = 'values.npy'\nbottleneck.code_sizes = [8]\n"
            "[space]\nhidden = ''\ninit = 'random'\nbatch_size = [400, 420, 440, 460, 480, 500]\n"
            "[search]\nmax_epochs = 12\nn_splits = 3\n"
        )
        for name, text in ALGORITHMS.items():
            (work / f"{name}.toml").write_text(
                "data.source = 'digits'\nbottleneck.code_sizes = [8]\n" * (name != "smallest") + text
            )

        def search(name: str, *address: str, host: int = 1) -> None:
            settings = work / f"{name}.toml"
            folder = work / ("cluster" if address else "alone")
            status, output = hosts.run(
                host, AE_SEARCH, "run", settings, "--name", name, "--results-dir", folder, *address, cwd=work
            )
            assert status == 0, output

        before = [hosts.received_bytes(host) for host in (2, 3)]
        search("large", "--address", hosts.address)
        received = [hosts.received_bytes(host) - b for host, b in zip((2, 3), before, strict=True)]
        size = 0.8 * 24_000 * 256 * 4
        assert all(size < bytes_ < 1.4 * size for bytes_ in received), f"{received} of {size:.0f} bytes"
        search("large")
        trials = _assert_equal_tables(work / "alone" / "large", work / "cluster" / "large")
        assert set(trials["host"]) == {"host2", "host3"}
        for name in ALGORITHMS:
            search(name, "--address", hosts.address)
            search(name)
            _assert_equal_tables(work / "alone" / name, work / "cluster" / name)
        # From a host that is no part of the cluster, which has files of its own.
        outside = hosts.add()
        (hosts.home(outside) / "settings.toml").write_text((work / "halving.toml").read_text())
        address = ["--address", f"ray://{hosts.address.partition(':')[0]}:10001"]
        status, output = hosts.run(outside, AE_SEARCH, "run", "settings.toml", "--name", "halving", *address)
        assert status == 0, output
        _assert_equal_tables(work / "alone" / "halving", hosts.home(outside) / "results" / "halving")


@pytest.mark.slow
def test_a_submitted_job(tmp_path: Path) -> None:
    """Its log is one of plain lines; stopped, it ends as at Ctrl-C, and the same job goes on."""
    with _hosts() as (hosts, work):
        hosts.add_node("--dashboard-host=127.0.0.1", n_cpus=0)
        hosts.add_node(n_cpus=2, python=bare_python(tmp_path / "bare"))
        (work / "settings.toml").write_text(
            "bottleneck.code_sizes = [8]\n[space]\nhidden = '256'\ninit = 'random'\nbatch_size = [16, 20]\n"
            "[search]\nmax_epochs = 200\npatience = 200\n"
        )
        results = hosts.home(1) / "results"
        server = ["--address", "http://127.0.0.1:8265"]
        entrypoint = ["ae-search", "run", "settings.toml", "--address", "auto", "--results-dir", "~/results"]

        def job(*arguments: str) -> str:
            status, output = hosts.run(1, RAY, "job", arguments[0], *server, *arguments[1:], cwd=work)
            assert status == 0, output
            return output

        job("submit", "--no-wait", "--submission-id", "first", "--working-dir", ".", "--", *entrypoint)
        deadline = time.monotonic() + 120
        while "best so far" not in job("logs", "first"):
            assert time.monotonic() < deadline, job("logs", "first")
            time.sleep(1)
        job("stop", "first")
        log = job("logs", "first")
        assert log.rstrip().endswith(
            "ae-search: interrupted; nothing that was reported is lost, and the same command continues"
        )
        assert "\r" not in log
        assert "STOPPED" in job("status", "first") or "was stopped" in job("status", "first")
        log = job("submit", "--working-dir", ".", "--", *entrypoint)
        assert re.search(r"^2/2 trials done, best so far", log, flags=re.MULTILINE), log
        assert set(pd.read_csv(results / "digits" / "trials.csv")["status"]) == {"finished"}


@pytest.mark.slow
def test_who_may_take_part(tmp_path: Path) -> None:
    """A driver without the token, or with another Ray, a node with another torch or without the folder: one line."""
    with _hosts() as (hosts, work):
        hosts.add_node(n_cpus=0)
        hosts.add_node(n_cpus=1)
        settings = work / "settings.toml"
        settings.write_text(
            "bottleneck.code_sizes = [8]\n[space]\nhidden = '16'\ninit = 'random'\n"
            "[search]\nmax_epochs = 2\n[resources]\nstartup_timeout_s = 3\n"
        )
        ray_address = f"ray://{hosts.address.partition(':')[0]}:10001"

        def refused(*arguments: str, by: str | None = None, **options: Any) -> str:
            command = [AE_SEARCH] if by is None else [sys.executable, "-c", by]
            command += ["run", str(settings), "--address", *(arguments or [hosts.address])]
            status, output = hosts.run(1, *command, cwd=work, timeout=100, **options)
            assert status == 2, output
            assert "Traceback" not in output
            line = output.splitlines()[-1]
            assert line.startswith("ae-search: ")
            return line

        without = {"RAY_AUTH_MODE": "token"}
        assert "another token" in refused(environment=TOKEN | {"RAY_AUTH_TOKEN": "1" * 64})
        assert "another token" in refused(environment={"RAY_AUTH_MODE": "disabled"})
        for address in (hosts.address, ray_address):
            assert "authentication token" in refused(address, environment=without)
        other_ray = "import ray; ray.__version__ = '2.1.0'; from search.cli import script; script()"
        for address in (hosts.address, ray_address):
            line = refused(address, by=other_ray)
            assert re.search(
                r"cluster runs Ray 2\.[\w.]+ with Python 3.*but here is Ray 2\.1\.0 with Python 3", line
            ), line
        line = refused(hosts.address, "--set", "resources.cpus_per_trial=3")
        assert re.search(r"needs 3 CPUs, but 3 s after the start no node has them \(the largest has 1 CPU\)", line)
        shared = tmp_path / "shared"
        shared.mkdir()
        run = [AE_SEARCH, "run", settings, "--name", "shared", "--address", hosts.address]
        status, output = hosts.run(1, *run, "--set", f"resources.storage_path='{shared}'", cwd=work)
        assert status == 0, output
        assert [path.suffix for path in shared.glob("*/*")] == [".safetensors"]
        line = refused(hosts.address, "--set", "resources.storage_path='checkpoints'")  # the first host's alone
        assert re.search(r"node 10\.77\.0\.2 \(host2\) (does not see|cannot use) resources\.storage_path", line)
        hosts.add_node(n_cpus=1, python=bare_python(tmp_path / "other", versions={"torch": "2.9.0"}))
        line = refused()
        assert "node 10.77.0.3 (host3) has torch 2.9.0 instead of " in line
        assert "10.77.0.2" not in line
        joined = (
            f"import ray; ray.init('{hosts.address}', logging_level='ERROR'); from search.cli import script; script()"
        )
        status, output = hosts.run(1, sys.executable, "-c", joined, "run", settings, "--fresh", cwd=work)
        assert status == 2, output
        lacks = "node 10.77.0.3 (host3) lacks a package that workers need (No module named 'search'). Install it there"
        assert lacks in output.splitlines()[-1], output
        if not torch.cuda.is_available():
            hosts.add_node("--num-gpus=1", n_cpus=1)  # Ray believes it
            line = refused(hosts.address, "--set", "resources.gpus_per_trial='auto'", "--fresh")
            assert re.search(r'gpus_per_trial = "auto": the first trial cannot be trained on a GPU \(.*\)', line)
            whole = ["--set", "resources.gpus_per_trial=1"]
            status, output = hosts.run(1, *run, "--name", "whole", *whole, cwd=work)
            assert status == 1, output
            words = "node 10.77.0.4 (host4) has no GPU that its torch can use. Mend its driver, "
            assert f"ae-search: {words}" in output.splitlines()[-1], output


@pytest.mark.slow
def test_hosts_come_and_go(tmp_path: Path) -> None:
    """A search waits for its first host, uses one that joins, survives one that is lost and a cable that is pulled.

    Its tables are those of one machine. A host that joins with another torch ends a search, with a line.
    """
    with _hosts() as (hosts, work):
        hosts.add_node(n_cpus=0)
        settings, log = work / "settings.toml", work / "log"
        settings.write_text(
            "bottleneck.code_sizes = [8]\n[space]\nhidden = '32'\nbatch_size = [16, 20, 24, 28, 32, 40]\n"
            "[search]\nmax_epochs = 100\n[resources]\ncheckpoint_every_s = 1\n"
        )

        def started(*arguments: str) -> "subprocess.Popen[str]":
            command = [AE_SEARCH, "run", "settings.toml", "--address", hosts.address, *arguments]
            with log.open("w") as file:
                return hosts.start(1, *command, cwd=work, stdout=file, stderr=file)

        search = started("--name", "cluster")
        _wait(lambda: "waiting 900 s for one to join" in log.read_text(), search, log)
        hosts.add_node()
        _wait(lambda: hosts.has_trial(2), search, log)
        hosts.add_node()
        _wait(lambda: hosts.has_trial(3), search, log)
        time.sleep(1)
        hosts.kill(2)
        hosts.set_cable(3, "down")
        time.sleep(12)  # a connection that was given up, after half a minute, is missed by Ray after four more minutes
        hosts.set_cable(3, "up")
        hosts.add_node()
        assert search.wait(300) == 0, log.read_text()
        status, output = hosts.run(1, AE_SEARCH, "run", "settings.toml", "--name", "alone", cwd=work)
        assert status == 0, output
        trials = _assert_equal_tables(work / "results" / "alone", work / "results" / "cluster")
        assert (trials["status"] == "finished").all()
        search = started("--name", "long", "--set", "search.max_epochs=100000")
        _wait(lambda: hosts.has_trial(4), search, log)
        hosts.add_node(python=bare_python(tmp_path / "other", versions={"torch": "2.9.0"}))
        assert search.wait(100) == 1, log.read_text()
        last = log.read_text().splitlines()[-1]
        assert "node 10.77.0.5 (host5) has torch 2.9.0 instead of " in last, log.read_text()
        assert "run the same command again" in last


@pytest.mark.slow
def test_an_autoscaler_brings_a_node() -> None:
    """Ray's own, whose machines are processes: it hears of what a trial needs, and of no need when that is done."""
    lists = "cluster_synced_files rsync_exclude rsync_filter initialization_commands setup_commands head_setup_commands"
    lists += " worker_setup_commands head_start_ray_commands worker_start_ray_commands"
    config: dict[str, Any] = {name: [] for name in lists.split()}
    config |= {"cluster_name": "fake", "auth": {}, "docker": {}, "file_mounts": {}, "upscaling_speed": 1.0}
    config |= {"file_mounts_sync_continuously": False, "max_workers": 2, "idle_timeout_minutes": 0.1}
    config["provider"] = {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "launch_multiple": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    config["head_node_type"] = "ray.head.default"
    config["available_node_types"] = {
        name: {"resources": {"CPU": n_cpus}, "node_config": {}, "min_workers": 0, "max_workers": n_workers}
        for name, n_cpus, n_workers in (("ray.head.default", 0, 0), ("small", 1, 1), ("large", 2, 1))
    }
    of_ray = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1", "RAY_enable_autoscaler_v2": "0"}
    with _hosts() as (hosts, work):
        (work / "cluster.json").write_text(json.dumps(config))
        hosts.add_node(f"--autoscaling-config={work / 'cluster.json'}", n_cpus=0, environment=TOKEN | of_ray)
        (work / "settings.toml").write_text(
            "bottleneck.code_sizes = [8]\n[space]\nhidden = '16'\ninit = 'random'\n[search]\nmax_epochs = 2\n"
            "[resources]\ncpus_per_trial = 2\nstartup_timeout_s = 60\n"
        )
        command = [AE_SEARCH, "run", "settings.toml", "--name", "found", "--address", hosts.address]
        status, output = hosts.run(1, *command, cwd=work)
        assert status == 0, output
        assert "No node has 2 CPUs (the largest has 0 CPUs)" in output
        trials = pd.read_csv(work / "results" / "found" / "trials.csv")
        assert set(trials["status"]) == {"finished"}
        _, left = hosts.run(1, RAY, "status", "--address", hosts.address)
        assert "0.0/2.0 CPU" in left, "of the large one alone"
        assert "no resource demands" in left, "or the node would never be idle"
