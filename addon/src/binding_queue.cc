#include "binding_queue.h"

#include <cerrno>
#include <cstring>
#include <new>

#include "limits.h"

namespace terrace {
namespace {

QueueBinding* queueOf(Arguments& args, uint32_t handle) {
  auto& queues = Environment::of(args.env()).queues;
  const auto found = queues.find(handle);
  if (found != queues.end()) return found->second.get();
  args.wrong("queue", "is not open in this thread");
  return nullptr;
}

napi_value openQueue(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "openQueue");
  const auto threadCount = static_cast<uint32_t>(args.whole(0, "threadCount", 1, queueThreadsMax));
  const napi_value onReady = args.function(1, "onReady");
  if (args.failed()) return args.raise();
  return QueueBinding::open(Environment::of(env), args, threadCount, onReady);
}

napi_value closeQueue(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "closeQueue");
  const uint32_t handle = args.handle(0, "queue");
  QueueBinding* const queue = args.failed() ? nullptr : queueOf(args, handle);
  return queue == nullptr ? args.raise() : queue->close(args);
}

napi_value submit(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "submit");
  const uint32_t handle = args.handle(0, "queue");
  const View<double> numbers = args.numbers(1, "steps");
  const auto stepCount = static_cast<uint32_t>(args.whole(2, "stepCount", 0, UINT32_MAX));
  const View<uint8_t> seals = args.bytes(3, "seals");
  QueueBinding* const queue = args.failed() ? nullptr : queueOf(args, handle);
  if (queue == nullptr) return args.raise();
  return queue->submit(args, numbers, stepCount, args.at(3), seals.length);
}

napi_value drain(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "drain");
  const uint32_t handle = args.handle(0, "queue");
  const View<double> into = args.numbers(1, "into");
  if (args.failed()) return args.raise();
  auto& queues = Environment::of(env).queues;
  const auto found = queues.find(handle);
  if (found != queues.end()) return found->second->drain(args, into);
  // A callback that was late: the queue was closed and everything had been drained.
  const int none = terrace_drain(handle, nullptr, 0);
  return none < 0 ? args.raise(none) : numberOf(env, 0);
}

}  // namespace

napi_value QueueBinding::open(Environment& environment, Arguments& args, uint32_t threadCount,
                              napi_value onReady) {
  std::unique_ptr<QueueBinding> binding(new QueueBinding(environment));
  binding->wake_ = Wake::open(environment.env, onWake, onWakeEnded, binding.get());
  if (binding->wake_ == nullptr) {
    args.wrong("onReady", "this Node gives no way to call back");
    return args.raise();
  }
  const terrace_queue_options options = {sizeof options, threadCount, binding->wake_->ready(),
                                         binding->wake_->readyContext()};
  const int status = terrace_open_queue(&options, &binding->handle_);
  const bool watched = status == 0 && binding->wake_->watch(terrace_queue_descriptor(binding->handle_)) &&
                       napi_create_reference(environment.env, onReady, 1, &binding->onReady_) == napi_ok;
  QueueBinding& queue = *binding;
  queue.number_ = watched ? queue.handle_ : environment.nextFailed++;
  environment.queues.emplace(queue.number_, std::move(binding));
  if (watched) {
    // Hooks run in reverse order: this one before those of the wake, which was opened earlier.
    napi_add_env_cleanup_hook(environment.env, onEnvironmentEnds, &queue);
    return numberOf(environment.env, queue.handle_);
  }
  // Nobody knows the queue yet: it ends by itself, and the wake with it.
  queue.isClosing_ = queue.hasEnded_ = true;
  if (status == 0) {
    terrace_stop_queue(queue.handle_);
    terrace_wait_queue(queue.handle_);
  }
  queue.wake_->close();
  if (status < 0) return args.raise(status);
  args.wrong("onReady", "the event loop refuses to watch the queue");
  return args.raise();
}

napi_value QueueBinding::close(Arguments& args) {
  if (isClosing_) {
    args.wrong("queue", "is closing already");
    return args.raise();
  }
  napi_value promise = nullptr;
  if (napi_create_promise(environment_.env, &closing_, &promise) != napi_ok) return nullptr;
  isClosing_ = true;
  terrace_stop_queue(handle_);
  keepAlive();
  return promise;
}

