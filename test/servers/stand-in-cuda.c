/** A stand-in for libcuda.so.1 on machines without a GPU: "GPU memory" is a memfd, so handles really go between
 * processes, and work on a stream happens only when somebody waits for it, so a copy that is not awaited is
 * seen. It also refuses on demand. What it cannot show (speed, the kernel's own code, real refusals) is for
 * test/gpu on a machine with a GPU.
 *
 *   STAND_IN_CUDA_VERSION=12080   the driver's version (13000)
 *   STAND_IN_CUDA_FAIL=NAME:CODE  every call of NAME answers CODE
 *   STAND_IN_CUDA_PAUSE=200   microseconds that cuCtxSetCurrent takes, so that others come in between
 *   STAND_IN_CUDA_DEVICES=0       how many devices there are (1) */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int Result;
typedef uint64_t Address;
enum { success, invalidValue, outOfMemory, invalidContext = 201, alreadyMapped = 208, notFound = 500, notReady = 600, already = 712 };

static int numberFrom(const char *name, int otherwise) {
  const char *const text = getenv(name);
  return text == NULL ? otherwise : atoi(text);
}

static Result failing(const char *name) {
  const char *const wanted = getenv("STAND_IN_CUDA_FAIL");
  const size_t length = strlen(name);
  if (wanted == NULL || strncmp(wanted, name, length) != 0 || wanted[length] != ':') return success;
  return atoi(wanted + length + 1);
}
#define MAY_FAIL(name)                      \
  do {                                      \
    const Result asked_ = failing(name);    \
    if (asked_ != success) return asked_;   \
  } while (0)

/* Memory of the device, and host memory that it knows. */

struct Range {
  Address start;
  size_t byteCount;
  /** A memfd, or -1 for host memory. */
  int file;
  int isMapped;
  int isForeign;
  /** Of a foreign one: which allocation it is. */
  uint64_t inode;
};
static struct Range ranges[4096];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread int hasContext;

static struct Range *rangeOf(Address at) {
  struct Range *found = NULL;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < 4096 && found == NULL; i++)
    if (ranges[i].byteCount > 0 && at - ranges[i].start < ranges[i].byteCount) found = &ranges[i];
  pthread_mutex_unlock(&lock);
  return found;
}

static void forget(struct Range *range) {
  pthread_mutex_lock(&lock);
  range->byteCount = 0;
  pthread_mutex_unlock(&lock);
}

static Result addRange(struct Range range) {
  pthread_mutex_lock(&lock);
  Result result = outOfMemory;
  for (int i = 0; i < 4096 && result != success; i++)
    if (ranges[i].byteCount == 0) {
      ranges[i] = range;
      result = success;
    }
  pthread_mutex_unlock(&lock);
  return result;
}

