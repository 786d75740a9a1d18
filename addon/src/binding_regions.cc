#include <cstdio>

#include "binding.h"
#include "capi.h"
#include "limits.h"

namespace terrace {
namespace {

napi_value openMemory(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "openMemory");
  const uint64_t byteCount = args.whole(0, "byteCount", 1, byteCountMax);
  if (args.failed()) return args.raise();
  uint32_t region = 0;
  const int status = terrace_open_memory(byteCount, &region);
  return status < 0 ? args.raise(status) : numberOf(env, region);
}

napi_value openShared(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "openShared");
  const int descriptor = args.descriptor(0, "descriptor");
  const uint64_t byteCount = args.whole(1, "byteCount", 1, byteCountMax);
  const bool writable = args.flag(2, "writable");
  if (args.failed()) return args.raise();
  uint32_t region = 0;
  const int status = terrace_open_shared(descriptor, byteCount, writable, &region);
  return status < 0 ? args.raise(status) : numberOf(env, region);
}

napi_value openFile(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "openFile");
  const std::string path = args.text(0, "path");
  const uint64_t byteCount = args.whole(1, "byteCount", slotPageBytes, byteCountMax);
  const bool direct = args.flag(2, "direct");
  if (args.failed()) return args.raise();
  uint32_t region = 0;
  const int status = terrace_open_file(path.c_str(), byteCount, direct, &region);
  return status < 0 ? args.raise(status) : numberOf(env, region);
}

napi_value closeRegion(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "closeRegion");
  const uint32_t region = args.handle(0, "region");
  if (args.failed()) return args.raise();
  const int status = terrace_close_region(region);
  if (status < 0) return args.raise(status);
  // Windows that JavaScript still holds keep the memory; from here on the collector decides.
  auto& windows = Environment::of(env).windows;
  const auto found = windows.find(region);
  if (found != windows.end()) {
    napi_delete_reference(env, found->second);
    windows.erase(found);
  }
  return nothing();
}

void onBufferGone(napi_env, void*, void* hold) { terrace_release_window(hold); }

/** The ArrayBuffer over the whole region. One per region: V8 may not see the same memory through two. */
napi_value bufferOf(Arguments& args, uint32_t region) {
  auto& windows = Environment::of(args.env()).windows;
  napi_value buffer = nullptr;
  const auto found = windows.find(region);
  if (found != windows.end() && napi_get_reference_value(args.env(), found->second, &buffer) == napi_ok)
    return buffer;
  uint64_t byteCount = 0;
  void* address = nullptr;
  void* hold = nullptr;
  int status = terrace_region_byte_count(region, &byteCount);
  if (status == 0) status = terrace_window(region, 0, byteCount, &address, &hold);
  if (status < 0) return args.raise(status);
  napi_ref reference = nullptr;
  if (napi_create_external_arraybuffer(args.env(), address, byteCount, onBufferGone, hold, &buffer) !=
      napi_ok) {
    terrace_release_window(hold);
    args.wrong("region", "this Node cannot give a window of so many bytes");
    return args.raise();
  }
  if (napi_create_reference(args.env(), buffer, 1, &reference) == napi_ok) windows[region] = reference;
  return buffer;
}

napi_value windowOf(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "windowOf");
  const uint32_t region = args.handle(0, "region");
  const uint64_t offset = args.whole(1, "offset", 0, byteCountMax);
  const uint64_t byteCount = args.whole(2, "byteCount", 0, byteCountMax);
  if (args.failed()) return args.raise();
  void* address = nullptr;
  void* hold = nullptr;
  const int status = terrace_window(region, offset, byteCount, &address, &hold);
  if (status < 0) return args.raise(status);
  terrace_release_window(hold);
  const napi_value buffer = bufferOf(args, region);
  if (buffer == nullptr) return nullptr;
  napi_value window = nullptr;
  if (napi_create_typedarray(env, napi_uint8_array, byteCount, buffer, offset, &window) != napi_ok) {
    args.wrong("byteCount", "this Node cannot give a window of so many bytes");
    return args.raise();
  }
  return window;
}

napi_value descriptorOf(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "descriptorOf");
  const uint32_t region = args.handle(0, "region");
  if (args.failed()) return args.raise();
  const int descriptor = terrace_descriptor(region);
  return descriptor < 0 ? args.raise(descriptor) : numberOf(env, descriptor);
}

constexpr size_t planeNumbers = 5;

/** The five numbers of a plane, each checked under its own name. */
void readPlane(Arguments& args, const double* numbers, size_t index, terrace_plane& plane) {
  static const char* const names[planeNumbers] = {"baseOffset", "layerStride", "blockStride", "layerCount",
                                                  "pieceBytes"};
  for (size_t i = 0; i < planeNumbers; i++) {
    if (isWhole(numbers[i], 0, static_cast<double>(byteCountMax))) continue;
    char path[48];
    snprintf(path, sizeof path, "planes[%zu].%s", index, names[i]);
    return args.wrong(path, "must be a whole number");
  }
  plane = {sizeof plane,
           0,
           static_cast<uint64_t>(numbers[0]),
           static_cast<uint64_t>(numbers[1]),
           static_cast<uint64_t>(numbers[2]),
           static_cast<uint64_t>(numbers[3]),
           static_cast<uint64_t>(numbers[4])};
}

napi_value openPlace(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "openPlace");
  const View<double> numbers = args.numbers(0, "planes");
  const size_t count = numbers.length / planeNumbers;
  if (count < 1 || count > placePlanesMax || numbers.length % planeNumbers != 0)
    args.wrong("planes", "must have five numbers for each of 1 to 8 planes");
  terrace_plane planes[placePlanesMax] = {};
  for (size_t i = 0; i < count && !args.failed(); i++)
    readPlane(args, numbers.data + i * planeNumbers, i, planes[i]);
  if (args.failed()) return args.raise();
  uint32_t place = 0;
  const int status = terrace_open_place(planes, static_cast<uint32_t>(count), &place);
  return status < 0 ? args.raise(status) : numberOf(env, place);
}

napi_value closePlace(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "closePlace");
  const uint32_t place = args.handle(0, "place");
  if (args.failed()) return args.raise();
  const int status = terrace_close_place(place);
  return status < 0 ? args.raise(status) : nothing();
}

}  // namespace

void bindRegions(napi_env env, napi_value exports) {
  exportFunction(env, exports, "openMemory", openMemory);
  exportFunction(env, exports, "openShared", openShared);
  exportFunction(env, exports, "openFile", openFile);
  exportFunction(env, exports, "closeRegion", closeRegion);
  exportFunction(env, exports, "windowOf", windowOf);
  exportFunction(env, exports, "descriptorOf", descriptorOf);
  exportFunction(env, exports, "openPlace", openPlace);
  exportFunction(env, exports, "closePlace", closePlace);
}

}  // namespace terrace