void QueueBinding::abandon() {
  terrace_stop_queue(handle_);
  terrace_wait_queue(handle_);
  const bool wakeIsGoing = hasEnded_;
  hasEnded_ = true;
  inFlight_ = 0;
  if (wake_ != nullptr && !wakeIsGoing) wake_->close();
  freeIfDone();
}

void QueueBinding::onEnvironmentEnds(void* self) {
  auto& queue = *static_cast<QueueBinding*>(self);
  queue.environment_.ending = true;
  terrace_stop_queue(queue.handle_);
  terrace_wait_queue(queue.handle_);
}

void QueueBinding::onWake(void* self) { static_cast<QueueBinding*>(self)->look(); }

void QueueBinding::onWakeEnded(void* self) {
  auto* const queue = static_cast<QueueBinding*>(self);
  queue->wake_ = nullptr;
  queue->freeIfDone();
}

void QueueBinding::look() {
  if (environment_.ending || hasEnded_) return;
  // In this order: what completed before the end must be told before the end.
  const bool ended = isClosing_ && terrace_queue_ended(handle_) == 1;
  const uint64_t drainedBefore = drained_;
  if (terrace_queue_waiting(handle_) == 1) callReady();
  if (environment_.ending) return;
  if (ended) return finishClose();
  // A callback that drained, but not to the end, is called again; one that drains later re-arms by that.
  if (drained_ != drainedBefore && terrace_queue_waiting(handle_) == 1) wake_->again();
}

void QueueBinding::callReady() {
  const napi_env env = environment_.env;
  napi_handle_scope scope = nullptr;
  napi_value receiver = nullptr, function = nullptr, error = nullptr;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_get_global(env, &receiver);
  napi_get_reference_value(env, onReady_, &function);
  if (napi_make_callback(env, nullptr, receiver, function, 0, nullptr, nullptr) == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok)
    napi_fatal_exception(env, error);
  napi_close_handle_scope(env, scope);
}

void QueueBinding::finishClose() {
  const napi_env env = environment_.env;
  terrace_wait_queue(handle_);
  hasEnded_ = true;
  napi_handle_scope scope = nullptr;
  napi_callback_scope callbacks = nullptr;
  napi_value resource = nullptr, undefined = nullptr;
  napi_async_context context = nullptr;
  napi_open_handle_scope(env, &scope);
  napi_create_object(env, &resource);
  napi_get_undefined(env, &undefined);
  napi_value name = nullptr;
  napi_create_string_utf8(env, "terrace", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, resource, name, &context);
  // The scope runs what waits for the promise.
  napi_open_callback_scope(env, resource, context, &callbacks);
  napi_resolve_deferred(env, closing_, undefined);
  napi_delete_reference(env, onReady_);
  onReady_ = nullptr;
  napi_close_callback_scope(env, callbacks);
  napi_async_destroy(env, context);
  napi_close_handle_scope(env, scope);
  wake_->close();
}

void QueueBinding::freeIfDone() {
  if (!hasEnded_ || wake_ != nullptr || inFlight_ > 0) return;
  Environment& environment = environment_;
  if (!environment.ending) {
    for (const Seals& row : seals_)
      if (row.array != nullptr) napi_delete_reference(environment.env, row.array);
    if (onReady_ != nullptr) napi_delete_reference(environment.env, onReady_);
    napi_remove_env_cleanup_hook(environment.env, onEnvironmentEnds, this);
  }
  terrace_free_queue(handle_);
  environment.queues.erase(number_);
  environment.endIfIdle();
}

void QueueBinding::keepAlive() {
  if (wake_ != nullptr && !hasEnded_) wake_->keepAlive(inFlight_ > 0 || isClosing_);
}

void bindQueues(napi_env env, napi_value exports) {
  exportFunction(env, exports, "openQueue", openQueue);
  exportFunction(env, exports, "closeQueue", closeQueue);
  exportFunction(env, exports, "submit", submit);
  exportFunction(env, exports, "drain", drain);
}

}  // namespace terrace
