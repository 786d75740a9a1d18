#include "queue.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "limits.h"
#include "problem.h"

namespace terrace {

Queues& queues() {
  // Never destroyed: threads may still run while the process exits.
  static Queues* const table = new Queues;
  return *table;
}

int Queue::open(const terrace_queue_options& options, uint32_t* handle) {
  if (options.size != sizeof options) return refuse(-EINVAL, "options.size: unknown size %u", options.size);
  if (options.thread_count < 1 || options.thread_count > queueThreadsMax)
    return refuse(-EINVAL, "threadCount: must be 1 to %u", queueThreadsMax);
  std::shared_ptr<Queue> queue(new Queue);
  if (const int failed = queue->start(options)) return failed;
  *handle = queues().add(queue);
  return *handle == 0 ? refuse(-EMFILE, "queues: too many are open") : 0;
}

int Queue::start(const terrace_queue_options& options) {
  ready_ = options.ready;
  readyContext_ = options.context;
  descriptor_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (descriptor_ < 0) return refuseErrno(errno, "eventfd");
  steps_.resize(queueStepsMax);
  completions_.resize(queueStepsMax);
  threads_.reserve(options.thread_count);
  // Signals of the process belong to its own threads. Those of a copy itself are always its thread's.
  sigset_t all, before;
  sigfillset(&all);
  for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, own);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  for (uint32_t i = 0; i < options.thread_count && error == 0; i++) {
    threads_.push_back({{}, this, i});
    running_++;
    error = pthread_create(&threads_.back().id, nullptr, run, &threads_.back());
    if (error != 0) {
      threads_.pop_back();
      running_--;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error == 0 ? 0 : refuseErrno(error, "threadCount: thread %zu", threads_.size());
}

Queue::~Queue() {
  stop();
  join();
  if (descriptor_ >= 0) close(descriptor_);
}

void* Queue::run(void* given) {
  const Thread& thread = *static_cast<Thread*>(given);
  char name[16];
  snprintf(name, sizeof name, "terrace-io-%u", thread.number);
  pthread_setname_np(pthread_self(), name);
  void* page = nullptr;
  if (posix_memalign(&page, slotPageBytes, slotPageBytes) == 0)
    thread.queue->work(static_cast<uint8_t*>(page));
  free(page);
  // The last one out tells the owner. The queue is still there: its destructor joins this thread first.
  if (--thread.queue->running_ == 0) thread.queue->wake();
  return nullptr;
}

void Queue::work(uint8_t* page) {
  std::unique_lock<std::mutex> lock(stepsMutex_);
  for (;;) {
    stepsCame_.wait(lock, [this] { return stepsHead_ != stepsTail_ || stopping_; });
    if (stepsHead_ == stepsTail_) return;
    Step step = std::move(steps_[stepsHead_++ % queueStepsMax]);
    lock.unlock();
    complete(step, page);
    // Outside the lock: the last one to hold a closed region unmaps it.
    step.release();
    lock.lock();
  }
}

void Queue::complete(const Step& step, uint8_t* page) {
  terrace_completion done;
  done.size = sizeof done;
  done.ticket = step.ticket;
  done.cookie = step.cookie;
  if (stopping_) {
    done.status = TERRACE_CLOSED;
    done.byte_count = 0;
    done.checksum = 0;
    done.has_seal = 0;
  } else {
    performStep(step, page, done);
  }
  const std::lock_guard<std::mutex> lock(completionsMutex_);
  completions_[completionsTail_++ % queueStepsMax] = done;
  if (armed_) {
    armed_ = false;
    wake();
  }
}

void Queue::wake() {
  if (ready_ != nullptr) return ready_(readyContext_);
  const uint64_t one = 1;
  // It can only fail when the counter is full, and then the owner has been told more than often enough.
  static_cast<void>(!write(descriptor_, &one, sizeof one));
}

int Queue::submit(const terrace_step* given, uint32_t count) {
  const std::lock_guard<std::mutex> submitting(submitMutex_);
  const uint32_t room = queueStepsMax - inFlight_;
  const uint32_t taken = count < room ? count : room;
  if (resolved_.size() < taken) resolved_.resize(taken);
  Step spare;
  int failed = 0;
  // All are checked before any is taken, those that do not fit as well.
  for (uint32_t i = 0; i < count && failed == 0; i++)
    failed = resolveStep(given[i], i, i < taken ? resolved_[i] : spare);
  if (failed == 0) {
    const std::lock_guard<std::mutex> lock(stepsMutex_);
    if (stopping_) failed = refuse(-EPIPE, "queue: is closing");
    // Only this thread adds; others can only make more room.
    for (uint32_t i = 0; i < taken && failed == 0; i++)
      steps_[stepsTail_++ % queueStepsMax] = std::move(resolved_[i]);
    if (failed == 0) inFlight_ += taken;
  }
  if (failed != 0) {
    // Nothing may stay held: a region that is closed now must go.
    for (uint32_t i = 0; i < taken; i++) resolved_[i].release();
    return failed;
  }
  if (taken == 1)
    stepsCame_.notify_one();
  else if (taken > 1)
    stepsCame_.notify_all();
  return static_cast<int>(taken);
}

uint32_t Queue::drain(terrace_completion* into, uint32_t count) {
  const std::lock_guard<std::mutex> lock(completionsMutex_);
  uint32_t moved = 0;
  while (moved < count && completionsHead_ != completionsTail_)
    into[moved++] = completions_[completionsHead_++ % queueStepsMax];
  if (completionsHead_ == completionsTail_) armed_ = true;
  inFlight_ -= moved;
  return moved;
}

bool Queue::waiting() {
  const std::lock_guard<std::mutex> lock(completionsMutex_);
  return completionsHead_ != completionsTail_;
}

void Queue::stop() {
  {
    const std::lock_guard<std::mutex> lock(stepsMutex_);
    stopping_ = true;
  }
  stepsCame_.notify_all();
}

void Queue::join() {
  const std::lock_guard<std::mutex> joining(joinMutex_);
  if (joined_) return;
  joined_ = true;
  for (const Thread& thread : threads_) pthread_join(thread.id, nullptr);
}

}  // namespace terrace
