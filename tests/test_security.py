"""What a search opens and reads: loopback with a token, no dashboard, nothing unpickled."""

import ast
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
METRICS_PORT = 44227
"""Of Ray's counters, where prometheus_client is installed."""
TOKENS = ({"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64})
SOURCES = sorted((*ROOT.glob("ae_model/**/*.py"), *ROOT.glob("search/**/*.py")))


def test_the_local_ray_listens_on_loopback_with_a_token_and_without_a_dashboard(tmp_path: Path) -> None:
    """While a search runs, its processes listen on loopback alone, and refuse a client that has no token."""
    command = [str(Path(sys.executable).with_name("ae-search")), "run", "--set", "search.max_epochs=3000"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as search:
        try:
            deadline = time.monotonic() + 120
            while not any("ImplicitFunc" in command for command in _family(search.pid).values()):
                assert search.poll() is None
                assert time.monotonic() < deadline, "no trial was started"
                time.sleep(0.2)
            family = _family(search.pid)
            listening = {address for process in family for address, _ in _listening(process)}
            # Ray keeps the dashboard's process for its usage statistics, without a page. It may count what it does.
            dashboards = [process for process, command in family.items() if "dashboard.py" in command]
            commands = "\n".join(family.values())
            gcs = re.search(r"--gcs-address=(127\.0\.0\.1:\d+)", commands)
            assert gcs is not None, commands
            dashboard = {port for process in dashboards for _, port in _listening(process)}
            friend, stranger = (_ask(gcs[1], environment | mode) for mode in TOKENS)
        finally:
            search.terminate()
    assert search.returncode == 130
    assert listening
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert dashboard <= {METRICS_PORT}
    assert friend.returncode == 0, friend.stderr
    assert stranger.returncode != 0
    assert "AuthenticationError" in stranger.stderr


def _ask(address: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """List the nodes of a running Ray, as a client."""
    code = f"from ray._raylet import GcsClient; GcsClient(address='{address}').get_all_node_info(timeout=30)"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def _family(pid: int) -> dict[psutil.Process, str]:
    """A process and all below it, with their commands."""
    found = {}
    with suppress(psutil.NoSuchProcess):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                found[process] = " ".join(process.cmdline())
    return found


def _listening(process: psutil.Process) -> set[tuple[str, int]]:
    """Local addresses and ports that a process listens on."""
    with suppress(psutil.NoSuchProcess):
        return {tuple(c.laddr) for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    return set()


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    """No module imports a pickler, loads arrays with pickles, torch files, joblib or YAML, or runs text as code.

    torchvision unpickles CIFAR-10's files itself, after it has compared each with its known checksum.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml", "load"}
        if isinstance(node, ast.Call):
            module, _, called = ast.unparse(node.func).rpartition(".")
            assert called not in ("read_pickle", "system")
            assert module or called not in ("eval", "exec", "compile")
            assert (module, called) != ("torch", "load")
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert options.get("shell", "False") == "False"
            if module in ("np", "numpy") and called == "load":
                assert options.get("allow_pickle") == "False", "the default is not relied upon"
            else:
                assert "allow_pickle" not in options


def test_sql_is_never_made_of_values() -> None:
    """Every statement is a text of the source's own: values are bound, and nothing is put into one."""
    texts = {"query", "statement"}  # what `read_ledger` is given, which is checked too, and the schema's parts
    found = 0
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
            if called not in ("execute", "executemany", "read_ledger", "_read") or path.parent.name == "ae_model":
                continue
            statement = node.args[called in ("read_ledger", "_read")]
            found += 1
            if not isinstance(statement, ast.Constant):
                assert ast.unparse(statement) in texts
    assert found > 20
