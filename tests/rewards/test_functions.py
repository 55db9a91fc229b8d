from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.rewards.rollouts_for_tests import rollout, rollouts

from posttrain.errors import ConfigError
from posttrain.rewards import RewardLimits, RewardTerm, build_reward, score
from posttrain.rewards.functions import FunctionReward

FILE = Path(__file__).with_name("user_rewards.py")
LIMITS = RewardLimits(time_limit_seconds=1.5, memory_limit_mb=768)


def of(name: str, **options: object) -> FunctionReward:
    return FunctionReward(f"{FILE}:{name}", **{"limits": LIMITS, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def faults() -> Iterator[FunctionReward]:
    with of("faults") as reward:
        yield reward


VALUES = {"true": 1.0, "false": 0.0, "numpy": 0.5, "print_low": 1.0, "print": 1.0, "ok": 1.0, "fork": 1.0}
UNSCORED = {
    "raise": "ValueError: bad sample",
    "exit": "SystemExit",
    "os_exit": "exited with status 3",
    "abort": "SIGABRT",
    "kill": "SIGKILL",
    "memory": "MemoryError",
    "memory_slowly": "MemoryError",
    "nan": "returned nan",
    "inf": "returned inf",
    "none": "returned None",
    "text": "'1.0' (str) where a number",
    "complex": "where a number is expected",
    "huge": "too large",
    "close": "worker process",
    "recursion": "RecursionError",
    "forge": "worker process",
    "deep_error": "Rude",
}
HANGING = ["sleep", "spin", "child"]


@pytest.mark.parametrize("fault", VALUES)
def test_values_that_count(faults: FunctionReward, fault: str) -> None:
    assert [s.value for s in faults(rollouts("ok", fault, "ok"))] == [1.0, VALUES[fault], 1.0]


@pytest.mark.parametrize("fault", UNSCORED)
def test_only_the_guilty_sample_is_unscored(faults: FunctionReward, fault: str) -> None:
    before, guilty, after = faults(rollouts("ok", fault, "ok"))
    assert (before.value, guilty.value, after.value) == (1.0, None, 1.0)
    assert UNSCORED[fault] in str(guilty.failure)


@pytest.mark.slow
@pytest.mark.parametrize("fault", HANGING)
def test_a_hang_is_ended(faults: FunctionReward, fault: str) -> None:
    started = time.monotonic()
    before, guilty, after = faults(rollouts("ok", fault, "ok"))
    assert (before.value, guilty.value, after.value) == (1.0, None, 1.0)
    assert "did not return within 1.5 s" in str(guilty.failure)
    assert time.monotonic() - started < 8


@pytest.mark.slow
def test_many_hangs_do_not_add_up() -> None:
    with of("faults", limits=RewardLimits(time_limit_seconds=0.3)) as reward:
        started = time.monotonic()
        scores = reward(rollouts(*["spin"] * 64))
    assert all(s.value is None for s in scores)
    assert "not tried" in str(scores[-1].failure)
    assert time.monotonic() - started < 10


def test_the_share_of_failures_stops_the_run_with_the_traceback(faults: FunctionReward) -> None:
    result = score(rollouts("ok", "raise", "ok", "ok"), faults, max_unscored_share=0.25)
    assert result.num_unscored == 1
    assert "user_rewards.py" in str(result.first_failure)


@pytest.mark.parametrize("name", ["wrong_length", "no_list"])
def test_a_result_that_is_no_list_of_that_length(name: str) -> None:
    with of(name) as reward:
        scores = reward(rollouts("a", "b"))
    assert [s.value for s in scores] == [None, None]
    assert "function" in str(scores[0].failure)


def test_a_filtering_function_loses_the_filtered_samples_only() -> None:
    with of("filtered") as reward:
        assert [s.value for s in reward(rollouts("a", "drop", "b"))] == [1.0, None, 1.0]


def test_trl_arguments() -> None:
    with of("only_completions") as reward:
        assert [s.value for s in reward(rollouts("a", "b", answer="a"))] == [1.0, 1.0]
    with of("with_answer") as reward:
        assert [s.value for s in reward([rollout("a", answer="a"), rollout("b", 1, answer="a")])] == [
            1.0,
            0.0,
        ]
        (missing,) = reward(rollouts("a"))
        assert "answer" in str(missing.failure)
    with of("shape") as reward:
        assert reward([rollout("a", messages=True)])[0].value == 1.0
    with of("awaited") as reward:
        assert reward(rollouts("a"))[0].value == 2.0


def test_verl_arguments() -> None:
    with of("compute_score", style="verl") as reward:
        rows = [
            rollout("7", data_source="d", ground_truth="7"),
            rollout(
                "7",
                1,
                data_source="d",
                reward_model={"ground_truth": "7", "style": "rule"},
                extra_info={"k": 1},
            ),
            rollout("8", 2, data_source="d", ground_truth="7"),
            rollout("raise", 3),
            rollout("dict", 4),
        ]
        scores = reward(rows)
    assert [s.value for s in scores] == [1.0, 1.0, 0.0, None, 0.5]
    assert "this sample" in str(scores[3].failure)


def test_options_and_verifier_style() -> None:
    with of("verifier", style="verifier", options={"bonus": 0.25}) as reward:
        assert [s.value for s in reward(rollouts("7", "8", answer="7"))] == [1.25, 0.25]


def test_lambdas_and_closures_work() -> None:
    offset = 3.0
    with FunctionReward(
        lambda completions, **_: [len(c) + offset for c in completions], limits=LIMITS
    ) as reward:
        assert [s.value for s in reward(rollouts("a", "bb"))] == [4.0, 5.0]


def test_functions_of_main_work(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from posttrain.rewards import RewardTerm, build_reward\n"
        "from posttrain.types import Prompt, Rollout\n"
        "def mine(completions, **kwargs):\n    return [float(len(c)) for c in completions]\n"
        "if __name__ == '__main__':\n"
        "    reward = build_reward([RewardTerm(function=mine)])\n"
        "    print(reward([Rollout(Prompt('p', 'q'), 0, (1,), (0.0,), 'eos', 'abc', 0)])[0].value)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "3.0\n"


def test_a_worker_is_reused_and_closed() -> None:
    reward = of("process")
    first, second = reward(rollouts("a"))[0].value, reward(rollouts("a"))[0].value
    assert first == second
    assert first is not None
    os.kill(int(first), 0)
    reward.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(first), 0)
    with pytest.raises(RuntimeError, match="closed"):
        reward(rollouts("a"))


def test_a_worker_imports_no_torch() -> None:
    with of("has_torch") as reward:
        assert reward(rollouts("a"))[0].value == 0.0


def test_results_stay_in_order_over_several_workers() -> None:
    rows = [rollout("a", i, number=i, delay=0.05 if i % 3 == 0 else 0.0) for i in range(20)]
    with of("slow_by_index", style="verifier", limits=RewardLimits(num_workers=3)) as reward:
        assert [s.value for s in reward(rows)] == list(range(20))
    with of("process", limits=RewardLimits(num_workers=2)) as reward:
        assert len({s.value for s in reward(rows)}) == 2


def test_columns_that_cannot_be_sent_void_their_sample_only() -> None:
    rows = [rollout("a"), rollout("b", 1, lock=threading.Lock()), rollout("c", 2)]
    with of("good") as reward:
        assert [s.value for s in reward(rows)] == [1.0, None, 1.0]


def test_a_file_that_changes_during_the_run_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import os\ndef f(completions, **kw):\n    return [1.0 if c != 'die' else os._exit(1) for c in completions]\n"
    )
    with FunctionReward(f"{file}:f", limits=LIMITS) as reward:
        assert reward(rollouts("a"))[0].value == 1.0
        file.write_text("def f(completions, **kw):\n    return [2.0 for c in completions]\n")
        assert [s.value for s in reward(rollouts("die", "a"))] == [None, 1.0]


@pytest.mark.parametrize(
    ("source", "reference", "words"),
    [
        ("def reward(completions): ...", "mine.py:rewrd", "did you mean 'reward'"),
        ("def reward(completions): ...", "mien.py:reward", "did you mean 'mine.py'"),
        ("def reward(:", "mine.py:reward", "line 1"),
        ("def reward(data_source, solution_str, ground_truth): ...", "mine.py:reward", "set style = 'verl'"),
        ("raise RuntimeError('on import')\ndef reward(completions): ...", "mine.py:reward", "on import"),
        ("import not_there_at_all\ndef reward(completions): ...", "mine.py:reward", "not_there_at_all"),
        ("reward = 3", "mine.py:reward", "not callable"),
        ("import os; os._exit(5)\ndef reward(completions): ...", "mine.py:reward", "exited with status 5"),
    ],
)
def test_functions_that_cannot_be_used(tmp_path: Path, source: str, reference: str, words: str) -> None:
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(ConfigError, match=words):
        build_reward([RewardTerm(function=reference)], folder=tmp_path)


def test_a_callable_that_cannot_be_sent() -> None:
    lock = threading.Lock()
    with pytest.raises(ConfigError, match="cannot be sent to the worker"):
        FunctionReward(lambda completions, **_: [float(lock.locked())] * len(completions))


@pytest.mark.parametrize("limits", [{"num_workers": 0}, {"time_limit_seconds": 0}, {"memory_limit_mb": 1}])
def test_limits_that_cannot_work(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        RewardLimits(**limits)  # type: ignore[arg-type]


@pytest.mark.slow
def test_ctrl_c_ends_the_parent_and_its_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\nfrom posttrain.rewards.functions import FunctionReward\n"
        "from posttrain.types import Prompt, Rollout\n"
        "def hang(completions, **kwargs):\n"
        "    open(sys.argv[1] if False else PATH, 'w').write(str(os.getpid()))\n"
        "    while True: pass\n"
        f"PATH = {str(tmp_path / 'pid')!r}\n"
        "reward = FunctionReward(hang)\n"
        "reward([Rollout(Prompt('p', 'q'), 0, (1,), (0.0,), 'eos', 'abc', 0)])\n"
    )
    for signal_number in (2, 9):
        (tmp_path / "pid").unlink(missing_ok=True)
        parent = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE)
        worker = int(_wait_for_text(tmp_path / "pid"))
        parent.send_signal(signal_number)
        try:
            parent.communicate(timeout=60)
        finally:
            parent.kill()
        assert parent.returncode != 0
        _wait_until_gone(worker)


def _wait_for_text(path: Path) -> str:
    for _ in range(1200):
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{path} was never written")


def _wait_until_gone(process: int) -> None:
    for _ in range(1200):
        try:
            if "\nState:\tZ" in Path(f"/proc/{process}/status").read_text():
                return
        except FileNotFoundError:
            return
        time.sleep(0.05)
    raise AssertionError(f"the worker {process} outlived its parent")
