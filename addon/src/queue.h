#pragma once

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "capi.h"
#include "handles.h"
#include "step.h"

namespace terrace {

/** Two rings and the threads between them. Steps go in from above, completions come out; the number of steps
 * taken and not yet drained is limited to the length of the rings, so a worker never waits for room.
 *
 * Waking: the owner is told once that completions wait, and again only after it has found the ring empty.
 * Both happen under the ring's lock, so no wake-up is lost. */
class Queue {
 public:
  static int open(const terrace_queue_options& options, uint32_t* handle);
  ~Queue();

  int submit(const terrace_step* given, uint32_t count);
  uint32_t drain(terrace_completion* into, uint32_t count);
  /** Completions wait, and the owner has been told already. */
  bool waiting();
  void stop();
  bool ended() const { return running_ == 0; }
  /** Waits for the threads of a stopped queue. */
  void join();
  int descriptor() const { return descriptor_; }
  bool stopped() const { return stopping_; }

 private:
  struct Thread {
    pthread_t id;
    Queue* queue;
    uint32_t number;
  };

  Queue() = default;
  int start(const terrace_queue_options& options);
  static void* run(void* thread);
  void work(uint8_t* page);
  void complete(const Step& step, uint8_t* page);
  void wake();

  // Order of destruction: the threads are joined first (destructor), then the rings go.
  /** Steps of the batch that is being checked, and who may check. */
  std::mutex submitMutex_;
  std::vector<Step> resolved_;

  std::mutex stepsMutex_;
  std::condition_variable stepsCame_;
  std::vector<Step> steps_;
  uint64_t stepsHead_ = 0;
  uint64_t stepsTail_ = 0;
  std::atomic<bool> stopping_{false};

  std::mutex completionsMutex_;
  std::vector<terrace_completion> completions_;
  uint64_t completionsHead_ = 0;
  uint64_t completionsTail_ = 0;
  bool armed_ = true;

  /** Steps taken and not drained. */
  std::atomic<uint32_t> inFlight_{0};
  std::atomic<uint32_t> running_{0};
  void (*ready_)(void*) = nullptr;
  void* readyContext_ = nullptr;
  int descriptor_ = -1;
  std::vector<Thread> threads_;
  std::mutex joinMutex_;
  bool joined_ = false;
};

using Queues = Handles<Queue, 3>;
Queues& queues();

}  // namespace terrace
