"""The C ABI of the addon (addon/src/capi.h) for Python's own ctypes: what the checks here drive it with."""

import ctypes
import os
import select
import sys
from ctypes import byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p

GATHER, SCATTER, COPY, SUM, PIN = 1, 2, 5, 6, 8
PATHS = {"auto": 0, "loop": 1, "rows": 2, "batch": 3, "kernel": 4}
PART_IPC, PART_DESCRIPTOR, PART_OWN = 1, 2, 3
OK, CHECKSUM, CLOSED = 0, 1, 3
SLOT_PAGE_BYTES = 4096


class Step(ctypes.Structure):
    _fields_ = [
        ("size", c_uint32), ("operation", c_uint32), ("ticket", c_uint64), ("cookie", c_uint64),
        ("source_region", c_uint32), ("target_region", c_uint32), ("source", c_uint64), ("target", c_uint64),
        ("byte_count", c_uint64), ("place", c_uint32), ("has_seal", c_uint32), ("checksum", c_int64),
        ("seal", c_uint8 * 256),
    ]


class Completion(ctypes.Structure):
    _fields_ = [
        ("size", c_uint32), ("status", c_int32), ("ticket", c_uint64), ("cookie", c_uint64),
        ("byte_count", c_uint64), ("checksum", c_uint32), ("has_seal", c_uint32), ("seal", c_uint8 * 256),
    ]


class Plane(ctypes.Structure):
    _fields_ = [
        ("size", c_uint32), ("reserved", c_uint32), ("base_offset", c_uint64), ("layer_stride", c_uint64),
        ("block_stride", c_uint64), ("layer_count", c_uint64), ("piece_bytes", c_uint64),
    ]


class Part(ctypes.Structure):
    _fields_ = [
        ("size", c_uint32), ("kind", c_uint32), ("device_id", c_uint8 * 16), ("token", c_uint8 * 16),
        ("handle", c_uint8 * 64), ("descriptor", c_int32), ("reserved", c_uint32), ("allocation_base", c_uint64),
        ("allocation_bytes", c_uint64), ("offset", c_uint64), ("byte_count", c_uint64),
    ]


class QueueOptions(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("thread_count", c_uint32), ("ready", c_void_p), ("context", c_void_p)]


