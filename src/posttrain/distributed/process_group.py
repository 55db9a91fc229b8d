"""Several processes, each with the whole model and its own rows, under torch.distributed."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from posttrain.errors import ConfigError


class ProcessGroup:
    """Plain data parallelism: every rank holds the whole model and its own rows; gradients are summed.

    `device` is where the model is: "cpu" (gloo) or this rank's GPU (nccl). Gradients are summed, not averaged,
    because the learner has divided each loss by the units of all ranks; and after the last micro-batch, not
    during it, because only then is it known that no rank failed. They travel in buckets of `bucket_bytes`:
    a message per bias would cost more than its bytes.

    Example, under torchrun:
        with ProcessGroup.join(device="cpu") as ranks:
            learner = Learner(policy, settings, collectives=ranks)
    """

    def __init__(self, device: torch.device | str = "cpu", *, bucket_bytes: int = 64 << 20) -> None:
        if not dist.is_initialized():
            raise ConfigError("no process group: start with torchrun and use ProcessGroup.join")
        self.device = torch.device(device)
        self.bucket_bytes = bucket_bytes
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        self.is_main = self.rank == 0

    @classmethod
    def join(cls, device: torch.device | str = "cpu", *, timeout_seconds: float = 1800.0) -> ProcessGroup:
        """The group that torchrun's environment describes; ConfigError without one.

        A rank waits `timeout_seconds` for the others: longer than the main rank ever needs to save.
        """
        missing = [
            name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ
        ]
        if missing:
            raise ConfigError(
                f"{', '.join(missing)} not set: start with `torchrun --nproc-per-node N`, or use one process"
            )
        backend = "nccl" if torch.device(device).type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=datetime.timedelta(seconds=timeout_seconds))
        return cls(device)

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, *_: object) -> None:
        dist.destroy_process_group()

    def sum(self, value: float) -> float:
        """The sum over ranks in the order of ranks, in float64, so that it has the same bits on each."""
        return float(sum(self.gather(float(value))))

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        """The elementwise sum over ranks; the input is left alone."""
        total = tensor.detach().to(self.device, copy=True).contiguous()
        dist.all_reduce(total)
        return total.to(tensor.device)

    def sum_gradients_(self, gradients: Sequence[Tensor]) -> None:
        """Each gradient becomes its sum over ranks, in the precision of the masters."""
        for bucket in self._buckets(gradients):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            dist.all_reduce(flat)
            start = 0
            for gradient in bucket:
                gradient.copy_(flat[start : start + gradient.numel()].view(gradient.shape))
                start += gradient.numel()

    def any(self, flag: bool) -> bool:
        """True on every rank when any rank's flag is."""
        return any(self.gather(bool(flag)))

    def all(self, flag: bool) -> bool:
        """True on every rank when all ranks' flags are."""
        return all(self.gather(bool(flag)))

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value as JSON; torch's own gather of objects would unpickle what a peer sends."""
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        length = torch.tensor([text.numel()], device=self.device)
        lengths = [torch.zeros_like(length) for _ in range(self.world_size)]
        dist.all_gather(lengths, length)
        sizes = [int(size) for size in torch.cat(lengths).tolist()]
        padded = torch.zeros(max(sizes), dtype=torch.uint8, device=self.device)
        padded[: text.numel()] = text.to(self.device)
        texts = [torch.empty_like(padded) for _ in range(self.world_size)]
        dist.all_gather(texts, padded)
        return [
            json.loads(bytes(found[:size].cpu().numpy())) for found, size in zip(texts, sizes, strict=True)
        ]

    def _buckets(self, gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
        """Neighbours of one dtype, up to `bucket_bytes` together."""
        bucket: list[Tensor] = []
        size = 0
        for gradient in gradients:
            nbytes = gradient.numel() * gradient.element_size()
            if bucket and (size + nbytes > self.bucket_bytes or gradient.dtype != bucket[0].dtype):
                yield bucket
                bucket, size = [], 0
            bucket.append(gradient)
            size += nbytes
        if bucket:
            yield bucket
