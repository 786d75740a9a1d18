#pragma once

#include <cstdint>

#include "capi.h"

namespace terrace {

/** A region of GPU memory: the parts that an engine told of, one after another, as one row of offsets. So an
 * engine with a tensor per layer has one region, and an affine place in it. */
int openDevice(const terrace_device_part* parts, uint32_t partCount, bool writable, uint32_t* handle);

/** The engine's side: how another process finds a range of this one's GPU memory. */
int exportDevice(uint64_t address, uint64_t byteCount, terrace_device_part* part);

/** Hands parts in at a door as a list, and opens what was taken there. The descriptors are taken over. */
int handDevice(const char* doorPath, const uint8_t* token, terrace_device_part* parts, uint32_t partCount);
int openParts(uint32_t door, int list, uint64_t byteCount, bool writable, uint32_t* handle);

/** What all of these have in common: how many parts there may be, and the end of those that came by descriptor. */
int checkPartCount(uint32_t partCount);
void closeDescriptors(const terrace_device_part* parts, uint32_t partCount);

/** JSON: the GPUs that are visible, or why none is. */
size_t describeDevices(char* into, size_t intoBytes);

}  // namespace terrace
