"""How fast blocks go between GPU and host, as a share of one large copy in the same run.

    python3 test/gpu/measure_copies.py LIBTERRACE [MIB]

Each row is one direction, one size of pieces, one number of threads; each column a path. A block has 2 MiB, or one
piece where that is larger; blocks are taken in mixed-up order.
"""

import ctypes
import os
import random
import statistics
import sys
import time
from ctypes import byref, c_size_t, c_uint, c_uint64, c_void_p

import layouts
import terrace_abi as abi
from device_memory import Device

PIECES = [int(one) << 10 for one in os.environ.get("PIECES_KIB", "4,8,16,24,32,64,256,2048").split(",")]
THREADS = [int(one) for one in os.environ.get("THREADS", "1,4,8").split(",")]
PATHS = os.environ.get("PATHS", "loop,rows,batch,kernel").split(",")
BLOCK_BYTES = 2 << 20


def ceiling(device, window, address, byte_count):
    """GB/s of one large pinned copy each way: the best of five."""
    stream = c_void_p()
    device.call("cuStreamCreate", byref(stream), c_uint(1))
    rates = {}
    for name in ("to GPU", "from GPU"):
        best = 0
        for _ in range(5):
            started = time.perf_counter()
            if name == "to GPU":
                device.call("cuMemcpyHtoDAsync_v2", c_uint64(address), c_void_p(window), c_size_t(byte_count), stream)
            else:
                device.call("cuMemcpyDtoHAsync_v2", c_void_p(window), c_uint64(address), c_size_t(byte_count), stream)
            device.call("cuStreamSynchronize", stream)
            best = max(best, byte_count / (time.perf_counter() - started) / 1e9)
        rates[name] = best
    return rates


class Bench:
    def __init__(self, library, mib):
        self.terrace, self.device = abi.Terrace(library), Device()
        self.byte_count = mib << 20
        self.address = self.device.allocate(self.byte_count)
        self.region = self.terrace.open_device([self.terrace.own_part(self.address, self.byte_count)])
        self.slots = self.terrace.open_memory(self.byte_count)
        self.window = self.terrace.address_of(self.slots, self.byte_count)
        queue = abi.Queue(self.terrace, 16)
        started = time.perf_counter()
        abi.pin(queue, self.slots, self.byte_count)
        self.pin_s = time.perf_counter() - started
        queue.close()
        ctypes.memset(self.window, 0x5A, self.byte_count)
        self.ceiling = ceiling(self.device, self.window, self.address, self.byte_count)

    def steps(self, layout, place, operation):
        payload = layouts.payload_bytes(layout)
        order = list(range(layout.blocks))
        random.Random(3).shuffle(order)
        slot = (self.slots, self.region)
        for number, block in enumerate(order):
            where = (block, number * payload) if operation == abi.GATHER else (number * payload, block)
            source, target = slot[::-1] if operation == abi.GATHER else slot
            yield abi.step(operation, source_region=source, target_region=target, source=where[0], target=where[1],
                           byte_count=payload, place=place)

    def rate(self, piece, path, threads, operation):
        layers = max(1, BLOCK_BYTES // piece)
        layout = layouts.together("", layers, piece, self.byte_count // (layers * piece))
        place = self.terrace.open_place(layout.planes)
        self.terrace.set_path(place, path)
        queue = abi.Queue(self.terrace, threads)
        steps = list(self.steps(layout, place, operation))
        rows = (abi.Step * len(steps))(*steps)
        queue.run(rows)
        times = []
        while len(times) < 3 and sum(times) < 1:
            started = time.perf_counter()
            done = queue.run(rows)
            times.append(time.perf_counter() - started)
            if any(status != abi.OK for status, _ in done):
                abi.fail(f"{path}, pieces of {piece}: {done[0]}")
        queue.close()
        self.terrace.close_place(place)
        return layouts.payload_bytes(layout) * layout.blocks / statistics.median(times) / 1e9


def main(library, mib):
    bench = Bench(library, mib)
    print(bench.terrace.describe_devices())
    print(f"pinned {mib} MiB in {bench.pin_s:.2f} s; one large copy: "
          + ", ".join(f"{name} {rate:.1f} GB/s" for name, rate in bench.ceiling.items()))
    print("| direction | threads | piece | " + " | ".join(PATHS) + " |")
    print("|---|---|---|" + "---|" * len(PATHS))
    for name, operation in (("to GPU", abi.SCATTER), ("from GPU", abi.GATHER)):
        for threads in THREADS:
            for piece in PIECES:
                rates = [bench.rate(piece, path, threads, operation) for path in PATHS]
                cells = [f"{rate:.1f} ({100 * rate / bench.ceiling[name]:.0f} %)" for rate in rates]
                print(f"| {name} | {threads} | {piece >> 10} KiB | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1024)
