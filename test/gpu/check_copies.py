"""Bit-equal round trips: every layout by every path, through pinned and ordinary slots, in mixed-up order.

    python3 test/gpu/check_copies.py LIBTERRACE
"""

import ctypes
import os
import random
import sys

import layouts
import terrace_abi as abi
from device_memory import Device

LAYOUTS = [
    layouts.per_layer("a tensor per layer and kind", 4, 2, 8192, 12),
    layouts.per_layer("latent, one kind", 7, 1, 18432, 9),
    layouts.together("one tensor, layers outermost", 6, 4096, 16),
    layouts.contiguous("one tensor, blocks outermost", 4, 16384, 16),
    layouts.together("odd pieces", 3, 1000, 20),
    layouts.together("pieces of a few units", 5, 48, 40),
    layouts.together("more pieces than a launch or a call takes", 700, 64, 5),
    layouts.per_layer("pieces that are cut", 2, 1, 200_000, 4),
    layouts.Layout("two kinds of pieces", [40_000, 24_000], [(0, 10_000, 1000, 4, 1000), (40_000, 8000, 800, 3, 800)], 10),
]


def slot_stride(layout):
    payload = layouts.payload_bytes(layout)
    return (payload + abi.SLOT_PAGE_BYTES - 1) // abi.SLOT_PAGE_BYTES * abi.SLOT_PAGE_BYTES


class Rig:
    """One layout's memory on the GPU, with as many slots on the host as it has blocks."""

    def __init__(self, terrace, device, queue, layout, is_pinned):
        self.terrace, self.device, self.queue, self.layout = terrace, device, queue, layout
        self.payload, self.stride = layouts.payload_bytes(layout), slot_stride(layout)
        self.addresses = [device.allocate(tensor) for tensor in layout.tensors]
        parts = [terrace.own_part(at, tensor) for at, tensor in zip(self.addresses, layout.tensors)]
        self.region = terrace.open_device(parts)
        self.slots = terrace.open_memory(self.stride * layout.blocks)
        self.window = terrace.address_of(self.slots, self.stride * layout.blocks)
        self.place = terrace.open_place(layout.planes)
        if is_pinned:
            self.pin(queue)

    def pin(self, queue):
        try:
            abi.pin(queue, self.slots, self.stride * self.layout.blocks)
        except abi.Refused:
            # A driver that pins nothing costs speed alone.
            if os.environ.get("PIN") != "refused":
                raise

    def write_all(self, content):
        at = 0
        for address, tensor in zip(self.addresses, self.layout.tensors):
            self.device.write(address, content[at : at + tensor])
            at += tensor

    def read_all(self):
        return b"".join(self.device.read(at, tensor) for at, tensor in zip(self.addresses, self.layout.tensors))

    def slot(self, index):
        return ctypes.string_at(self.window + index * self.stride, self.payload)

    def gather(self, pairs):
        steps = [
            abi.step(abi.GATHER, source_region=self.region, source=block, target_region=self.slots,
                     target=slot * self.stride, byte_count=self.payload, place=self.place)
            for block, slot in pairs
        ]
        return self.queue.run(steps)

    def scatter(self, pairs, sums):
        steps = [
            abi.step(abi.SCATTER, source_region=self.slots, source=slot * self.stride, target_region=self.region,
                     target=block, byte_count=self.payload, place=self.place, checksum=checksum)
            for (slot, block), checksum in zip(pairs, sums)
        ]
        return self.queue.run(steps)

    def close(self):
        self.terrace.close_region(self.region)
        self.terrace.close_region(self.slots)
        self.terrace.close_place(self.place)
        for address in self.addresses:
            self.device.free(address)


def expected_slot(layout, content, block):
    return b"".join(content[at : at + count] for at, count in layouts.pieces_of(layout, block))


def check(rig, path, chance):
    layout = rig.layout
    rig.terrace.set_path(rig.place, path)
    content = chance.randbytes(sum(layout.tensors))
    rig.write_all(content)
    out = list(range(layout.blocks))
    chance.shuffle(out)
    ctypes.memset(rig.window, 0xEE, rig.stride * layout.blocks)
    done = rig.gather(list(zip(out, range(layout.blocks))))
    for slot, block in enumerate(out):
        wanted = expected_slot(layout, content, block)
        status, checksum = done[slot]
        if status != abi.OK:
            return f"gather of block {block}: status {status}"
        if rig.slot(slot) != wanted:
            return f"gather of block {block}: other bytes"
        if checksum != rig.terrace.crc32c(rig.window + slot * rig.stride, rig.payload):
            return f"gather of block {block}: the sum is not of the slot"
    # Back to other blocks, and only to half of them: what is not named must not change.
    back = out[: layout.blocks // 2]
    pairs = [(slot, block) for slot, block in enumerate(reversed(back))]
    wiped = bytearray(b"\xff" * len(content))
    rig.write_all(bytes(wiped))
    done = rig.scatter(pairs, [done[slot][1] for slot, _ in pairs])
    if any(status != abi.OK for status, _ in done):
        return f"scatter: {done}"
    for slot, block in pairs:
        payload = rig.slot(slot)
        at = 0
        for offset, count in layouts.pieces_of(layout, block):
            wiped[offset : offset + count] = payload[at : at + count]
            at += count
    if rig.read_all() != bytes(wiped):
        return "scatter: other bytes on the GPU"
    status, _ = rig.scatter([(0, 0)], [12345])[0]
    return None if status == abi.CHECKSUM else f"a wrong sum was not told: {status}"


def check_neighbours(terrace, device, queue):
    """Allocations that happen to touch are two all the same: no copy goes from one into the other."""
    size = 2 << 20
    addresses = sorted(device.allocate(size) for _ in range(8))
    pairs = [(one, other) for one, other in zip(addresses, addresses[1:]) if one + size == other]
    for one, other in pairs:
        region = terrace.open_device([terrace.own_part(one, size), terrace.own_part(other, size)])
        slots = terrace.open_memory(2 * size)
        place = terrace.open_place([(0, size, size, 2, size)])
        for path in abi.PATHS:
            terrace.set_path(place, path)
            wanted = abi.step(abi.GATHER, source_region=region, target_region=slots, byte_count=2 * size, place=place)
            status, _ = queue.run([wanted])[0]
            if status != abi.OK:
                abi.fail(f"neighbours, {path}: status {status}")
        terrace.close_region(region)
        terrace.close_region(slots)
    for address in addresses:
        device.free(address)
    return len(pairs)


def main(library):
    terrace = abi.Terrace(library)
    device = Device()
    queue = abi.Queue(terrace, 3)
    chance = random.Random(int(os.environ.get("SEED", "7")))
    count = 0
    for is_pinned in (True, False):
        for layout in LAYOUTS:
            rig = Rig(terrace, device, queue, layout, is_pinned)
            for path in abi.PATHS:
                wrong = check(rig, path, chance)
                if wrong is not None:
                    abi.fail(f"{layout.name}, {path}, {'pinned' if is_pinned else 'ordinary'} slots: {wrong}")
                count += 1
            rig.close()
    pairs = check_neighbours(terrace, device, queue)
    queue.close()
    print(f"allocations that touch: {pairs}, copied one by one")
    print(f"copies: {count} combinations of layout, path and slots are equal to the bit")


if __name__ == "__main__":
    main(sys.argv[1])
