"""What copies take from the engine: a matrix product alone, and beside copies by each path.

    python3 test/gpu/measure_beside.py LIBTERRACE

Needs torch.
"""

import sys
import threading
import time

import layouts
import measure_copies
import terrace_abi as abi
import torch

SIDE = 8192
SECONDS = 1
THREADS = 8


def product_rate():
    """TFLOP/s of bf16 products, one after another."""
    one, other = (torch.randn(SIDE, SIDE, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    for _ in range(3):
        one @ other
    torch.cuda.synchronize()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        for _ in range(10):
            one @ other
        torch.cuda.synchronize()
        count += 10
    return count * 2 * SIDE**3 / (time.perf_counter() - started) / 1e12


class Copying:
    """Copies all blocks over and over, on threads of the library."""

    def __init__(self, bench, piece, path, operation):
        layers = max(1, measure_copies.BLOCK_BYTES // piece)
        layout = layouts.together("", layers, piece, bench.byte_count // (layers * piece))
        place = bench.terrace.open_place(layout.planes)
        bench.terrace.set_path(place, path)
        steps = list(bench.steps(layout, place, operation))
        self.rows = (abi.Step * len(steps))(*steps)
        self.queue = abi.Queue(bench.terrace, THREADS)
        self.round_bytes = layouts.payload_bytes(layout) * layout.blocks
        self.rounds, self.is_ending = 0, False
        self.thread = threading.Thread(target=self.work)

    def work(self):
        while not self.is_ending:
            self.queue.run(self.rows)
            self.rounds += 1

    def beside(self, work):
        """What `work` gives, and GB/s copied meanwhile."""
        self.queue.run(self.rows)
        self.thread.start()
        started = time.perf_counter()
        given = work()
        rate = self.rounds * self.round_bytes / (time.perf_counter() - started) / 1e9
        self.is_ending = True
        self.thread.join()
        self.queue.close()
        return given, rate


def main(library):
    bench = measure_copies.Bench(library, 1024)
    alone = product_rate()
    print(f"a bf16 product of {SIDE} x {SIDE} alone: {alone:.0f} TFLOP/s")
    print("| direction | piece | path | copied beside it | product |")
    print("|---|---|---|---|---|")
    for name, operation in (("to GPU", abi.SCATTER), ("from GPU", abi.GATHER)):
        for piece in (16 << 10, 64 << 10):
            for path in ("rows", "batch", "kernel"):
                rate, copied = Copying(bench, piece, path, operation).beside(product_rate)
                share = 100 * rate / alone
                print(f"| {name} | {piece >> 10} KiB | {path} | {copied:.1f} GB/s | {share:.0f} % |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
