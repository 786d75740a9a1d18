#include "file.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "capi.h"
#include "limits.h"

namespace terrace {
namespace {

/** Switches O_DIRECT off after a refusal of the file system. False when it was off already. */
bool fallBack(Region& file) {
  if (!file.direct.exchange(false)) return false;
  return fcntl(file.descriptor, F_SETFL, fcntl(file.descriptor, F_GETFL) & ~O_DIRECT) == 0;
}

FileMove writeAll(Region& file, uint64_t offset, const uint8_t* bytes, uint64_t byteCount) {
  uint64_t done = 0;
  while (done < byteCount) {
    const ssize_t count =
        pwrite(file.descriptor, bytes + done, byteCount - done, static_cast<off_t>(offset + done));
    if (count > 0) {
      done += static_cast<uint64_t>(count);
    } else if (count == 0) {
      return {TERRACE_SHORT, done};
    } else if (errno != EINTR && !(errno == EINVAL && fallBack(file))) {
      return {-errno, done};
    }
  }
  return {TERRACE_OK, done};
}

/** The rest of (header page, payload) after `done` bytes. */
int restOf(uint64_t done, uint8_t* page, uint8_t* payload, uint64_t payloadBytes, iovec (&rest)[2]) {
  if (done >= slotPageBytes) {
    const uint64_t payloadDone = done - slotPageBytes;
    rest[0] = {payload + payloadDone, payloadBytes - payloadDone};
    return 1;
  }
  rest[0] = {page + done, slotPageBytes - done};
  rest[1] = {payload, payloadBytes};
  return 2;
}

}  // namespace

FileMove writeSlot(Region& file, uint64_t offset, uint8_t* payload, uint64_t byteCount, const uint8_t* seal,
                   uint8_t* page) {
  const uint64_t rounded = pageRounded(byteCount);
  memset(payload + byteCount, 0, rounded - byteCount);
  const FileMove moved = writeAll(file, offset + slotPageBytes, payload, rounded);
  if (moved.status != TERRACE_OK)
    return {moved.status, moved.byteCount < byteCount ? moved.byteCount : byteCount};
  memcpy(page, seal, sealBytes);
  memset(page + sealBytes, 0, slotPageBytes - sealBytes);
  return {writeAll(file, offset, page, slotPageBytes).status, byteCount};
}

FileMove readSlot(Region& file, uint64_t offset, uint8_t* payload, uint64_t byteCount, uint8_t* page) {
  const uint64_t rounded = pageRounded(byteCount);
  uint64_t done = 0;
  int status = TERRACE_OK;
  while (done < slotPageBytes + rounded) {
    iovec rest[2];
    const int restCount = restOf(done, page, payload, rounded, rest);
    const ssize_t count = preadv(file.descriptor, rest, restCount, static_cast<off_t>(offset + done));
    if (count > 0) {
      done += static_cast<uint64_t>(count);
      continue;
    }
    if (count < 0 && (errno == EINTR || (errno == EINVAL && fallBack(file)))) continue;
    status = count == 0 ? TERRACE_SHORT : -errno;
    break;
  }
  const uint64_t payloadDone = done < slotPageBytes ? 0 : done - slotPageBytes;
  return {status, payloadDone < byteCount ? payloadDone : byteCount};
}

int flushFile(Region& file) {
  while (fdatasync(file.descriptor) != 0)
    if (errno != EINTR) return -errno;
  return 0;
}

}  // namespace terrace
