#include "wake.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>

#if !defined(TERRACE_WITHOUT_UV)
#include <uv.h>
#endif

namespace terrace {
namespace {

/** For tests of the second way on a machine that has the first. */
bool functionIsForced() {
  const char* const wanted = getenv("TERRACE_WAKE");
  return wanted != nullptr && strcmp(wanted, "function") == 0;
}

#if !defined(TERRACE_WITHOUT_UV)

class PollWake final : public Wake {
 public:
  PollWake(uv_loop_t* loop, Callback callback, Callback ended, void* context)
      : loop_(loop), callback_(callback), ended_(ended), context_(context) {}

  Callback ready() override { return nullptr; }
  void* readyContext() override { return nullptr; }

  bool watch(int descriptor) override {
    descriptor_ = descriptor;
    if (uv_poll_init(loop_, &poll_, descriptor) != 0) return false;
    poll_.data = this;
    watching_ = true;
    uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
    return uv_poll_start(&poll_, UV_READABLE, onReadable) == 0;
  }

  void keepAlive(bool alive) override {
    auto* const handle = reinterpret_cast<uv_handle_t*>(&poll_);
    alive ? uv_ref(handle) : uv_unref(handle);
  }

  void again() override {
    const uint64_t one = 1;
    static_cast<void>(!write(descriptor_, &one, sizeof one));
  }

  void close() override {
    if (!watching_) return finish();
    // Referenced, so that the loop lives until the handle is closed.
    keepAlive(true);
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_),
             [](uv_handle_t* handle) { static_cast<PollWake*>(handle->data)->finish(); });
  }

 private:
  static void onReadable(uv_poll_t* poll, int, int) {
    auto* const self = static_cast<PollWake*>(poll->data);
    uint64_t count;
    static_cast<void>(!read(self->descriptor_, &count, sizeof count));
    self->callback_(self->context_);
  }

  void finish() {
    const Callback ended = ended_;
    void* const context = context_;
    delete this;
    ended(context);
  }

  uv_loop_t* loop_;
  Callback callback_;
  Callback ended_;
  void* context_;
  int descriptor_ = -1;
  bool watching_ = false;
  uv_poll_t poll_;
};

/** The loop of the environment, if its poll handles have the size that we were compiled with. */
uv_loop_t* fittingLoop(napi_env env) {
  uv_loop_t* loop = nullptr;
  if (functionIsForced() || uv_handle_size(UV_POLL) != sizeof(uv_poll_t)) return nullptr;
  return napi_get_uv_event_loop(env, &loop) == napi_ok ? loop : nullptr;
}

#endif

class FunctionWake final : public Wake {
 public:
  FunctionWake(napi_env env, Callback callback, Callback ended, void* context)
      : env_(env), callback_(callback), ended_(ended), context_(context) {}

  bool create() {
    napi_value name;
    if (napi_create_string_utf8(env_, "terrace", NAPI_AUTO_LENGTH, &name) != napi_ok) return false;
    if (napi_create_threadsafe_function(env_, nullptr, nullptr, name, 0, 1, this, onFinalized, this, onCall,
                                        &function_) != napi_ok)
      return false;
    return napi_unref_threadsafe_function(env_, function_) == napi_ok;
  }

  Callback ready() override { return onReady; }
  void* readyContext() override { return this; }
  bool watch(int) override { return true; }
  void keepAlive(bool alive) override {
    alive ? napi_ref_threadsafe_function(env_, function_) : napi_unref_threadsafe_function(env_, function_);
  }
  void again() override { napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking); }
  void close() override { napi_release_threadsafe_function(function_, napi_tsfn_abort); }

 private:
  static void onReady(void* self) { static_cast<FunctionWake*>(self)->again(); }
  static void onCall(napi_env env, napi_value, void* context, void*) {
    auto* const self = static_cast<FunctionWake*>(context);
    if (env != nullptr) self->callback_(self->context_);
  }
  static void onFinalized(napi_env, void* data, void*) {
    auto* const self = static_cast<FunctionWake*>(data);
    const Callback ended = self->ended_;
    void* const context = self->context_;
    delete self;
    ended(context);
  }

  napi_env env_;
  Callback callback_;
  Callback ended_;
  void* context_;
  napi_threadsafe_function function_ = nullptr;
};

}  // namespace

Wake* Wake::open(napi_env env, Callback callback, Callback ended, void* context) {
#if !defined(TERRACE_WITHOUT_UV)
  if (uv_loop_t* const loop = fittingLoop(env))
    return new (std::nothrow) PollWake(loop, callback, ended, context);
#endif
  auto* const wake = new (std::nothrow) FunctionWake(env, callback, ended, context);
  if (wake != nullptr && wake->create()) return wake;
  delete wake;
  return nullptr;
}

const char* Wake::kind(napi_env env) {
#if !defined(TERRACE_WITHOUT_UV)
  if (fittingLoop(env) != nullptr) return "poll";
#else
  static_cast<void>(env);
#endif
  return "function";
}

}  // namespace terrace
