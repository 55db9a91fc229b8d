"""`posttrain queue`: what it says and what it refuses."""

import pytest
from tests.preferences.quality.team import Team
from tests.tiny_reward_models import save_tiny_reward_model

from posttrain.cli import main
from posttrain.preferences.store.audit import audit_entries
from posttrain.preferences.store.database import open_store


@pytest.fixture
def store_file(tmp_path):
    path = tmp_path / "store.db"
    with open_store(path, must_exist=False) as store:
        team = Team(store)
        (item, _) = team.add(2, models=("sft", "ppo"))
        team.says(team.anna, item, 0, 1)
        team.says(team.ben, item, 1, 0)
    return str(path)


def test_each_queue_and_back(store_file, capsys, tmp_path):
    main(["queue", store_file, "--by", "disagreement"])
    assert "queue disagreement: 1 item first, of 1 on which people differ" in capsys.readouterr().out
    main(["queue", store_file, "--by", "models", "--new", "ppo"])
    assert "queue models ('ppo' against 'sft'): 2 items first" in capsys.readouterr().out
    folder = str(save_tiny_reward_model(tmp_path / "reward", calibration=None))
    main(["queue", store_file, "--by", "uncertainty", "--reward_model", folder, "--compute.device", "cpu"])
    said = capsys.readouterr().out
    assert "queue uncertainty" in said
    assert "bits on average" in said
    main(["queue", store_file, "--by", "none"])
    assert "2 items back in the order of import" in capsys.readouterr().out
    with open_store(store_file) as store:
        entries = audit_entries(store, action="queue_changed")
    assert [entry.subject for entry in entries] == ["none", "uncertainty", "models", "disagreement"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--by", "uncertainty"], "Set reward_model"),
        (["--by", "models", "--reward_model", "x"], "Remove one"),
        (["--by", "disagreement", "--new", "ppo"], "Remove them"),
        (["--by", "models", "--new", "pp0"], "Did you mean 'ppo'"),
        (["--by", "models"], "not clear which is new"),
        (["--by", "age"], "'disagreement'"),
    ],
)
def test_what_cannot_be_is_said(store_file, capsys, words, message):
    with pytest.raises(SystemExit) as ended:
        main(["queue", store_file, *words])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_store_that_is_not_there(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["queue", str(tmp_path / "none.db"), "--by", "disagreement"])
    assert "none.db" in capsys.readouterr().err
