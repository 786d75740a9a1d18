#pragma once

#include <cstddef>

namespace terrace {

/** Mapped memory that may lose its pages while we copy: another process can shorten the file. */
struct FragileSpan {
  const void* base;
  size_t byteCount;
};

/** Runs `work(context)`. 0, or -EFAULT when a page of one of the spans was gone; `work` was then left in the
 * middle, so it must own nothing. Any other SIGBUS ends the process as ever. */
int guardedRun(const FragileSpan (&spans)[2], void (*work)(void*), void* context);

}  // namespace terrace