static Address mapFile(int file, size_t byteCount) {
  void *const at = mmap(NULL, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  return at == MAP_FAILED ? 0 : (Address)at;
}

static int newFile(size_t byteCount) {
  const int file = memfd_create("stand-in-cuda", 0);
  if (file >= 0 && ftruncate(file, (off_t)byteCount) != 0) return -1;
  return file;
}

Result cuInit(unsigned flags) {
  (void)flags;
  MAY_FAIL("cuInit");
  return success;
}
Result cuDriverGetVersion(int *version) {
  *version = numberFrom("STAND_IN_CUDA_VERSION", 13000);
  return success;
}
Result cuDeviceGetCount(int *count) {
  *count = numberFrom("STAND_IN_CUDA_DEVICES", 1);
  return success;
}
Result cuDeviceGet(int *device, int ordinal) {
  *device = ordinal;
  return success;
}
Result cuDeviceGetName(char *into, int length, int device) {
  snprintf(into, (size_t)length, "a stand-in %d", device);
  return success;
}
Result cuDeviceGetUuid_v2(uint8_t *uuid, int device) {
  memset(uuid, 0x70 + device, 16);
  return success;
}
Result cuDeviceGetAttribute(int *into, int attribute, int device) {
  (void)device;
  *into = attribute == 11 ? 0x7fffffff : 1;
  return success;
}
Result cuDevicePrimaryCtxRetain(void **context, int device) {
  MAY_FAIL("cuDevicePrimaryCtxRetain");
  *context = (void *)(uintptr_t)(device + 1);
  return success;
}
Result cuCtxSetCurrent(void *context) {
  hasContext = context != NULL;
  const int pauseUs = numberFrom("STAND_IN_CUDA_PAUSE", 0);
  if (pauseUs > 0) usleep((useconds_t)pauseUs);
  return success;
}
Result cuGetErrorName(Result result, const char **name) {
  *name = result == outOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY" : result == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR";
  return success;
}

Result cuMemAlloc_v2(Address *at, size_t byteCount) {
  if (!hasContext) return invalidContext;
  const int file = newFile(byteCount);
  *at = mapFile(file, byteCount);
  return *at == 0 ? outOfMemory : addRange((struct Range){*at, byteCount, file, 0, 0, 0});
}
Result cuMemFree_v2(Address at) {
  struct Range *const range = rangeOf(at);
  if (range == NULL) return invalidValue;
  const struct Range gone = *range;
  forget(range);
  munmap((void *)gone.start, gone.byteCount);
  close(gone.file);
  return success;
}
Result cuMemGetInfo_v2(size_t *left, size_t *total) {
  *total = (size_t)1 << 34;
  *left = *total;
  for (int i = 0; i < 4096; i++)
    if (ranges[i].byteCount > 0 && ranges[i].file >= 0) *left -= ranges[i].byteCount;
  return success;
}
Result cuMemGetAddressRange_v2(Address *base, size_t *byteCount, Address at) {
  MAY_FAIL("cuMemGetAddressRange");
  const struct Range *const range = rangeOf(at);
  if (range == NULL) return notFound;
  *base = range->start;
  *byteCount = range->byteCount;
  return success;
}
Result cuPointerGetAttribute(void *into, int attribute, Address at) {
  const struct Range *const range = rangeOf(at);
  if (range == NULL || range->file < 0) return invalidValue;
  const int isPlain = getenv("STAND_IN_CUDA_PRIVATE") != NULL;
  switch (attribute) {
    case 9:
      *(int *)into = 0;
      return success;
    case 10:
      *(int *)into = !range->isMapped && !isPlain;
      return success;
    case 14:
      *(uint64_t *)into = range->isMapped && !isPlain;
      return success;
    case 18:
      *(size_t *)into = range->byteCount;
      return success;
    case 19:
      *(Address *)into = range->start;
      return success;
    default:
      return invalidValue;
  }
}
Result cuMemHostRegister_v2(void *at, size_t byteCount, unsigned flags) {
  MAY_FAIL("cuMemHostRegister");
  if (flags != 3 || (uintptr_t)at % 4096 != 0) return invalidValue;
  if (rangeOf((Address)at) != NULL) return already;
  return addRange((struct Range){(Address)at, byteCount, -1, 0, 0, 0});
}
Result cuMemHostUnregister(void *at) {
  struct Range *const range = rangeOf((Address)at);
  if (range == NULL || range->start != (Address)at) return 713;
  forget(range);
  return success;
}

/* Handles for other processes. */

static int isOpen(uint64_t inode) {
  int found = 0;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < 4096; i++) found |= ranges[i].byteCount > 0 && ranges[i].isForeign && ranges[i].inode == inode;
  pthread_mutex_unlock(&lock);
  return found;
}

struct Handle {
  int process;
  int file;
  size_t byteCount;
  uint8_t rest[48];
};
Result cuIpcGetMemHandle(struct Handle *handle, Address at) {
  const struct Range *const range = rangeOf(at);
  if (range == NULL || range->start != at || range->isMapped) return invalidValue;
  memset(handle, 0, sizeof *handle);
  handle->process = getpid();
  handle->file = range->file;
  handle->byteCount = range->byteCount;
  return success;
}
Result cuIpcOpenMemHandle_v2(Address *at, struct Handle handle, unsigned flags) {
  MAY_FAIL("cuIpcOpenMemHandle");
  if (flags != 1 || !hasContext) return invalidValue;
  if (handle.process == getpid()) return invalidContext;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd/%d", handle.process, handle.file);
  const int file = open(path, O_RDWR | O_CLOEXEC);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) return invalidValue;
  // Stricter than the driver, which counts: whoever opens an allocation twice closes it once too often, or once too few.
  if (isOpen(status.st_ino)) return alreadyMapped;
  *at = mapFile(file, (size_t)status.st_size);
  return *at == 0 ? invalidValue : addRange((struct Range){*at, (size_t)status.st_size, file, 0, 1, status.st_ino});
}
Result cuIpcCloseMemHandle(Address at) {
  const struct Range *const range = rangeOf(at);
  return range == NULL || !range->isForeign ? invalidValue : cuMemFree_v2(at);
}

