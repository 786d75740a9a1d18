#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdlib>

#include "problem.h"
#include "regions.h"

namespace terrace {
namespace {

/** Holds SIGXFSZ back while a file grows: past this process's limit the call must say EFBIG, not end us. */
class LimitSignalHeld {
 public:
  LimitSignalHeld() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~LimitSignalHeld() {
    const timespec now = {};
    if (sigismember(&before_, SIGXFSZ) == 0) sigtimedwait(&set_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t set_, before_;
};

int growFile(int descriptor, uint64_t byteCount) {
  if (fallocate(descriptor, 0, 0, static_cast<off_t>(byteCount)) == 0) return 0;
  // A file system that cannot reserve gives space block by block; a full one shows up at a write then.
  if (errno != EOPNOTSUPP && errno != ENOSYS) return errno;
  return ftruncate(descriptor, static_cast<off_t>(byteCount)) == 0 ? 0 : errno;
}

/** Gives the file its exact length. What it was is restored when that cannot be done. */
int sizeFile(int descriptor, const struct stat& before, uint64_t byteCount) {
  if (S_ISBLK(before.st_mode)) {
    uint64_t deviceBytes = 0;
    if (ioctl(descriptor, BLKGETSIZE64, &deviceBytes) != 0) return errno;
    return deviceBytes >= byteCount ? 0 : ENOSPC;
  }
  const LimitSignalHeld held;
  if (static_cast<uint64_t>(before.st_size) > byteCount)
    return ftruncate(descriptor, static_cast<off_t>(byteCount)) == 0 ? 0 : errno;
  const int error = growFile(descriptor, byteCount);
  if (error != 0 && ftruncate(descriptor, before.st_size) != 0) return error;
  return error;
}

/** Whether an aligned read passes with O_DIRECT on. That open() took the flag proves nothing. */
bool directWorks(int descriptor) {
  void* page = nullptr;
  if (posix_memalign(&page, slotPageBytes, slotPageBytes) != 0) return false;
  const ssize_t count = pread(descriptor, page, slotPageBytes, 0);
  free(page);
  return count == static_cast<ssize_t>(slotPageBytes);
}

bool turnDirectOn(int descriptor) {
  const int flags = fcntl(descriptor, F_GETFL);
  if (fcntl(descriptor, F_SETFL, flags | O_DIRECT) != 0) return false;
  if (directWorks(descriptor)) return true;
  fcntl(descriptor, F_SETFL, flags);
  return false;
}

}  // namespace

int openFile(const char* path, uint64_t byteCount, bool direct, uint32_t* handle) {
  if (byteCount < slotPageBytes || byteCount > byteCountMax || byteCount % slotPageBytes != 0)
    return refuse(-EINVAL, "byteCount: must be a multiple of %" PRIu64, slotPageBytes);
  auto region = std::make_shared<Region>();
  region->kind = Region::Kind::file;
  region->byteCount = byteCount;
  region->writable = true;
  bool created = true;
  region->descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (region->descriptor < 0 && errno == EEXIST) {
    created = false;
    region->descriptor = open(path, O_RDWR | O_CLOEXEC);
  }
  if (region->descriptor < 0) return refuseErrno(errno, "path: %s", path);
  struct stat status;
  if (fstat(region->descriptor, &status) != 0) return refuseErrno(errno, "path: %s", path);
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
    return refuse(-EINVAL, "path: %s is neither a file nor a block device", path);
  if (const int error = sizeFile(region->descriptor, status, byteCount)) {
    if (created) unlink(path);
    return refuseErrno(error, "byteCount: %" PRIu64 " bytes for %s", byteCount, path);
  }
  region->direct = direct && turnDirectOn(region->descriptor);
  *handle = regions().add(std::move(region));
  return *handle == 0 ? refuse(-EMFILE, "regions: too many are open") : 0;
}

}  // namespace terrace
