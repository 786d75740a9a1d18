"""What cannot be right is refused in words, before anything is touched.

    python3 test/gpu/check_refusals.py LIBTERRACE
"""

import ctypes
import errno
import os
import re
import sys

import terrace_abi as abi
from device_memory import Device

REGION_BYTES = 64 << 10


def refused(what, pattern, call):
    try:
        call()
    except abi.Refused as refusal:
        if re.search(pattern, str(refusal)) is None:
            abi.fail(f"{what}: refused with \"{refusal}\"")
        return
    abi.fail(f"{what}: was not refused")


class Rig:
    def __init__(self, library):
        self.terrace, self.device = abi.Terrace(library), Device()
        self.queue = abi.Queue(self.terrace, 1)
        self.addresses = [self.device.allocate(REGION_BYTES) for _ in range(2)]
        self.parts = [self.terrace.own_part(address, REGION_BYTES) for address in self.addresses]
        self.region = self.terrace.open_device(self.parts)
        self.slots = self.terrace.open_memory(REGION_BYTES)
        self.place = self.terrace.open_place([(0, 0, 4096, 1, 4096)])
        memory = os.memfd_create("shrinks")
        os.ftruncate(memory, REGION_BYTES)
        self.fragile = self.terrace._opened("terrace_open_shared", memory, ctypes.c_uint64(REGION_BYTES), 1)

    def run(self, operation, **fields):
        fields = {"byte_count": 4096, "place": self.place, **fields}
        return self.queue.run([abi.step(operation, **fields)])


def check_steps(rig):
    device, slots = rig.region, rig.slots
    gather = {"source_region": device, "target_region": slots}
    refused("a copy from the GPU", "sourceRegion: must be host memory", lambda: rig.run(abi.COPY, **gather))
    refused("a sum on the GPU", "sourceRegion: must be host memory", lambda: rig.run(abi.SUM, **gather))
    refused("a gather to the GPU", "targetRegion: must be host memory",
            lambda: rig.run(abi.GATHER, source_region=device, target_region=device))
    refused("a slot that can vanish", "targetRegion: can be shortened by its owner",
            lambda: rig.run(abi.GATHER, source_region=device, target_region=rig.fragile))
    refused("a slot that can vanish", "sourceRegion: can be shortened by its owner",
            lambda: rig.run(abi.SCATTER, source_region=rig.fragile, target_region=device))
    refused("a block past the end", "source: block 32 reaches outside the region",
            lambda: rig.run(abi.GATHER, **gather, source=32))
    across = rig.terrace.open_place([(REGION_BYTES - 2048, 0, 4096, 1, 4096)])
    refused("a piece over two parts", "source: a piece of block 0 crosses two parts",
            lambda: rig.run(abi.GATHER, **{**gather, "place": across}))
    read_only = rig.terrace.open_device(rig.parts, writable=False)
    refused("a scatter into what is read only", "targetRegion: is open for reading only",
            lambda: rig.run(abi.SCATTER, source_region=slots, target_region=read_only))
    refused("pinning GPU memory", "targetRegion: must be host memory", lambda: rig.run(abi.PIN, target_region=device))
    refused("pinning half a page", "byteCount: must be a multiple of 4096",
            lambda: rig.run(abi.PIN, target_region=slots, byte_count=100))
    refused("pinning past the end", "byteCount: outside region",
            lambda: rig.run(abi.PIN, target_region=slots, byte_count=REGION_BYTES + 4096))
    refused("pinning what can vanish", "targetRegion: can be shortened",
            lambda: rig.run(abi.PIN, target_region=rig.fragile))
    refused("a path that is none", "path: 5 is unknown",
            lambda: rig.terrace._call("terrace_set_path", ctypes.c_uint32(rig.place), ctypes.c_uint32(5)))
    if rig.run(abi.PIN, target_region=slots, byte_count=REGION_BYTES)[0][0] != abi.OK:
        abi.fail("memory of one's own was not pinned")
    if rig.run(abi.PIN, target_region=slots, byte_count=4096)[0][0] != -errno.EEXIST:
        abi.fail("what is pinned was pinned again")


def part(rig, **changes):
    changed = abi.Part.from_buffer_copy(rig.parts[0])
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


def check_parts(rig):
    open_parts = rig.terrace.open_device
    refused("no parts", "parts: must be 1 to", lambda: open_parts([]))
    refused("a part of another size", r"parts\[0\].size", lambda: open_parts([part(rig, size=8)]))
    refused("an unknown kind", r"parts\[0\].kind: 9", lambda: open_parts([part(rig, kind=9)]))
    refused("an empty part", r"parts\[1\].byteCount", lambda: open_parts([rig.parts[0], part(rig, byte_count=0)]))
    refused("more than the allocation", r"parts\[0\].byteCount: the allocation has",
            lambda: open_parts([part(rig, byte_count=1 << 40)]))
    refused("past the allocation", r"parts\[0\].byteCount: the allocation has",
            lambda: open_parts([part(rig, offset=1 << 40)]))
    refused("another GPU", "not visible to this process",
            lambda: open_parts([part(rig, device_id=(ctypes.c_uint8 * 16)(*b"another machine!"))]))
    refused("a handle that is none", r"parts\[0\].handle", lambda: open_parts([part(rig, kind=abi.PART_IPC)]))
    refused("a descriptor that is none", r"parts\[0\].(descriptor|allocationBytes)",
            lambda: open_parts([part(rig, kind=abi.PART_DESCRIPTOR, descriptor=os.open("/dev/null", os.O_RDONLY))]))
    refused("an address for others", "cannot be handed to another process",
            lambda: rig.terrace.hand_device("/nowhere", bytes(16), [rig.parts[0]]))
    refused("memory that is no GPU's", "address: it is not of a GPU", lambda: rig.terrace.export(4096, 4096))
    refused("more than was allocated", "reach out of the allocation",
            lambda: rig.terrace.export(rig.addresses[0], 1 << 40))
    refused("a window on the GPU", "is not host memory, it has no window",
            lambda: rig.terrace.address_of(rig.region, 4096))
    refused("a descriptor of it", "only host memory is handed on",
            lambda: rig.terrace._call("terrace_descriptor", ctypes.c_uint32(rig.region)))
    rig.terrace.close_region(rig.region)
    refused("a closed region", "sourceRegion: region .* is not open",
            lambda: rig.run(abi.GATHER, source_region=rig.region, target_region=rig.slots))


def main(library):
    rig = Rig(library)
    check_steps(rig)
    check_parts(rig)
    rig.queue.close()
    print("refusals: each in words, nothing touched")


if __name__ == "__main__":
    main(sys.argv[1])
