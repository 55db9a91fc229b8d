"""What users write, and what goes wrong with it; loaded by the workers, never by the tests themselves."""

import contextlib
import os
import subprocess
import sys
import time


def good(prompts, completions, **kwargs):
    return [float(len(completion)) for completion in completions]


def only_completions(completions):
    return [1.0 for _ in completions]


def with_answer(completions, answer):
    return [float(a in c) for c, a in zip(completions, answer, strict=False)]


def shape(prompts, completions, completion_ids, **kwargs):
    return [
        float(c == [{"role": "assistant", "content": "a"}] and p[-1]["role"] == "user" and ids == [0])
        for p, c, ids in zip(prompts, completions, completion_ids, strict=False)
    ]


async def awaited(completions, **kwargs):
    return [2.0 for _ in completions]


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    if solution_str == "raise":
        raise RuntimeError("this sample")
    if solution_str == "dict":
        return {"score": 0.5, "further": 3}
    return float(solution_str == ground_truth and data_source == "d" and (extra_info or {}).get("k", 1) == 1)


def verifier(completion, columns, bonus=0.0):
    return float(completion == columns["answer"]) + bonus


def faults(completions, **kwargs):
    return [_fault(completion) for completion in completions]


def _fault(text):
    match text:
        case "raise":
            raise ValueError("bad sample")
        case "exit":
            sys.exit(0)
        case "os_exit":
            os._exit(3)
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), 9)
        case "sleep":
            time.sleep(1e6)
        case "spin":
            while True:
                pass
        case "memory":
            return float(len(bytearray(10**12)))
        case "memory_slowly":
            held = []
            while True:
                held.append(bytearray(10**8))
        case "nan":
            return float("nan")
        case "inf":
            return float("inf")
        case "none":
            return None
        case "text":
            return "1.0"
        case "complex":
            return 1j
        case "huge":
            return 10**400
        case "true":
            return True
        case "false":
            return False
        case "numpy":
            import numpy

            return numpy.float32(0.5)
        case "close":
            os.closerange(0, 1000)
        case "print":
            for _ in range(1000):
                print("x" * 1_000_000)
        case "print_low":
            for _ in range(100):
                os.write(1, b"x" * 1_000_000)
        case "recursion":
            return _fault(text)
        case "fork":
            if os.fork() == 0:
                return 9.0
        case "child":
            subprocess.Popen(["sleep", "1000"])
            time.sleep(1e6)
        case "forge":
            for descriptor in range(3, 20):
                with contextlib.suppress(OSError):
                    os.write(descriptor, b"\xff" * 64)
        case "deep_error":
            raise _Rude()
    return 1.0


class _Rude(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def wrong_length(completions, **kwargs):
    return [1.0] * (len(completions) + 1)


def no_list(completions, **kwargs):
    return 1.0


def filtered(completions, **kwargs):
    return [1.0 for completion in completions if completion != "drop"]


def process(completions, **kwargs):
    return [float(os.getpid()) for _ in completions]


def has_torch(completions, **kwargs):
    return [float("torch" in sys.modules) for _ in completions]


def slow_by_index(completion, columns):
    time.sleep(columns["delay"])
    return float(columns["number"])
