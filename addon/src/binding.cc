/** Entry of the Node addon. The binding decodes arguments and calls the C ABI; it decides nothing. */
#include "binding.h"

#include <cstdio>
#include <new>
#include <vector>

#include "binding_queue.h"
#include "capi.h"
#include "wake.h"

namespace terrace {
namespace {

napi_value describe(napi_env env, napi_callback_info) {
  char text[512];
  const size_t length = terrace_describe(text, sizeof text);
  // The one thing that only the binding knows, before the closing brace.
  snprintf(text + length - 1, sizeof text - length + 1, ",\"wake\":\"%s\"}", Wake::kind(env));
  napi_value value = nullptr;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  return value;
}

napi_value chain(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "chain");
  const View<uint8_t> secret = args.bytes(0, "secret", 1);
  const View<uint32_t> tokens = args.words(1, "tokens");
  const auto blockTokens = static_cast<uint32_t>(args.whole(2, "blockTokens", 1, 65536));
  const View<uint8_t> into = args.bytes(3, "into");
  if (args.failed()) return args.raise();
  const int64_t count = terrace_chain(secret.data, secret.length, tokens.data, tokens.length, blockTokens,
                                      into.data, into.length);
  return count < 0 ? args.raise(static_cast<int>(count)) : numberOf(env, static_cast<double>(count));
}

napi_value crc32c(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "crc32c");
  const View<uint8_t> bytes = args.bytes(0, "bytes");
  const auto previous = static_cast<uint32_t>(args.whole(1, "previous", 0, UINT32_MAX));
  if (args.failed()) return args.raise();
  return numberOf(env, terrace_crc32c(bytes.data, bytes.length, previous));
}

void onEnvironmentEnds(napi_async_cleanup_hook_handle handle, void* given) {
  auto& environment = *static_cast<Environment*>(given);
  environment.ending = true;
  std::vector<uint64_t> numbers;
  for (const auto& row : environment.queues) numbers.push_back(row.first);
  for (const uint64_t number : numbers) environment.queues[number]->abandon();
  // Only now: the last queue to go may take the environment with it.
  environment.cleanup = handle;
  environment.endIfIdle();
}

}  // namespace

Environment::Environment(napi_env given) : env(given) {}
Environment::~Environment() = default;

Environment& Environment::of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

void Environment::endIfIdle() {
  if (!ending || cleanup == nullptr || !queues.empty()) return;
  const napi_async_cleanup_hook_handle handle = cleanup;
  delete this;
  napi_remove_async_cleanup_hook(handle);
}

void exportFunction(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

napi_value numberOf(napi_env env, double value) {
  napi_value number = nullptr;
  napi_create_double(env, value, &number);
  return number;
}

}  // namespace terrace

NAPI_MODULE_INIT() {
  using namespace terrace;
  auto* const environment = new (std::nothrow) Environment(env);
  if (environment == nullptr || napi_set_instance_data(env, environment, nullptr, nullptr) != napi_ok ||
      napi_add_async_cleanup_hook(env, onEnvironmentEnds, environment, nullptr) != napi_ok) {
    delete environment;
    napi_throw_error(env, "ENOMEM", "terrace: the environment cannot be set up");
    return nullptr;
  }
  napi_set_named_property(env, exports, "abiVersion", numberOf(env, terrace_abi_version()));
  exportFunction(env, exports, "describe", describe);
  exportFunction(env, exports, "chain", chain);
  exportFunction(env, exports, "crc32c", crc32c);
  bindRegions(env, exports);
  bindQueues(env, exports);
  bindDoors(env, exports);
  bindDevices(env, exports);
  return exports;
}
