"""Two processes: an engine that has GPU memory, and the daemon's side that attaches it, copies, and outlives it.

    python3 test/gpu/check_attach.py LIBTERRACE
"""

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

import terrace_abi as abi
from device_memory import Device

TENSOR_BYTES = int(os.environ.get("TENSOR_MIB", "1")) << 20
TENSORS = 64
BLOCK_PIECE_BYTES = 64 << 10
BLOCKS = TENSOR_BYTES // BLOCK_PIECE_BYTES
PLANES = [(0, TENSOR_BYTES, BLOCK_PIECE_BYTES, TENSORS, BLOCK_PIECE_BYTES)]
PAYLOAD_BYTES = TENSORS * BLOCK_PIECE_BYTES
# What a process may have more of after one attach than before it, in bytes.
SMALL_BYTES = 4 << 20


def content(seed):
    return random.Random(seed).randbytes(TENSOR_BYTES)


def engine(library, kind):
    """The engine's process: answers each line of its standard input with one. Ends with its input."""
    terrace, device = abi.Terrace(library), Device()
    allocate = device.allocate if kind == "handles" else lambda count: device.allocate_exportable(count)[0]
    # Descriptors wait at the door together, and there is room for 64: half as many tensors of twice the size.
    count, size = (TENSORS, TENSOR_BYTES) if kind == "handles" else (TENSORS // 2, TENSOR_BYTES * 2)
    tensors = [allocate(size) for _ in range(count)]
    for number, address in enumerate(tensors):
        first = number * size // TENSOR_BYTES
        device.write(address, b"".join(content(first + i) for i in range(size // TENSOR_BYTES)))
    print("ready", flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        if "door" in wanted:
            parts = [terrace.export(at, size) for at in tensors]
            terrace.hand_device(wanted["door"], bytes.fromhex(wanted["token"]), parts)
            print("handed in", flush=True)
        else:
            at = tensors[wanted["tensor"] * TENSOR_BYTES // size] + wanted["tensor"] * TENSOR_BYTES % size
            print(device.read(at + wanted["offset"], wanted["byteCount"]).hex(), flush=True)


class Engine:
    """The engine's process, as others see it."""

    def __init__(self, library, kind):
        arguments = [sys.executable, os.path.abspath(__file__), library, kind]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            abi.fail(f"the engine with {kind} did not start")

    def ask(self, **fields):
        self.process.stdin.write(json.dumps(fields) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def hand_in(self, door, token):
        if self.ask(door=door, token=token.hex()) != "handed in":
            abi.fail("the engine did not hand its tensors in")

    def read(self, tensor, offset, byte_count):
        return bytes.fromhex(self.ask(tensor=tensor, offset=offset, byteCount=byte_count))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        self.process.stdin.close()
        return self.process.wait(30)


class Daemon:
    """The daemon's side: slots for all blocks, and a queue."""

    def __init__(self, terrace):
        self.terrace = terrace
        self.queue = abi.Queue(terrace, 4)
        self.slots = terrace.open_memory(PAYLOAD_BYTES * BLOCKS)
        self.window = terrace.address_of(self.slots, PAYLOAD_BYTES * BLOCKS)
        self.place = terrace.open_place(PLANES)
        self.is_pinned = False
        self.door_path = os.path.join(tempfile.mkdtemp(prefix="gpu-"), "door")
        self.door = terrace.open_door(self.door_path)

    def attach(self, token):
        started = time.monotonic()
        region = self.terrace.take_device(self.door, token, TENSORS * TENSOR_BYTES)
        attach_ms = (time.monotonic() - started) * 1e3
        if not self.is_pinned:
            abi.pin(self.queue, self.slots, PAYLOAD_BYTES * BLOCKS)
            self.is_pinned = True
        return region, attach_ms

    def gather(self, region, blocks):
        return self.queue.run([
            abi.step(abi.GATHER, source_region=region, source=block, target_region=self.slots,
                     target=slot * PAYLOAD_BYTES, byte_count=PAYLOAD_BYTES, place=self.place)
            for slot, block in enumerate(blocks)
        ])

    def scatter(self, region, blocks, sums):
        return self.queue.run([
            abi.step(abi.SCATTER, source_region=self.slots, source=slot * PAYLOAD_BYTES, target_region=region,
                     target=block, byte_count=PAYLOAD_BYTES, place=self.place, checksum=checksum)
            for slot, (block, checksum) in enumerate(zip(blocks, sums))
        ])


def expected(block):
    return b"".join(
        content(tensor)[block * BLOCK_PIECE_BYTES : (block + 1) * BLOCK_PIECE_BYTES] for tensor in range(TENSORS)
    )


def check_round_trip(daemon, engine, region, kind):
    """What the engine wrote arrives; what goes back to other blocks is what the engine then reads."""
    blocks = [5, 0, BLOCKS - 1, 7]
    done = daemon.gather(region, blocks)
    for slot, block in enumerate(blocks):
        got = ctypes.string_at(daemon.window + slot * PAYLOAD_BYTES, PAYLOAD_BYTES)
        if done[slot][0] != abi.OK or got != expected(block):
            abi.fail(f"{kind}: block {block} is not what the engine wrote (status {done[slot][0]})")
    targets = [10, 11, 12, 13]
    back = daemon.scatter(region, targets, [checksum for _, checksum in done])
    if any(status != abi.OK for status, _ in back):
        abi.fail(f"{kind}: scatter {back}")
    for block, target in zip(blocks, targets):
        for tensor in (0, TENSORS // 2 + 1, TENSORS - 1):
            check_seen(engine, tensor, target, block, kind)


def check_seen(engine, tensor, block, written, kind):
    seen = engine.read(tensor, block * BLOCK_PIECE_BYTES, BLOCK_PIECE_BYTES)
    if seen != content(tensor)[written * BLOCK_PIECE_BYTES : (written + 1) * BLOCK_PIECE_BYTES]:
        abi.fail(f"{kind}: the engine does not see block {written} at {block} of tensor {tensor}")


def check_engine_killed(terrace, daemon, device, library, kind):
    """An engine that dies leaves the daemon alive; its memory is free once the region is closed."""
    before = device.free_bytes()
    engine = Engine(library, kind)
    token = os.urandom(16)
    engine.hand_in(daemon.door_path, token)
    region, attach_ms = daemon.attach(token)
    check_round_trip(daemon, engine, region, kind)
    engine.kill()
    statuses = sorted({status for status, _ in daemon.gather(region, range(BLOCKS))})
    time.sleep(1)
    held = before - device.free_bytes()
    terrace.close_region(region)
    asked = time.monotonic()
    while before - device.free_bytes() > SMALL_BYTES and time.monotonic() - asked < 10:
        time.sleep(0.05)
    left = before - device.free_bytes()
    if left > SMALL_BYTES:
        abi.fail(f"{kind}: {left >> 20} MiB stay allocated after the engine's death and the close")
    print(
        f"attach by {kind}: {TENSORS} tensors, {TENSORS * TENSOR_BYTES >> 20} MiB in {attach_ms:.1f} ms; engine killed: "
        f"copies then end with {statuses}, {max(0, held) >> 20} MiB held until the region is closed, "
        f"{max(0, left) >> 20} after"
    )


def copy_for_ever(library, token):
    """A daemon that copies until it is killed."""
    terrace = abi.Terrace(library)
    Device()
    daemon = Daemon(terrace)
    print(daemon.door_path, flush=True)
    sys.stdin.readline()
    region, _ = daemon.attach(bytes.fromhex(token))
    sums = [checksum for _, checksum in daemon.gather(region, range(BLOCKS))]
    print("copying", flush=True)
    while True:
        daemon.scatter(region, range(BLOCKS), sums)
        daemon.gather(region, range(BLOCKS))


def check_daemon_killed(terrace, daemon, library):
    """A daemon that dies under copies leaves the engine its memory as it was, and the next one can attach."""
    engine = Engine(library, "handles")
    token = os.urandom(16)
    arguments = [sys.executable, os.path.abspath(__file__), library, "copy for ever", token.hex()]
    other = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    engine.hand_in(other.stdout.readline().strip(), token)
    other.stdin.write("\n")
    other.stdin.flush()
    if other.stdout.readline().strip() != "copying":
        abi.fail("the other daemon did not attach")
    time.sleep(0.3)
    other.send_signal(signal.SIGKILL)
    other.wait()
    for block in (0, 3, BLOCKS - 1):
        check_seen(engine, 9, block, block, "after the daemon's death")
    token = os.urandom(16)
    engine.hand_in(daemon.door_path, token)
    region, _ = daemon.attach(token)
    check_round_trip(daemon, engine, region, "the next daemon")
    terrace.close_region(region)
    status = engine.end()
    if status != 0:
        abi.fail(f"the engine ended with {status}")
    print("daemon killed under copies: the engine's memory is as it was, and the next daemon attaches")


def check_own_handle(terrace, device):
    address = device.allocate(2 << 20)
    try:
        terrace.open_device([terrace.export(address, 2 << 20)])
        abi.fail("a handle of one's own process was opened")
    except abi.Refused as refused:
        print(f'a handle of one\'s own process: refused, "{refused}"')
    device.free(address)


def main(library):
    terrace, device = abi.Terrace(library), Device()
    # The first use of the driver allocates for good: it shall not count as the engine's.
    address = device.allocate(1 << 20)
    own = terrace.open_device([terrace.own_part(address, 1 << 20)])
    daemon = Daemon(terrace)
    daemon.queue.run([abi.step(abi.GATHER, source_region=own, target_region=daemon.slots, byte_count=4096,
                               place=terrace.open_place([(0, 0, 4096, 1, 4096)]))] * 64)
    check_own_handle(terrace, device)
    for kind in ("handles", "handles", "descriptors"):
        check_engine_killed(terrace, daemon, device, library, kind)
    check_daemon_killed(terrace, daemon, library)


if __name__ == "__main__":
    if sys.argv[2:3] == ["copy for ever"]:
        copy_for_ever(sys.argv[1], sys.argv[3])
    elif len(sys.argv) > 2:
        engine(sys.argv[1], sys.argv[2])
    else:
        main(sys.argv[1])
