#pragma once

#include <cstdint>

namespace terrace {

/** Bytes of memory that can still be had: what the kernel calls available, or less where the control group of
 * this process has less. Asked because shared memory is given out page by page: without it, a reservation
 * that can never be kept would succeed, and the process would be killed later. */
uint64_t memoryBytesLeft();

}  // namespace terrace
