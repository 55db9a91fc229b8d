"""`posttrain store import` and `posttrain store export`: words, files, what is printed."""

from __future__ import annotations

import json

import pytest

from posttrain.cli import main

ROWS = [
    {"id": f"q/{number}/{name}", "prompt": "p", "responses": ["a", "b"], "ranks": [0, 1], "annotator": name}
    for number in range(2)
    for name in ("anna", "bo")
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_in_and_out(tmp_path, file, capsys):
    store, out = str(tmp_path / "store.db"), tmp_path / "pairs.jsonl"
    main(["store", "import", store, str(file)])
    said = capsys.readouterr().out
    for words in (
        "2 prompts added, 2 known already",
        "4 judgements added",
        "anna, bo",
        f"posttrain rank {store}",
    ):
        assert words in said
    main(["store", "export", store, str(out), "--format", "pairs", "--ties", "both"])
    said = capsys.readouterr().out
    assert "4 rows of pairs" in said
    assert len(out.read_text().splitlines()) == 4


def test_settings_from_a_file(tmp_path, file):
    settings = tmp_path / "import.toml"
    settings.write_text(
        f'store = "{tmp_path / "s.db"}"\nfiles = ["{file}"]\njudgements = "gold"\nannotator_names = {{ bo = "Bo" }}\n'
    )
    main(["store", "import", str(settings), "--prefix", "x/"])
    main(
        [
            "store",
            "import",
            str(tmp_path / "s.db"),
            str(file),
            "--format",
            "rankings",
            "--annotator-names.bo",
            "Bo",
        ]
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["store", "import"], "store is not set"),
        (["store", "import", "s.db"], "files is not set"),
        (["store", "import", "s.db", "missing.jsonl"], "does not exist"),
        (["store", "import", "s.db", "r.jsonl", "--formt", "pairs"], "Did you mean 'format'"),
        (["store", "export", "missing.db", "r.jsonl"], "missing.db"),
        (["store", "export", "s.db"], "file is not set"),
        (["store", "export", "s.db", "a.jsonl", "b.jsonl"], "one file"),
    ],
)
def test_errors_say_what_to_do(tmp_path, monkeypatch, capsys, words, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_password_in_an_address_is_refused_where_it_would_be_kept_and_not_repeated(capsys):
    with pytest.raises(SystemExit):
        main(["reward-model", "--data.path", "postgresql://anna:secret@localhost/db"])
    said = capsys.readouterr().err
    assert "PGPASSWORD" in said
    assert "secret" not in said


def test_help(capsys):
    with pytest.raises(SystemExit):
        main(["store", "export", "--help"])
    assert "chosen_probability" in " ".join(capsys.readouterr().out.split())
