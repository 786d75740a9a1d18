#pragma once

#include <cstddef>
#include <cstdint>

namespace terrace {

/** The part of the CUDA driver's interface that is used here, declared by hand: nothing needs a toolkit to
 * build. The library is looked for when the first device region is opened, and may be absent. */
namespace cuda {

using Result = int;
using Device = int;
using Address = uint64_t;
using Context = struct ContextTag*;
using Stream = struct StreamTag*;
using Event = struct EventTag*;
using Module = struct ModuleTag*;
using Function = struct FunctionTag*;
using Allocation = uint64_t;

enum : Result {
  success = 0,
  invalidValue = 1,
  outOfMemory = 2,
  invalidContext = 201,
  mapFailed = 205,
  notReady = 600,
  alreadyRegistered = 712,
};

enum Attribute : int {
  multiprocessorCount = 16,
  memoryPitchMax = 11,
};
enum PointerAttribute : int {
  deviceOrdinalOf = 9,
  isLegacyIpcCapable = 10,
  allowedHandleTypes = 14,
  mappingSizeOf = 18,
  mappingBaseOf = 19,
};

constexpr unsigned streamNonBlocking = 1;
constexpr unsigned eventBlockingSync = 1;
constexpr unsigned eventWithoutTiming = 2;
constexpr unsigned ipcLazyPeerAccess = 1;
constexpr unsigned registerPortable = 1;
constexpr unsigned registerMapped = 2;
constexpr int handleIsDescriptor = 1;
constexpr int locationIsDevice = 1;
constexpr int accessReadWrite = 3;
constexpr unsigned memoryIsHost = 1;
constexpr unsigned memoryIsDevice = 2;
constexpr int orderOfStream = 1;
constexpr int orderAny = 3;
constexpr unsigned overlapWithCompute = 1;

struct Uuid {
  uint8_t bytes[16];
};
struct IpcHandle {
  uint8_t bytes[64];
};
struct Location {
  int type;
  int id;
};
struct AccessDescription {
  Location location;
  int flags;
};
struct CopyAttributes {
  int sourceOrder;
  Location sourceHint;
  Location targetHint;
  unsigned flags;
};
struct Copy2D {
  size_t sourceX, sourceY;
  unsigned sourceType;
  const void* sourceHost;
  Address sourceDevice;
  void* sourceArray;
  size_t sourcePitch;
  size_t targetX, targetY;
  unsigned targetType;
  void* targetHost;
  Address targetDevice;
  void* targetArray;
  size_t targetPitch;
  size_t widthBytes;
  size_t height;
};
static_assert(sizeof(CopyAttributes) == 24 && sizeof(Copy2D) == 128 && sizeof(AccessDescription) == 12,
              "the layouts of the driver");

/** Entry points. Those of the last group may be null: the driver is older than they are. */
struct Driver {
  int version;
  Result (*init)(unsigned);
  Result (*driverGetVersion)(int*);
  Result (*deviceGetCount)(int*);
  Result (*deviceGet)(Device*, int);
  Result (*deviceGetName)(char*, int, Device);
  Result (*deviceGetUuid)(Uuid*, Device);
  Result (*deviceGetAttribute)(int*, int, Device);
  Result (*primaryContextRetain)(Context*, Device);
  Result (*contextSetCurrent)(Context);
  Result (*getErrorName)(Result, const char**);
  Result (*memGetAddressRange)(Address*, size_t*, Address);
  Result (*pointerGetAttribute)(void*, int, Address);
  Result (*memHostRegister)(void*, size_t, unsigned);
  Result (*memHostUnregister)(void*);
  Result (*ipcGetMemHandle)(IpcHandle*, Address);
  Result (*ipcOpenMemHandle)(Address*, IpcHandle, unsigned);
  Result (*ipcCloseMemHandle)(Address);
  Result (*streamCreate)(Stream*, unsigned, int);
  Result (*streamDestroy)(Stream);
  Result (*streamSynchronize)(Stream);
  Result (*eventCreate)(Event*, unsigned);
  Result (*eventRecord)(Event, Stream);
  Result (*eventQuery)(Event);
  Result (*eventSynchronize)(Event);
  Result (*eventDestroy)(Event);
  Result (*memcpyAsync)(Address, Address, size_t, Stream);
  Result (*memcpy2DAsync)(const Copy2D*, Stream);
  Result (*launchKernel)(Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                         Stream, void**, void**);
  Result (*moduleLoadData)(Module*, const void*);
  Result (*moduleGetFunction)(Function*, Module, const char*);

  Result (*memAddressReserve)(Address*, size_t, size_t, Address, unsigned long long);
  Result (*memAddressFree)(Address, size_t);
  Result (*memMap)(Address, size_t, size_t, Allocation, unsigned long long);
  Result (*memUnmap)(Address, size_t);
  Result (*memSetAccess)(Address, size_t, const AccessDescription*, size_t);
  Result (*memRelease)(Allocation);
  Result (*memRetainAllocationHandle)(Allocation*, void*);
  Result (*memExportToShareableHandle)(void*, Allocation, int, unsigned long long);
  Result (*memImportFromShareableHandle)(Allocation*, void*, int);
  /** Of drivers from 13.0 on; those of 12.8 and 12.9 have one argument more. Only one of the two is set. */
  Result (*memcpyBatch)(Address*, Address*, size_t*, size_t, CopyAttributes*, size_t*, size_t, Stream);
  Result (*memcpyBatchOf12)(Address*, Address*, size_t*, size_t, CopyAttributes*, size_t*, size_t, size_t*,
                            Stream);

  bool hasBatches() const { return memcpyBatch != nullptr || memcpyBatchOf12 != nullptr; }
};

/** The driver, started, with one device at least; or null, with the reason as the problem (problem.h). Looked
 * for once: a machine does not get a GPU while we run. */
const Driver* driver();
/** Why there is none, in one phrase; "" when there is one or nobody has asked yet. */
const char* driverAbsence();

/** Refuses with what was being done, the driver's name for the result, and the errno that fits it. */
int refuseResult(Result result, const char* format, ...) __attribute__((format(printf, 2, 3)));
/** The errno that a result comes to. */
int errnoOf(Result result);

}  // namespace cuda
}  // namespace terrace