class Refused(Exception):
    """What the library would not do, with its reason."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


class Terrace:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.terrace_problem.restype = c_char_p
        self.library.terrace_crc32c.restype = c_uint32
        self.library.terrace_crc32c.argtypes = [c_void_p, c_size_t, c_uint32]
        self.library.terrace_describe_devices.restype = c_size_t

    def _call(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status < 0:
            raise Refused(status, self.library.terrace_problem().decode())
        return status

    def _opened(self, name, *arguments):
        handle = c_uint32()
        self._call(name, *arguments, byref(handle))
        return handle.value

    def describe_devices(self):
        into = ctypes.create_string_buffer(8192)
        self.library.terrace_describe_devices(into, c_size_t(8192))
        return into.value.decode()

    def open_memory(self, byte_count):
        return self._opened("terrace_open_memory", c_uint64(byte_count))

    def address_of(self, region, byte_count):
        """Address of a memory region. Its hold is never released here: regions live as long as the check."""
        address, hold = c_void_p(), c_void_p()
        self._call("terrace_window", c_uint32(region), c_uint64(0), c_uint64(byte_count), byref(address), byref(hold))
        return address.value

    def close_region(self, region):
        self._call("terrace_close_region", c_uint32(region))

    def open_place(self, planes):
        """Planes: (base offset, layer stride, block stride, layer count, piece bytes) each."""
        rows = (Plane * len(planes))()
        for row, plane in zip(rows, planes):
            row.size = ctypes.sizeof(Plane)
            row.base_offset, row.layer_stride, row.block_stride, row.layer_count, row.piece_bytes = plane
        return self._opened("terrace_open_place", rows, c_uint32(len(planes)))

    def close_place(self, place):
        self._call("terrace_close_place", c_uint32(place))

    def set_path(self, place, name):
        self._call("terrace_set_path", c_uint32(place), c_uint32(PATHS[name]))

    def export(self, address, byte_count):
        part = Part(size=ctypes.sizeof(Part))
        self._call("terrace_export_device", c_uint64(address), c_uint64(byte_count), byref(part))
        return part

    def own_part(self, address, byte_count):
        """A part for this very process: no handle can be opened where it was made."""
        part = self.export(address, byte_count)
        if part.kind == PART_DESCRIPTOR:
            os.close(part.descriptor)
        part.kind = PART_OWN
        return part

    def open_device(self, parts, writable=True):
        rows = (Part * len(parts))(*parts)
        return self._opened("terrace_open_device", rows, c_uint32(len(parts)), c_int(1 if writable else 0))

    def hand_device(self, door_path, token, parts):
        rows = (Part * len(parts))(*parts)
        self._call("terrace_hand_device", c_char_p(door_path.encode()), c_char_p(token), rows, c_uint32(len(parts)))

    def open_door(self, path):
        return self._opened("terrace_open_door", c_char_p(path.encode()))

    def take_device(self, door, token, byte_count, writable=True):
        parts = self._call("terrace_take_descriptor", c_uint32(door), c_char_p(token))
        return self._opened(
            "terrace_open_parts", c_uint32(door), c_int(parts), c_uint64(byte_count), c_int(1 if writable else 0)
        )

    def crc32c(self, address, byte_count):
        return self.library.terrace_crc32c(c_void_p(address), c_size_t(byte_count), c_uint32(0))


class Queue:
    """A queue whose steps are awaited batch by batch."""

    def __init__(self, terrace, thread_count=4):
        self.terrace = terrace
        options = QueueOptions(size=ctypes.sizeof(QueueOptions), thread_count=thread_count)
        self.handle = terrace._opened("terrace_open_queue", byref(options))
        self.descriptor = terrace._call("terrace_queue_descriptor", c_uint32(self.handle))
        self.room = (Completion * 256)()

    def run(self, steps, timeout_s=60):
        """Carries the steps out; (status, checksum) of each, in their order."""
        rows = steps if isinstance(steps, ctypes.Array) else (Step * len(steps))(*steps)
        count = len(rows)
        done = [None] * count
        taken = finished = 0
        for ticket in range(count):
            rows[ticket].ticket = ticket
        while finished < count:
            if taken < count:
                rest = byref(rows, taken * ctypes.sizeof(Step))
                taken += self.terrace._call("terrace_submit", c_uint32(self.handle), rest, c_uint32(count - taken))
            if not select.select([self.descriptor], [], [], timeout_s)[0]:
                raise TimeoutError(f"{count - finished} of {count} steps did not end")
            os.read(self.descriptor, 8)
            while True:
                moved = self.terrace._call("terrace_drain", c_uint32(self.handle), self.room, c_uint32(256))
                for completion in self.room[:moved]:
                    done[completion.ticket] = (completion.status, completion.checksum)
                finished += moved
                if moved < 256:
                    break
        return done

    def close(self):
        for name in ("terrace_stop_queue", "terrace_wait_queue", "terrace_free_queue"):
            self.terrace._call(name, c_uint32(self.handle))


def step(operation, **fields):
    return Step(size=ctypes.sizeof(Step), operation=operation, **{"checksum": -1, **fields})


def pin(queue, region, byte_count, chunk_bytes=1 << 30):
    """Page-locks a region chunk by chunk; slots of blocks must not cross a chunk."""
    for start in range(0, byte_count, chunk_bytes):
        wanted = min(chunk_bytes, byte_count - start)
        status, _ = queue.run([step(PIN, target_region=region, target=start, byte_count=wanted)])[0]
        if status != OK:
            raise Refused(status, f"pin of {wanted} bytes: status {status}")


def fail(why):
    print(f"FAILED: {why}", flush=True)
    sys.exit(1)
