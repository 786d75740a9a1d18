#pragma once

#include <node_api.h>

#include <cstdint>

namespace terrace {

/** Brings "something is ready" from worker threads to the event loop of one environment. Primary: an eventfd
 * of the queue, watched by the loop (nothing of Node is touched off its thread, so nothing races with its
 * end). Where the loop's headers are missing or do not fit the running Node, a thread-safe function. */
class Wake {
 public:
  /** Called on the loop's thread. */
  using Callback = void (*)(void* context);

  /** Null when neither way works. `ended` is called once nothing can call back any more, and this is gone. */
  static Wake* open(napi_env env, Callback callback, Callback ended, void* context);
  virtual ~Wake() = default;

  /** What the queue must be opened with; null for the queue's own descriptor. */
  virtual Callback ready() = 0;
  virtual void* readyContext() = 0;
  /** Starts to watch, once the queue is open. False when that is impossible. */
  virtual bool watch(int descriptor) = 0;
  /** Whether waiting for this keeps the process alive. */
  virtual void keepAlive(bool alive) = 0;
  /** Asks for one more callback. On the loop's thread. */
  virtual void again() = 0;
  virtual void close() = 0;
  /** "poll" or "function", for `describe`. */
  static const char* kind(napi_env env);
};

}  // namespace terrace
