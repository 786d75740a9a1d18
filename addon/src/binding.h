#pragma once

#include <node_api.h>

#include <map>
#include <memory>

#include "arguments.h"

namespace terrace {

class QueueBinding;

/** What one environment (the main thread, or a worker thread of Node) keeps. Regions, places and doors belong
 * to the process; queues to the environment that opened them. */
struct Environment {
  napi_env env;
  napi_async_cleanup_hook_handle cleanup = nullptr;
  /** JavaScript must not be called any more. */
  bool ending = false;
  /** By handle; those that could not be opened, until their wake is gone, by numbers above all handles. */
  std::map<uint64_t, std::unique_ptr<QueueBinding>> queues;
  uint64_t nextFailed = uint64_t{1} << 32;
  /** The one ArrayBuffer of each region that was asked for a window. */
  std::map<uint32_t, napi_ref> windows;

  explicit Environment(napi_env given);
  ~Environment();
  static Environment& of(napi_env env);
  /** Lets the environment go once it is ending and nothing of it is open. */
  void endIfIdle();
};

/** Each adds its functions to the exports. */
void bindRegions(napi_env env, napi_value exports);
void bindQueues(napi_env env, napi_value exports);
void bindDoors(napi_env env, napi_value exports);
void bindDevices(napi_env env, napi_value exports);

void exportFunction(napi_env env, napi_value exports, const char* name, napi_callback callback);
napi_value numberOf(napi_env env, double value);
inline napi_value nothing() { return nullptr; }

}  // namespace terrace
