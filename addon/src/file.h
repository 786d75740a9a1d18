#pragma once

#include <cstdint>

#include "regions.h"

namespace terrace {

/** What came of a move between slot and file: 0, TERRACE_SHORT or minus an errno; payload bytes moved. */
struct FileMove {
  int status;
  uint64_t byteCount;
};

/** Payload first, then the header page, each awaited: a header on the disk proves that its payload came
 * before it. `page` is an aligned page of the calling thread; `payload` has room up to the next page, which
 * is zeroed. */
FileMove writeSlot(Region& file, uint64_t offset, uint8_t* payload, uint64_t byteCount, const uint8_t* seal,
                   uint8_t* page);
/** Header page into `page`, payload into `payload`, in one request. */
FileMove readSlot(Region& file, uint64_t offset, uint8_t* payload, uint64_t byteCount, uint8_t* page);
/** Makes what was written durable. */
int flushFile(Region& file);

}  // namespace terrace
