/** Many threads open, use and close the same engine's memory at once: it is opened once at a time, each finds the
 * engine's bytes, and in the end nothing is open. For the sanitizers, which Python does not start under.
 *
 *   TERRACE_CUDA_LIBRARY=... addon-device */
#include <capi.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { threadCount = 6, rounds = 150, blockBytes = 64 << 10, blocks = 16 };

static terrace_device_part part;
static uint32_t expected[blocks];
static uint32_t place;
static pthread_barrier_t together;

static void must(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "%s: %s\n", what, terrace_problem());
  exit(1);
}

static void *driverCall(const char *name) {
  static void *driver = NULL;
  if (driver == NULL) driver = dlopen(getenv("TERRACE_CUDA_LIBRARY"), RTLD_NOW);
  void *const call = driver == NULL ? NULL : dlsym(driver, name);
  must(call != NULL, name);
  return call;
}

/** The engine's process: memory with known bytes, told to the other end of the pipe. It lives until it is killed. */
static void engine(int out) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  void *context = NULL;
  uint64_t address = 0;
  ((int (*)(unsigned))driverCall("cuInit"))(0);
  ((int (*)(void **, int))driverCall("cuDevicePrimaryCtxRetain"))(&context, 0);
  ((int (*)(void *))driverCall("cuCtxSetCurrent"))(context);
  must(((int (*)(uint64_t *, size_t))driverCall("cuMemAlloc_v2"))(&address, blocks * blockBytes) == 0, "cuMemAlloc");
  uint8_t *const bytes = malloc(blocks * blockBytes);
  for (int i = 0; i < blocks * blockBytes; i++) bytes[i] = (uint8_t)(i * 2654435761u >> 24);
  ((int (*)(uint64_t, const void *, size_t))driverCall("cuMemcpyHtoD_v2"))(address, bytes, blocks * blockBytes);
  for (int i = 0; i < blocks; i++) expected[i] = terrace_crc32c(bytes + i * blockBytes, blockBytes, 0);
  part.size = sizeof part;
  must(terrace_export_device(address, blocks * blockBytes, &part) == 0, "export");
  must(write(out, &part, sizeof part) == sizeof part && write(out, expected, sizeof expected) == sizeof expected, "pipe");
  for (;;) pause();
}

static void gatherAll(uint32_t queue, uint32_t region, uint32_t slots) {
  terrace_step steps[blocks];
  memset(steps, 0, sizeof steps);
  for (uint32_t i = 0; i < blocks; i++) {
    steps[i].size = sizeof steps[i];
    steps[i].operation = TERRACE_GATHER;
    steps[i].ticket = i;
    steps[i].source_region = region;
    steps[i].target_region = slots;
    steps[i].source = i;
    steps[i].target = i * (uint64_t)blockBytes;
    steps[i].byte_count = blockBytes;
    steps[i].place = place;
    steps[i].checksum = expected[i];
  }
  must(terrace_submit(queue, steps, blocks) == blocks, "submit");
  struct pollfd ready = {terrace_queue_descriptor(queue), POLLIN, 0};
  for (int finished = 0; finished < blocks;) {
    must(poll(&ready, 1, 30000) == 1, "a step did not end");
    uint64_t count;
    must(read(ready.fd, &count, sizeof count) == sizeof count, "eventfd");
    terrace_completion done[blocks];
    int moved;
    while ((moved = terrace_drain(queue, done, blocks)) > 0)
      for (int i = 0; i < moved; i++, finished++) must(done[i].status == TERRACE_OK, "the engine's bytes");
  }
}

static void *use(void *unused) {
  (void)unused;
  uint32_t queue = 0, slots = 0;
  const terrace_queue_options options = {sizeof options, 1, NULL, NULL};
  must(terrace_open_queue(&options, &queue) == 0 && terrace_open_memory(blocks * blockBytes, &slots) == 0, "open");
  for (int round = 0; round < rounds; round++) {
    uint32_t region = 0;
    must(terrace_open_device(&part, 1, 1, &region) == 0, "open device");
    gatherAll(queue, region, slots);
    // All at once: the last one to close lets go of the memory while the others want it again.
    pthread_barrier_wait(&together);
    must(terrace_close_region(region) == 0, "close");
  }
  must(terrace_stop_queue(queue) == 0 && terrace_wait_queue(queue) == 0 && terrace_free_queue(queue) == 0, "end");
  must(terrace_close_region(slots) == 0, "close slots");
  return NULL;
}

int main(void) {
  int pipes[2];
  must(pipe(pipes) == 0, "pipe");
  const pid_t child = fork();
  if (child == 0) engine(pipes[1]);
  must(read(pipes[0], &part, sizeof part) == sizeof part, "part");
  must(read(pipes[0], expected, sizeof expected) == sizeof expected, "sums");
  const terrace_plane plane = {sizeof plane, 0, 0, 0, blockBytes, 1, blockBytes};
  must(terrace_open_place(&plane, 1, &place) == 0, "place");
  pthread_t threads[threadCount];
  pthread_barrier_init(&together, NULL, threadCount);
  for (int i = 0; i < threadCount; i++) must(pthread_create(&threads[i], NULL, use, NULL) == 0, "thread");
  for (int i = 0; i < threadCount; i++) pthread_join(threads[i], NULL);
  must(terrace_close_place(place) == 0, "close place");
  // All memory of the driver's is given back: what is left is its own.
  size_t left = 0, total = 0;
  ((int (*)(size_t *, size_t *))driverCall("cuMemGetInfo_v2"))(&left, &total);
  must(left == total, "nothing stays open");
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  return 0;
}