/* Allocations are descriptors; a mapping holds one of its own. */

Result cuMemCreate(uint64_t *allocation, size_t byteCount, const void *properties, uint64_t flags) {
  (void)properties, (void)flags;
  *allocation = (uint64_t)newFile(byteCount);
  return success;
}
Result cuMemRelease(uint64_t allocation) { return close((int)allocation) == 0 ? success : invalidValue; }
Result cuMemAddressReserve(Address *at, size_t byteCount, size_t alignment, Address hint, uint64_t flags) {
  (void)alignment, (void)hint, (void)flags;
  void *const found = mmap(NULL, byteCount, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *at = (Address)found;
  return found == MAP_FAILED ? outOfMemory : success;
}
Result cuMemAddressFree(Address at, size_t byteCount) {
  return munmap((void *)at, byteCount) == 0 ? success : invalidValue;
}
Result cuMemMap(Address at, size_t byteCount, size_t offset, uint64_t allocation, uint64_t flags) {
  MAY_FAIL("cuMemMap");
  (void)flags;
  struct stat status;
  if (offset != 0 || fstat((int)allocation, &status) != 0 || (size_t)status.st_size != byteCount)
    return invalidValue;
  if (mmap((void *)at, byteCount, PROT_NONE, MAP_SHARED | MAP_FIXED, (int)allocation, 0) == MAP_FAILED)
    return invalidValue;
  return addRange((struct Range){at, byteCount, dup((int)allocation), 1, 0, 0});
}
Result cuMemUnmap(Address at, size_t byteCount) {
  struct Range *const range = rangeOf(at);
  if (range == NULL || range->byteCount != byteCount) return invalidValue;
  close(range->file);
  forget(range);
  return success;
}
Result cuMemSetAccess(Address at, size_t byteCount, const void *description, size_t count) {
  (void)description;
  if (count != 1) return invalidValue;
  return mprotect((void *)at, byteCount, PROT_READ | PROT_WRITE) == 0 ? success : invalidValue;
}
Result cuMemGetAllocationGranularity(size_t *byteCount, const void *properties, int option) {
  (void)properties, (void)option;
  *byteCount = 4096;
  return success;
}
Result cuMemRetainAllocationHandle(uint64_t *allocation, void *at) {
  const struct Range *const range = rangeOf((Address)at);
  if (range == NULL || !range->isMapped) return invalidValue;
  *allocation = (uint64_t)dup(range->file);
  return success;
}
Result cuMemExportToShareableHandle(void *into, uint64_t allocation, int kind, uint64_t flags) {
  (void)flags;
  if (kind != 1) return invalidValue;
  *(int *)into = dup((int)allocation);
  return success;
}
Result cuMemImportFromShareableHandle(uint64_t *allocation, void *descriptor, int kind) {
  MAY_FAIL("cuMemImportFromShareableHandle");
  const int own = kind == 1 ? dup((int)(intptr_t)descriptor) : -1;
  *allocation = (uint64_t)own;
  return own < 0 ? invalidValue : success;
}

/* Streams: work waits until somebody asks for its end for the third time, or waits for it. */

struct Work {
  Address target, source;
  size_t byteCount;
};
struct Stream {
  pthread_mutex_t lock;
  struct Work *work;
  size_t count, room;
  int asked;
};
/** Whether a copy would run out of what it started in, be it into the neighbour: the driver refuses that. */
static int crosses(Address at, size_t byteCount) {
  const struct Range *const range = rangeOf(at);
  return range != NULL && byteCount > range->byteCount - (at - range->start);
}
static Result later(struct Stream *stream, Address target, Address source, size_t byteCount) {
  if (rangeOf(target) == NULL && rangeOf(source) == NULL) return invalidValue;
  if (crosses(target, byteCount) || crosses(source, byteCount)) return invalidValue;
  pthread_mutex_lock(&stream->lock);
  if (stream->count == stream->room) {
    stream->room = stream->room * 2 + 64;
    stream->work = realloc(stream->work, stream->room * sizeof *stream->work);
  }
  stream->work[stream->count++] = (struct Work){target, source, byteCount};
  pthread_mutex_unlock(&stream->lock);
  return success;
}
static Result finish(struct Stream *stream) {
  pthread_mutex_lock(&stream->lock);
  for (size_t i = 0; i < stream->count; i++) {
    const struct Work *const one = &stream->work[i];
    memcpy((void *)one->target, (const void *)one->source, one->byteCount);
  }
  stream->count = 0;
  pthread_mutex_unlock(&stream->lock);
  return failing("work");
}
Result cuStreamCreateWithPriority(struct Stream **stream, unsigned flags, int priority) {
  MAY_FAIL("cuStreamCreateWithPriority");
  (void)priority;
  *stream = calloc(1, sizeof **stream);
  pthread_mutex_init(&(*stream)->lock, NULL);
  return flags == 1 && hasContext ? success : invalidValue;
}
Result cuStreamDestroy_v2(struct Stream *stream) {
  const Result result = finish(stream);
  free(stream->work);
  free(stream);
  return result;
}
Result cuStreamSynchronize(struct Stream *stream) { return finish(stream); }
struct Event {
  struct Stream *stream;
};
Result cuEventCreate(struct Event **event, unsigned flags) {
  *event = calloc(1, sizeof **event);
  return flags == 3 ? success : invalidValue;
}
Result cuEventRecord(struct Event *event, struct Stream *stream) {
  MAY_FAIL("cuEventRecord");
  event->stream = stream;
  stream->asked = 0;
  return success;
}
Result cuEventQuery(struct Event *event) { return ++event->stream->asked < 3 ? notReady : finish(event->stream); }
Result cuEventSynchronize(struct Event *event) { return finish(event->stream); }
Result cuEventDestroy_v2(struct Event *event) {
  free(event);
  return success;
}

Result cuMemcpyHtoD_v2(Address target, const void *source, size_t byteCount) {
  memcpy((void *)target, source, byteCount);
  return success;
}
Result cuMemcpyDtoH_v2(void *target, Address source, size_t byteCount) {
  memcpy(target, (const void *)source, byteCount);
  return success;
}
Result cuMemsetD8_v2(Address target, unsigned char value, size_t byteCount) {
  memset((void *)target, value, byteCount);
  return success;
}
Result cuCtxSynchronize(void) { return success; }
Result cuMemcpyAsync(Address target, Address source, size_t byteCount, struct Stream *stream) {
  MAY_FAIL("cuMemcpyAsync");
  return later(stream, target, source, byteCount);
}
struct Copy2D {
  size_t sourceX, sourceY;
  unsigned sourceType;
  Address sourceHost, sourceDevice, sourceArray;
  size_t sourcePitch, targetX, targetY;
  unsigned targetType;
  Address targetHost, targetDevice, targetArray;
  size_t targetPitch, widthBytes, height;
};
Result cuMemcpy2DAsync_v2(const struct Copy2D *copy, struct Stream *stream) {
  MAY_FAIL("cuMemcpy2DAsync");
  const Address source = copy->sourceType == 1 ? copy->sourceHost : copy->sourceDevice;
  const Address target = copy->targetType == 1 ? copy->targetHost : copy->targetDevice;
  if (copy->sourcePitch < copy->widthBytes || copy->targetPitch < copy->widthBytes) return invalidValue;
  for (size_t row = 0; row < copy->height; row++) {
    const Result result =
        later(stream, target + row * copy->targetPitch, source + row * copy->sourcePitch, copy->widthBytes);
    if (result != success) return result;
  }
  return success;
}
static Result batch(Address *targets, Address *sources, size_t *byteCounts, size_t count, const void *attributes,
                    size_t *firsts, size_t attributeCount, struct Stream *stream) {
  MAY_FAIL("cuMemcpyBatchAsync");
  if (attributes == NULL || attributeCount != 1 || firsts[0] != 0 || count < 1) return invalidValue;
  for (size_t i = 0; i < count; i++) {
    if (rangeOf(targets[i]) == NULL || rangeOf(sources[i]) == NULL) return invalidValue;
    later(stream, targets[i], sources[i], byteCounts[i]);
  }
  return success;
}
Result cuMemcpyBatchAsync_v2(Address *targets, Address *sources, size_t *byteCounts, size_t count, const void *attributes,
                             size_t *firsts, size_t attributeCount, struct Stream *stream) {
  return batch(targets, sources, byteCounts, count, attributes, firsts, attributeCount, stream);
}
/** The older form: an argument more. */
Result cuMemcpyBatchAsync(Address *targets, Address *sources, size_t *byteCounts, size_t count, const void *attributes,
                          size_t *firsts, size_t attributeCount, size_t *failedAt, struct Stream *stream) {
  *failedAt = SIZE_MAX;
  return batch(targets, sources, byteCounts, count, attributes, firsts, attributeCount, stream);
}

/* The one kernel there is, done by the processor: it shows that its arguments are right. */

Result cuModuleLoadData(void **module, const void *text) {
  MAY_FAIL("cuModuleLoadData");
  *module = (void *)text;
  return strstr(text, ".entry move_pieces(") == NULL ? 218 : success;
}
Result cuModuleGetFunction(void **function, void *module, const char *name) {
  *function = module;
  return strcmp(name, "move_pieces") == 0 ? success : notFound;
}
Result cuLaunchKernel(void *function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY,
                      unsigned blockZ, unsigned sharedBytes, struct Stream *stream, void **arguments, void **extra) {
  MAY_FAIL("cuLaunchKernel");
  (void)function, (void)blockX, (void)extra, (void)sharedBytes;
  if (gridX < 1 || gridY != 1 || gridZ != 1 || blockY != 1 || blockZ != 1) return invalidValue;
  const struct {
    Address source, target;
  } *const table = arguments[0];
  const uint64_t units = *(uint64_t *)arguments[1];
  const unsigned pieces = *(unsigned *)arguments[2];
  const unsigned parts = *(unsigned *)arguments[3];
  const uint64_t perPart = (units + parts - 1) / parts;
  for (unsigned i = 0; i < pieces * parts; i++) {
    const uint64_t from = perPart * (i % parts);
    const uint64_t to = from + perPart < units ? from + perPart : units;
    if (from >= to) continue;
    if ((table[i / parts].source | table[i / parts].target) % 16 != 0) return invalidValue;
    const Result result =
        later(stream, table[i / parts].target + from * 16, table[i / parts].source + from * 16, (to - from) * 16);
    if (result != success) return result;
  }
  return success;
}

/** By base name and version, as the driver gives them: the version decides which form of a call it is. */
Result cuGetProcAddress_v2(const char *name, void **into, int version, uint64_t flags, int *status) {
  if (version > numberFrom("STAND_IN_CUDA_VERSION", 13000) || flags != 1) return invalidValue;
  static const struct {
    const char *name;
    void *entry;
  } entries[] = {
#define PLAIN(name) {#name, (void *)name}
#define SECOND(name) {#name, (void *)name##_v2}
      PLAIN(cuDeviceGetCount), PLAIN(cuDeviceGet), PLAIN(cuDeviceGetName), SECOND(cuDeviceGetUuid),
      PLAIN(cuDeviceGetAttribute), PLAIN(cuDevicePrimaryCtxRetain), PLAIN(cuCtxSetCurrent), PLAIN(cuGetErrorName),
      SECOND(cuMemGetAddressRange), PLAIN(cuPointerGetAttribute), SECOND(cuMemHostRegister), PLAIN(cuMemHostUnregister),
      PLAIN(cuIpcGetMemHandle), SECOND(cuIpcOpenMemHandle), PLAIN(cuIpcCloseMemHandle), PLAIN(cuStreamCreateWithPriority),
      SECOND(cuStreamDestroy), PLAIN(cuStreamSynchronize), PLAIN(cuEventCreate), PLAIN(cuEventRecord), PLAIN(cuEventQuery),
      PLAIN(cuEventSynchronize), SECOND(cuEventDestroy), PLAIN(cuMemcpyAsync), SECOND(cuMemcpy2DAsync),
      PLAIN(cuLaunchKernel), PLAIN(cuModuleLoadData), PLAIN(cuModuleGetFunction), PLAIN(cuMemAddressReserve),
      PLAIN(cuMemAddressFree), PLAIN(cuMemMap), PLAIN(cuMemUnmap), PLAIN(cuMemSetAccess), PLAIN(cuMemRelease),
      PLAIN(cuMemRetainAllocationHandle), PLAIN(cuMemExportToShareableHandle), PLAIN(cuMemImportFromShareableHandle),
  };
  *status = 0;
  if (strcmp(name, "cuMemcpyBatchAsync") == 0) {
    *into = version >= 13000 ? (void *)cuMemcpyBatchAsync_v2 : version >= 12080 ? (void *)cuMemcpyBatchAsync : NULL;
    return success;
  }
  for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
    if (strcmp(entries[i].name, name) == 0) {
      *into = entries[i].entry;
      return success;
    }
  *into = NULL;
  *status = 1;
  return notFound;
}
