#include "bus_guard.h"

#include <setjmp.h>
#include <signal.h>

#include <cerrno>
#include <cstdint>
#include <mutex>

namespace terrace {
namespace {

struct Guard {
  sigjmp_buf back;
  const FragileSpan* spans;
};

/** Initial-exec: reading it in a signal handler must not allocate. */
__attribute__((tls_model("initial-exec"))) thread_local Guard* volatile guardOfThread = nullptr;
struct sigaction previous;

bool covers(const Guard& guard, const void* address) {
  for (int i = 0; i < 2; i++) {
    const auto base = reinterpret_cast<uintptr_t>(guard.spans[i].base);
    if (reinterpret_cast<uintptr_t>(address) - base < guard.spans[i].byteCount) return true;
  }
  return false;
}

void onBusError(int signal, siginfo_t* info, void* context) {
  Guard* const guard = guardOfThread;
  if (guard != nullptr && covers(*guard, info->si_addr)) siglongjmp(guard->back, 1);
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    // Not ours: the access is repeated under the former disposition, and ends the process as it would have.
    sigaction(SIGBUS, &previous, nullptr);
    // One that was sent has no access to repeat.
    if (info->si_code <= 0) raise(signal);
  }
}

void installOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = onBusError;
    // SA_NODEFER: the handler is left by a jump, which does not unblock the signal.
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous);
  });
}

}  // namespace

int guardedRun(const FragileSpan (&spans)[2], void (*work)(void*), void* context) {
  installOnce();
  Guard guard;
  guard.spans = spans;
  if (sigsetjmp(guard.back, 0) != 0) {
    guardOfThread = nullptr;
    return -EFAULT;
  }
  guardOfThread = &guard;
  work(context);
  guardOfThread = nullptr;
  return 0;
}

}  // namespace terrace
