"""What this machine can do at the shapes in use: matrix products and memory, the ceilings of everything else.

    .venv/bin/python bench/ceilings.py

Forward products are `x @ W.T` of every linear layer of SmolLM2-135M at so many rows; an update adds `dy @ W` and
`dy.T @ x`. Each is timed on its own with operands that are not in the cache, and the ceiling of a whole pass is all
its operations over the sum of these times: no pass made of these products can be faster.
"""

from __future__ import annotations

from measuring import report, seconds_of, spread, use_all_cores

use_all_cores()

import torch  # noqa: E402

WIDTH, KEY_WIDTH, INNER, LAYERS, VOCABULARY = 576, 192, 1536, 30, 49_152
LINEARS = {
    "query, output": (2 * LAYERS, WIDTH, WIDTH),
    "key, value": (2 * LAYERS, WIDTH, KEY_WIDTH),
    "gate, up": (2 * LAYERS, WIDTH, INNER),
    "down": (LAYERS, INNER, WIDTH),
}
"""Name -> how many there are, inputs, outputs."""
DECODING_ROWS = (8, 32, 64, 128, 256)
UPDATE_ROWS = (512, 1024, 2048, 4096)


def main() -> None:
    """Prints GFLOP/s by rows and dtype, forward and for an update, and GB/s of memory."""
    torch.manual_seed(0)
    found: dict[str, object] = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    for dtype in (torch.bfloat16, torch.float32):
        name = str(dtype).removeprefix("torch.")
        found[f"forward_{name}"] = {rows: forward_gflops(rows, dtype) for rows in DECODING_ROWS + UPDATE_ROWS}
        found[f"update_{name}"] = {rows: update_gflops(rows, dtype) for rows in UPDATE_ROWS}
    found["forward_prepacked_bfloat16"] = {rows: prepacked_gflops(rows) for rows in DECODING_ROWS}
    found["memory_gb_per_second"] = memory_bandwidth()
    report(found)


def forward_gflops(rows: int, dtype: torch.dtype) -> float:
    """Of all linear layers of the trunk, one after another, at that many rows."""
    weights = _weights(dtype)
    inputs = {width: torch.randn(rows, width, dtype=dtype) for width in (WIDTH, INNER)}

    def all_layers() -> None:
        for weight in weights:
            torch.nn.functional.linear(inputs[weight.shape[1]], weight)

    return _gflops(2 * rows * sum(weight.numel() for weight in weights), all_layers)


def prepacked_gflops(rows: int) -> float | None:
    """The same with weights in the order that the CPU's kernels want; None where this build of torch has none."""
    if not torch.backends.mkldnn.is_available():
        return None
    weights = _weights(torch.bfloat16)
    packed = [(w.shape, torch.ops.mkldnn._reorder_linear_weight(w.to_mkldnn(), rows)) for w in weights]
    inputs = {width: torch.randn(rows, width, dtype=torch.bfloat16) for width in (WIDTH, INNER)}

    def all_layers() -> None:
        for shape, weight in packed:
            torch.ops.mkldnn._linear_pointwise(inputs[shape[1]], weight, None, "none", [], "")

    return _gflops(2 * rows * sum(weight.numel() for weight in weights), all_layers)


def update_gflops(rows: int, dtype: torch.dtype) -> float:
    """Of the three products of each linear layer, and of the head at as many rows, in an update."""
    head = (1, WIDTH, VOCABULARY)
    operations, total = 0.0, 0.0
    for count, inputs, outputs in (*LINEARS.values(), head):
        copies = min(count, max(1, (64 << 20) // (inputs * outputs * 2)))  # so many do not fit into the cache
        weights = [torch.randn(outputs, inputs).to(dtype) for _ in range(copies)]
        part = rows if outputs != VOCABULARY else min(rows, 512)  # a head is computed in chunks
        x, dy = torch.randn(part, inputs).to(dtype), torch.randn(part, outputs).to(dtype)

        def products(
            weights: list[torch.Tensor] = weights, x: torch.Tensor = x, dy: torch.Tensor = dy
        ) -> None:
            for weight in weights:
                torch.nn.functional.linear(x, weight)
                dy @ weight
                dy.T @ x

        seconds = min(seconds_of(products, repeats=3)) / copies * (rows / part)
        operations += count * 3 * 2 * rows * inputs * outputs
        total += count * seconds
    return operations / total / 1e9


def memory_bandwidth() -> dict[str, float]:
    """GB/s of reading (a sum) and of copying (read and written) 512 MiB."""
    data = torch.zeros(128 << 20)
    other = torch.empty_like(data)
    size = data.numel() * 4 / 1e9
    reading = min(seconds_of(lambda: data.sum(), repeats=5))
    copying = min(seconds_of(lambda: other.copy_(data), repeats=5))
    return {"read": size / reading, "copy": 2 * size / copying}


def _weights(dtype: torch.dtype) -> list[torch.Tensor]:
    shapes = [(n, i, o) for n, i, o in LINEARS.values()]
    return [torch.randn(o, i).to(dtype) for n, i, o in shapes for _ in range(n)]


def _gflops(operations: int, work: object) -> float:
    assert callable(work)
    return operations / spread(seconds_of(work, repeats=5))["min"] / 1e9


if __name__ == "__main__":
    main()
