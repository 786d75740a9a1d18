/** GPU memory: what takes long is done on a thread of Node's pool, and answered by a promise. */
#include <cstdio>
#include <new>

#include "binding.h"
#include "capi.h"
#include "limits.h"
#include "problem.h"

namespace terrace {
namespace {

/** One call on its way through the pool. */
struct Opening {
  uint32_t door;
  int list;
  uint64_t byteCount;
  bool writable;
  uint32_t region = 0;
  int status = 0;
  char problem[256] = "";
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
};

void open(napi_env, void* given) {
  Opening& opening = *static_cast<Opening*>(given);
  opening.status = terrace_open_parts(opening.door, opening.list, opening.byteCount, opening.writable ? 1 : 0,
                                      &opening.region);
  if (opening.status < 0) snprintf(opening.problem, sizeof opening.problem, "openParts.%s", lastProblem());
}

void settle(napi_env env, napi_status, void* given) {
  Opening* const opening = static_cast<Opening*>(given);
  if (opening->status == 0) {
    napi_resolve_deferred(env, opening->deferred, numberOf(env, opening->region));
  } else {
    napi_value code = nullptr, text = nullptr, error = nullptr;
    napi_create_string_utf8(env, errnoName(-opening->status), NAPI_AUTO_LENGTH, &code);
    napi_create_string_utf8(env, opening->problem, NAPI_AUTO_LENGTH, &text);
    napi_create_error(env, code, text, &error);
    napi_reject_deferred(env, opening->deferred, error);
  }
  napi_delete_async_work(env, opening->work);
  delete opening;
}

napi_value openParts(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "openParts");
  const uint32_t door = args.handle(0, "door");
  const int list = args.descriptor(1, "descriptor");
  const uint64_t byteCount = args.whole(2, "byteCount", 1, byteCountMax);
  const bool writable = args.flag(3, "writable");
  if (args.failed()) return args.raise();
  auto* const opening = new (std::nothrow) Opening{door, list, byteCount, writable};
  napi_value promise = nullptr, name = nullptr;
  if (opening == nullptr || napi_create_promise(env, &opening->deferred, &promise) != napi_ok ||
      napi_create_string_utf8(env, "terrace", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, nullptr, name, open, settle, opening, &opening->work) != napi_ok ||
      napi_queue_async_work(env, opening->work) != napi_ok) {
    if (opening != nullptr && opening->work != nullptr) napi_delete_async_work(env, opening->work);
    delete opening;
    args.wrong("descriptor", "no memory to open it");
    return args.raise();
  }
  return promise;
}

napi_value describeDevices(napi_env env, napi_callback_info) {
  char text[8192];
  terrace_describe_devices(text, sizeof text);
  napi_value value = nullptr;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  return value;
}

}  // namespace

void bindDevices(napi_env env, napi_value exports) {
  exportFunction(env, exports, "openParts", openParts);
  exportFunction(env, exports, "describeDevices", describeDevices);
}

}  // namespace terrace
