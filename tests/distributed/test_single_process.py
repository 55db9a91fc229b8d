import pytest
import torch

from posttrain.distributed import PeerError, ProcessGroup, SingleProcess, agreed
from posttrain.errors import ConfigError


def test_one_process_is_its_own_sum():
    alone = SingleProcess()
    x = torch.ones(3)
    total = alone.sum_tensor(x)
    total += 1
    assert x.tolist() == [1, 1, 1]
    alone.sum_gradients_([x])
    assert x.tolist() == [1, 1, 1]
    assert (alone.sum(2.5), alone.any(False), alone.all(True), alone.gather({"a": 1})) == (
        2.5,
        False,
        True,
        [{"a": 1}],
    )
    assert (alone.rank, alone.world_size, alone.is_main) == (0, 1, True)


def test_what_one_process_raises_comes_through_as_it_is():
    def fail() -> None:
        raise KeyError("of its own")

    with pytest.raises(KeyError, match="of its own"):
        agreed(SingleProcess(), fail)
    assert agreed(SingleProcess(), lambda: 7) == 7


def test_a_failure_elsewhere_stops_this_rank():
    class Two(SingleProcess):
        rank, world_size = 1, 2

        def gather(self, value):
            return ["Traceback ...\nValueError: on rank 0", value]

    with pytest.raises(PeerError, match=r"rank 0 failed, so rank 1 stops too(.|\n)*ValueError: on rank 0"):
        agreed(Two(), lambda: 7)


def test_without_torchrun_there_is_no_group(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="torchrun"):
        ProcessGroup.join()
    with pytest.raises(ConfigError, match="torchrun"):
        ProcessGroup()
