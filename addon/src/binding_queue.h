#pragma once

#include <node_api.h>

#include <cstdint>
#include <vector>

#include "arguments.h"
#include "binding.h"
#include "capi.h"
#include "wake.h"

namespace terrace {

/** A queue as its environment sees it: who is to be called, what is in flight, whose arrays get the headers.
 * All of it on the environment's thread. */
class QueueBinding {
 public:
  static napi_value open(Environment& environment, Arguments& args, uint32_t threadCount, napi_value onReady);

  napi_value submit(Arguments& args, const View<double>& numbers, uint32_t stepCount, napi_value seals,
                    size_t sealsLength);
  napi_value drain(Arguments& args, const View<double>& into);
  napi_value close(Arguments& args);
  /** The environment ends: nothing may call JavaScript any more, and no thread may stay. */
  void abandon();

 private:
  /** An array that headers of reads in flight will be put into. */
  struct Seals {
    napi_ref array = nullptr;
    uint32_t waiting = 0;
  };

  explicit QueueBinding(Environment& environment) : environment_(environment) {}
  /** Before anything that the wake is made of ends: joins the threads that could still use it. */
  static void onEnvironmentEnds(void* self);
  static void onWake(void* self);
  static void onWakeEnded(void* self);
  void look();
  void callReady();
  void finishClose();
  /** Deletes this once the queue has ended, its wake is gone and nothing waits to be drained. */
  void freeIfDone();
  void keepAlive();

  void decode(Arguments& args, const double* numbers, uint32_t index, size_t sealsLength,
              const uint8_t* seals, terrace_step& step);
  uint32_t sealsIndexOf(napi_value array);
  void putSeal(const terrace_completion& done, double* completion);
  void releaseSeals(uint64_t cookie);

  Environment& environment_;
  uint32_t handle_ = 0;
  /** Its number in the environment. */
  uint64_t number_ = 0;
  Wake* wake_ = nullptr;
  napi_ref onReady_ = nullptr;
  napi_deferred closing_ = nullptr;
  bool isClosing_ = false;
  bool hasEnded_ = false;
  uint32_t inFlight_ = 0;
  /** Completions handed out so far: tells whether a callback drained anything. */
  uint64_t drained_ = 0;
  std::vector<terrace_step> steps_;
  std::vector<Seals> seals_;
};

}  // namespace terrace
