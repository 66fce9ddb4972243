"""What a search opens and reads: loopback with a token, no dashboard, nothing unpickled."""

import ast
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOKENS = ({"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64})
SOURCES = sorted((*ROOT.glob("ae_model/*.py"), *ROOT.glob("search/*.py")))


def _descendants(pid: int) -> set[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    found = {pid}
    while new := {child for child, parent in parents.items() if parent in found} - found:
        found |= new
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="sockets are listed in /proc on Linux alone")
def test_the_local_ray_listens_on_loopback_with_a_token_and_without_a_dashboard(tmp_path: Path) -> None:
    """While a search runs, its processes listen on loopback alone, and refuse a client that has no token."""
    command = [str(Path(sys.executable).with_name("ae-search")), "run", "--set", "search.max_epochs=3000"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as search:
        try:
            deadline = time.monotonic() + 120
            while not any("ImplicitFunc" in _command(pid) for pid in _descendants(search.pid)):
                assert search.poll() is None
                assert time.monotonic() < deadline, "no trial was started"
                time.sleep(0.2)
            family = _descendants(search.pid)
            listening = {address for pid in family for address in _listening(pid)}
            # Ray keeps the dashboard's process for its usage statistics, without a page: it listens nowhere.
            dashboard = {address for pid in family if "dashboard.py" in _command(pid) for address in _listening(pid)}
            commands = "\n".join(map(_command, family))
            gcs = re.search(r"--gcs-address=(127\.0\.0\.1:\d+)", commands)
            assert gcs is not None, commands
            friend, stranger = (_ask(gcs[1], environment | mode) for mode in TOKENS)
        finally:
            search.terminate()
    assert search.returncode == 130
    assert listening
    assert all(re.fullmatch(r"0100007F|0{8}0{8}FFFF00000100007F|0{24}01000000", a) for a in listening), listening
    assert not dashboard
    assert friend.returncode == 0, friend.stderr
    assert stranger.returncode != 0
    assert "AuthenticationError" in stranger.stderr


def _ask(address: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """List the nodes of a running Ray, as a client."""
    code = f"from ray._raylet import GcsClient; GcsClient(address='{address}').get_all_node_info(timeout=30)"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _listening(pid: int) -> set[str]:
    """Local addresses, in the kernel's hexadecimal, that a process listens on."""
    try:
        links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return set()
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    """No module imports a pickler, loads arrays with pickles, torch files, joblib or YAML, or runs text as code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml"}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "torch.load", "pd.read_pickle", "os.system")
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert options.get("allow_pickle", "False") == "False"
            assert options.get("shell", "False") == "False"
            if called == "np.load":
                assert options.get("allow_pickle") == "False", "the default is not relied upon"


def test_sql_is_never_made_of_values() -> None:
    """Statements are fixed texts: values are bound, and the only names put into one are columns of ours."""
    tree = ast.parse((ROOT / "search" / "ledger.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".execute", ".executemany")):
            assert not isinstance(node.args[0], ast.JoinedStr | ast.BinOp | ast.Call), ast.unparse(node)
