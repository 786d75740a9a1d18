#include "cuda_driver.h"

#include <dlfcn.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "problem.h"

namespace terrace {
namespace cuda {
namespace {

/** The newest interface these declarations were made for, as the driver counts: 13.0. The version that is asked
 * for decides signatures, so it is never a newer one. */
constexpr int interfaceVersion = 13000;
/** The first version with copies in batches. */
constexpr int batchVersion = 12080;

struct Entry {
  /** The name that the driver looks up by version, and the one its library exports. */
  const char* base;
  const char* exported;
  void** into;
};

char absence[160];

using GetProcAddress = Result (*)(const char*, void**, int, uint64_t, int*);

void* find(void* library, GetProcAddress lookUp, int version, const Entry& entry) {
  if (lookUp == nullptr) return dlsym(library, entry.exported);
  constexpr uint64_t legacyStream = 1;
  void* found = nullptr;
  int status = 0;
  const Result result = lookUp(entry.base, &found, version, legacyStream, &status);
  return result == success ? found : nullptr;
}

template <typename Pointer>
void** slot(Pointer& pointer) {
  return reinterpret_cast<void**>(&pointer);
}

/** The first needed entry that is missing, or null. */
const char* findNeeded(Driver& d, void* library, GetProcAddress lookUp, int version) {
  const Entry needed[] = {
      {"cuDeviceGetCount", "cuDeviceGetCount", slot(d.deviceGetCount)},
      {"cuDeviceGet", "cuDeviceGet", slot(d.deviceGet)},
      {"cuDeviceGetName", "cuDeviceGetName", slot(d.deviceGetName)},
      {"cuDeviceGetUuid", "cuDeviceGetUuid_v2", slot(d.deviceGetUuid)},
      {"cuDeviceGetAttribute", "cuDeviceGetAttribute", slot(d.deviceGetAttribute)},
      {"cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRetain", slot(d.primaryContextRetain)},
      {"cuCtxSetCurrent", "cuCtxSetCurrent", slot(d.contextSetCurrent)},
      {"cuGetErrorName", "cuGetErrorName", slot(d.getErrorName)},
      {"cuMemGetAddressRange", "cuMemGetAddressRange_v2", slot(d.memGetAddressRange)},
      {"cuPointerGetAttribute", "cuPointerGetAttribute", slot(d.pointerGetAttribute)},
      {"cuMemHostRegister", "cuMemHostRegister_v2", slot(d.memHostRegister)},
      {"cuMemHostUnregister", "cuMemHostUnregister", slot(d.memHostUnregister)},
      {"cuIpcGetMemHandle", "cuIpcGetMemHandle", slot(d.ipcGetMemHandle)},
      {"cuIpcOpenMemHandle", "cuIpcOpenMemHandle_v2", slot(d.ipcOpenMemHandle)},
      {"cuIpcCloseMemHandle", "cuIpcCloseMemHandle", slot(d.ipcCloseMemHandle)},
      {"cuStreamCreateWithPriority", "cuStreamCreateWithPriority", slot(d.streamCreate)},
      {"cuStreamDestroy", "cuStreamDestroy_v2", slot(d.streamDestroy)},
      {"cuStreamSynchronize", "cuStreamSynchronize", slot(d.streamSynchronize)},
      {"cuEventCreate", "cuEventCreate", slot(d.eventCreate)},
      {"cuEventRecord", "cuEventRecord", slot(d.eventRecord)},
      {"cuEventQuery", "cuEventQuery", slot(d.eventQuery)},
      {"cuEventSynchronize", "cuEventSynchronize", slot(d.eventSynchronize)},
      {"cuEventDestroy", "cuEventDestroy_v2", slot(d.eventDestroy)},
      {"cuMemcpyAsync", "cuMemcpyAsync", slot(d.memcpyAsync)},
      {"cuMemcpy2DAsync", "cuMemcpy2DAsync_v2", slot(d.memcpy2DAsync)},
      {"cuLaunchKernel", "cuLaunchKernel", slot(d.launchKernel)},
      {"cuModuleLoadData", "cuModuleLoadData", slot(d.moduleLoadData)},
      {"cuModuleGetFunction", "cuModuleGetFunction", slot(d.moduleGetFunction)},
  };
  for (const Entry& entry : needed) {
    *entry.into = find(library, lookUp, version, entry);
    if (*entry.into == nullptr) return entry.base;
  }
  return nullptr;
}

void findOptional(Driver& d, void* library, GetProcAddress lookUp, int version) {
  const Entry optional[] = {
      {"cuMemAddressReserve", "cuMemAddressReserve", slot(d.memAddressReserve)},
      {"cuMemAddressFree", "cuMemAddressFree", slot(d.memAddressFree)},
      {"cuMemMap", "cuMemMap", slot(d.memMap)},
      {"cuMemUnmap", "cuMemUnmap", slot(d.memUnmap)},
      {"cuMemSetAccess", "cuMemSetAccess", slot(d.memSetAccess)},
      {"cuMemRelease", "cuMemRelease", slot(d.memRelease)},
      {"cuMemRetainAllocationHandle", "cuMemRetainAllocationHandle", slot(d.memRetainAllocationHandle)},
      {"cuMemExportToShareableHandle", "cuMemExportToShareableHandle", slot(d.memExportToShareableHandle)},
      {"cuMemImportFromShareableHandle", "cuMemImportFromShareableHandle",
       slot(d.memImportFromShareableHandle)},
  };
  for (const Entry& entry : optional) *entry.into = find(library, lookUp, version, entry);
  // By exported name the old form is the plain one, and the new form has a suffix.
  const bool isNew = version >= 13000;
  const Entry batch = {"cuMemcpyBatchAsync", isNew ? "cuMemcpyBatchAsync_v2" : "cuMemcpyBatchAsync",
                       isNew ? slot(d.memcpyBatch) : slot(d.memcpyBatchOf12)};
  if (version >= batchVersion) *batch.into = find(library, lookUp, version, batch);
}

const Driver* absent(void* library) {
  if (library != nullptr) dlclose(library);
  return nullptr;
}

const Driver* load() {
  static Driver d = {};
  const char* const given = getenv("TERRACE_CUDA_LIBRARY");
  const char* const name = given == nullptr ? "libcuda.so.1" : given;
  void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    snprintf(absence, sizeof absence, "no CUDA driver: %s cannot be loaded", name);
    return nullptr;
  }
  *slot(d.init) = dlsym(library, "cuInit");
  *slot(d.driverGetVersion) = dlsym(library, "cuDriverGetVersion");
  const auto lookUp = reinterpret_cast<GetProcAddress>(dlsym(library, "cuGetProcAddress_v2"));
  if (d.init == nullptr || d.driverGetVersion == nullptr) {
    snprintf(absence, sizeof absence, "%s is not a CUDA driver", name);
    return absent(library);
  }
  const Result started = d.init(0);
  int count = 0;
  if (started != success || d.driverGetVersion(&d.version) != success) {
    snprintf(absence, sizeof absence, "the CUDA driver does not start (error %d)", started);
    return absent(library);
  }
  const int version = d.version < interfaceVersion ? d.version : interfaceVersion;
  if (const char* const missing = findNeeded(d, library, lookUp, version)) {
    snprintf(absence, sizeof absence, "the CUDA driver %d.%d has no %s", d.version / 1000,
             d.version % 1000 / 10, missing);
    return absent(library);
  }
  findOptional(d, library, lookUp, version);
  if (d.deviceGetCount(&count) != success || count < 1) {
    snprintf(absence, sizeof absence, "the CUDA driver has no device here");
    return absent(library);
  }
  return &d;
}

}  // namespace

const Driver* driver() {
  static std::once_flag once;
  static const Driver* found = nullptr;
  std::call_once(once, [] { found = load(); });
  if (found == nullptr) refuse(-ENODEV, "device: %s", absence);
  return found;
}

const char* driverAbsence() { return absence; }

int errnoOf(Result result) {
  switch (result) {
    case invalidValue:
      return EINVAL;
    case outOfMemory:
      return ENOMEM;
    default:
      return EIO;
  }
}

int refuseResult(Result result, const char* format, ...) {
  char what[256];
  va_list values;
  va_start(values, format);
  vsnprintf(what, sizeof what, format, values);
  va_end(values);
  const Driver* const d = driver();
  const char* name = nullptr;
  if (d == nullptr || d->getErrorName(result, &name) != success || name == nullptr) name = "unknown";
  return refuse(-errnoOf(result), "%s: the CUDA driver says %s (%d)", what, name, result);
}

}  // namespace cuda
}  // namespace terrace
