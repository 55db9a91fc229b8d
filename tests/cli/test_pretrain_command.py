"""`posttrain pretrain` prints what was measured and what the model writes."""

from __future__ import annotations

import pytest

from posttrain.cli import main
from posttrain.commands import pretrain as command


@pytest.fixture
def words(tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat. " * 60)
    return [
        "pretrain",
        *("--output", str(tmp_path / "run")),
        *("--data.path", str(tmp_path / "text.txt")),
        *("--steps", "4", "--rows-per-step", "2", "--sequence-length", "16"),
        *("--new_model.layers", "1", "--new_model.width", "16", "--new_model.heads", "2"),
        *("--tokenizer.kind", "characters", "--compute.device", "cpu", "--compute.dtype", "float32"),
    ]


def test_it_prints_numbers_places_and_a_sample(words, tmp_path, capsys):
    main(words)
    first = capsys.readouterr().out
    assert "tokens a step" in first
    assert "up to 16 tokens" in first
    assert "held-out before:" in first
    last = first.splitlines()[-1]
    assert last.startswith("held-out after:  loss ")
    assert "bits per byte" in last
    assert str(tmp_path / "run/model") in first
    # A finished run is only read: the same numbers and the same sample.
    main(words)
    second = capsys.readouterr().out
    assert "complete" in second
    assert second.splitlines()[-1] == last
    sample = first.partition("not chosen:\n")[2].partition("\ncurve")[0]
    assert sample
    assert second.partition("not chosen:\n")[2].partition("\ncurve")[0] == sample


def test_a_sample_cannot_write_to_the_terminal(words, capsys, monkeypatch):
    monkeypatch.setattr(command, "sample_text", lambda *_: ("\x1b[31mred [bold]", 16))
    main(words)
    shown = capsys.readouterr().out
    assert "\x1b[31m" not in shown
    assert "red [bold]" in shown


def test_errors_end_with_2_and_a_sentence(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--sequence-length", "0"])
    assert ended.value.code == 2
    assert "sequence_length" in capsys.readouterr().err
