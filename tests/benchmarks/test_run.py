"""`make bench` itself, as a process: it measures, keeps what it has, judges and goes on.

Other queues are not installed here: all that is measured is ours.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
# The daemons of a run know their own variables, not those of the tests.
ENVIRON = {name: text for name, text in os.environ.items() if not name.startswith("ASYNCMQD_")}
OURS = ["--peer", "asyncmqd", "--work", "drain", "--scale", "0.01"]


def bench(path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCHMARKS / "run.py", "--json", path, *arguments]
    return subprocess.run(
        command, env=ENVIRON | environ, capture_output=True, text=True, check=False
    )


def written(path: Path, values: dict, machine: dict | None = None) -> Path:
    """The values of a run that has ended."""
    counts = {work: dict.fromkeys(peers, 100) for work, peers in values.items()}
    path.write_text(json.dumps({"machine": machine or {}, "values": values, "counts": counts}))
    return path


def test_it_measures_every_run_and_counts_what_was_done(tmp_path):
    path = tmp_path / "results.json"
    ended = bench(path, *OURS, "--runs", "2")
    assert "Drain of no-op jobs, 100 slots" in ended.stdout, ended.stderr
    runs = json.loads(path.read_text())["values"]["drain"]["asyncmqd"]
    assert len(runs) == 2
    for run in runs:
        assert run["more_runs"] == 0
        assert run["rate"] > 0
        assert run["stored_per_job"] > 0
        assert 0 < run["reads_per_job"] < 1


@pytest.mark.full
def test_two_versions_take_turns_each_with_its_own_code(tmp_path):
    path = tmp_path / "results.json"
    compare = "--against", "HEAD", *OURS[2:]
    ended = bench(path, *compare, "--runs", "2", PYTHONDONTWRITEBYTECODE="1")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    begun = [line.split(": ")[2] for line in ended.stdout.splitlines() if " jobs/s (" in line]
    now, then = "asyncmqd", next(name for name in begun if " at " in name)
    assert [name for name in begun if "sqlite" not in name] == [now, then, then, now]
    assert re.search(r"Drain .* redis .* \d\.\d{3} +\| .* 2 +\| ", ended.stdout), ended.stdout
    package = BENCHMARKS.parent / ".bench/revisions" / then.split()[-1] / "asyncmqd"
    assert list(package.glob("admin/__pycache__/causes.*.pyc")), "jobs would pay for compiling it"
    (package / "__init__.py").write_text("raise SystemExit('planted')")
    try:
        ended = bench(path, *compare, "--runs", "1")
    finally:
        shutil.rmtree(package.parent)
    failed = [line for line in ended.stdout.splitlines() if "planted" in line]
    assert any(f"{then}: " in line for line in failed), "the earlier code was not imported"
    assert not any(f"{now}: " in line for line in failed)


def test_a_revision_that_is_not_there_is_named(tmp_path):
    ended = bench(tmp_path / "results.json", "--against", "no-such")
    assert ended.stderr == "--against: expected a revision of this repository, got 'no-such'\n"


@pytest.mark.full
def test_a_run_that_is_stopped_keeps_what_it_has_and_goes_on_later(tmp_path):
    path = tmp_path / "results.json"
    command = [sys.executable, BENCHMARKS / "run.py", "--json", path, *OURS, "--runs", "1000"]
    command.append("--write")
    page = BENCHMARKS.parent / "docs" / "performance.md"
    before = page.read_text()
    with subprocess.Popen(command, env=ENVIRON, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                if line.startswith("2: "):  # the second value; the first is in the file
                    break
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 1
    assert "stopped: --resume goes on from here" in output
    assert page.read_text() == before
    kept = json.loads(path.read_text())["values"]["drain"]["asyncmqd"]
    ended = bench(path, *OURS, "--resume", "--runs", str(len(kept) + 1))
    assert "Drain of no-op jobs" in ended.stdout, ended.stderr
    runs = json.loads(path.read_text())["values"]["drain"]["asyncmqd"]
    assert runs[:-1] == kept


@pytest.mark.parametrize(
    ("ours", "verdict", "code"), [(41_000.0, "met", 0), (39_000.0, "**missed**", 1)]
)
def test_goals_are_ratios_of_medians_and_a_missed_one_is_the_exit_code(
    tmp_path, ours, verdict, code
):
    drain = {
        "asyncmqd": [{"rate": 1.0}, {"rate": ours}, {"rate": 90_000.0}],
        "bullmq": [{"rate": 10_000.0}],
    }
    path = written(tmp_path / "results.json", {"drain": drain})
    ended = bench(path, *OURS, "--resume", "--runs", "0")
    row = f"| drain / BullMQ | at least 4 | {ours / 10_000:.2f} (bullmq) | {verdict} |"
    assert row in ended.stdout
    assert ended.returncode == code


def test_the_report_says_where_we_lose(tmp_path):
    single = {"asyncmqd": [{"rate": 4_000.0}], "huey": [{"rate": 5_000.0}]}
    path = written(tmp_path / "results.json", {"single": single})
    ended = bench(path, *OURS, "--resume", "--runs", "0")
    assert "- Enqueue, one at a time, times asyncmqd: huey 1.25" in ended.stdout


@pytest.mark.full
def test_a_peer_that_cannot_run_here_is_named_and_the_others_go_on(tmp_path):
    path = tmp_path / "results.json"
    ended = bench(path, *OURS, "--runs", "1", "--peer", "bullmq", PATH=str(tmp_path))
    assert "bullmq is left out: node and npm are not installed" in ended.stdout, ended.stderr
    assert "- bullmq: left out: node and npm are not installed" in ended.stdout
    assert len(json.loads(path.read_text())["values"]["drain"]["asyncmqd"]) == 1


def test_a_python_that_is_too_old_for_a_peer_is_named(tmp_path):
    program = "import environments; environments._python((3, 99))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=BENCHMARKS,
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "needs Python 3.99, but this is 3." in ended.stderr
