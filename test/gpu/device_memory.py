"""GPU memory by the driver's own calls: what an engine without a framework would do."""

import ctypes
import os
from ctypes import byref, c_int, c_size_t, c_uint, c_uint8, c_uint64, c_void_p


class AllocationWanted(ctypes.Structure):
    """CUmemAllocationProp."""

    _fields_ = [
        ("kind", c_int), ("handles", c_int), ("location_kind", c_int), ("location", c_int), ("windows", c_void_p),
        ("compression", c_uint8), ("rdma", c_uint8), ("usage", ctypes.c_uint16), ("reserved", c_uint8 * 4),
    ]


class AccessWanted(ctypes.Structure):
    _fields_ = [("location_kind", c_int), ("location", c_int), ("flags", c_int)]


class Device:
    """The first GPU, in this process."""

    def __init__(self):
        self.cuda = ctypes.CDLL(os.environ.get("TERRACE_CUDA_LIBRARY", "libcuda.so.1"))
        self.context = c_void_p()
        self.call("cuInit", c_uint(0))
        self.call("cuDevicePrimaryCtxRetain", byref(self.context), c_int(0))
        self.call("cuCtxSetCurrent", self.context)

    def call(self, name, *arguments):
        result = getattr(self.cuda, name)(*arguments)
        if result != 0:
            raise RuntimeError(f"{name}: {result}")

    def allocate(self, byte_count):
        address = c_uint64()
        self.call("cuMemAlloc_v2", byref(address), c_size_t(byte_count))
        return address.value

    def allocate_exportable(self, byte_count):
        """Mapped memory whose allocation can go to another process as a descriptor. Gives (address, bytes mapped)."""
        wanted = AllocationWanted(kind=1, handles=1, location_kind=1)
        unit = c_size_t()
        self.call("cuMemGetAllocationGranularity", byref(unit), byref(wanted), c_int(0))
        mapped = (byte_count + unit.value - 1) // unit.value * unit.value
        allocation, address = c_uint64(), c_uint64()
        self.call("cuMemCreate", byref(allocation), c_size_t(mapped), byref(wanted), c_uint64(0))
        self.call("cuMemAddressReserve", byref(address), c_size_t(mapped), c_size_t(0), c_uint64(0), c_uint64(0))
        self.call("cuMemMap", address, c_size_t(mapped), c_size_t(0), allocation, c_uint64(0))
        access = AccessWanted(location_kind=1, flags=3)
        self.call("cuMemSetAccess", address, c_size_t(mapped), byref(access), c_size_t(1))
        self.call("cuMemRelease", allocation)
        return address.value, mapped

    def free(self, address):
        self.call("cuMemFree_v2", c_uint64(address))

    def write(self, address, content):
        self.call("cuMemcpyHtoD_v2", c_uint64(address), content, c_size_t(len(content)))
        self.call("cuCtxSynchronize")

    def read(self, address, byte_count):
        into = ctypes.create_string_buffer(byte_count)
        self.call("cuMemcpyDtoH_v2", into, c_uint64(address), c_size_t(byte_count))
        return into.raw

    def fill(self, address, value, byte_count):
        self.call("cuMemsetD8_v2", c_uint64(address), ctypes.c_ubyte(value), c_size_t(byte_count))
        self.call("cuCtxSynchronize")

    def free_bytes(self):
        left, total = c_size_t(), c_size_t()
        self.call("cuMemGetInfo_v2", byref(left), byref(total))
        return left.value
