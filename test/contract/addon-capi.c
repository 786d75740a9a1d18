/** Drives the C ABI without Node: the same road that a Python adapter or a GPU test takes. Prints nothing and
 * exits 0 when all is as promised; else names the line. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capi.h"

#define CHECK(what)                                                                       \
  do {                                                                                    \
    if (!(what)) {                                                                        \
      fprintf(stderr, "line %d: %s (problem: %s)\n", __LINE__, #what, terrace_problem()); \
      exit(1);                                                                            \
    }                                                                                     \
  } while (0)

enum { page = 4096, payload = 3 * 1000, blocks = 100 };

static terrace_step step_of(uint32_t operation) {
  terrace_step step;
  memset(&step, 0, sizeof step);
  step.size = sizeof step;
  step.operation = operation;
  step.checksum = -1;
  return step;
}

/** Waits for one completion through the queue's descriptor. */
static terrace_completion finished(uint32_t queue) {
  terrace_completion done;
  memset(&done, 0, sizeof done);
  int count;
  while ((count = terrace_drain(queue, &done, 1)) == 0) {
    struct pollfd wait = {terrace_queue_descriptor(queue), POLLIN, 0};
    CHECK(poll(&wait, 1, 10000) == 1);
    uint64_t times;
    CHECK(read(wait.fd, &times, sizeof times) == sizeof times);
  }
  CHECK(count == 1 && done.size == sizeof done);
  return done;
}

static terrace_completion run(uint32_t queue, const terrace_step* step) {
  CHECK(terrace_submit(queue, step, 1) == 1);
  return finished(queue);
}

static void vectors(void) {
  CHECK(terrace_abi_version() == TERRACE_ABI_VERSION);
  CHECK(terrace_crc32c("123456789", 9, 0) == 0xe3069283);
  CHECK(terrace_crc32c("6789", 4, terrace_crc32c("12345", 5, 0)) == 0xe3069283);
  char text[512];
  CHECK(terrace_describe(text, sizeof text) < sizeof text && strstr(text, "\"crc32c\"") != NULL);
  CHECK(terrace_describe(NULL, 0) == strlen(text));
  const uint8_t secret[32] = {1};
  const uint32_t tokens[32] = {7};
  uint8_t keys[64] = {0};
  CHECK(terrace_chain(secret, 32, tokens, 32, 16, keys, 64) == 2);
  CHECK(terrace_chain(secret, 32, tokens, 32, 16, keys, 63) == -EINVAL);
  CHECK(strcmp(terrace_problem(), "into: has 63 bytes, the keys need 64") == 0);
}

static void round_trip(uint32_t queue, const char* path) {
  uint32_t engine, host, file, place;
  void *pieces, *slot, *hold_pieces, *hold_slot;
  CHECK(terrace_open_memory(1 << 20, &engine) == 0);
  CHECK(terrace_open_memory(64 * page, &host) == 0);
  CHECK(terrace_open_file(path, 64 * page, 1, &file) == 0);
  CHECK(terrace_window(engine, 0, 1 << 20, &pieces, &hold_pieces) == 0);
  CHECK(terrace_window(host, 0, 64 * page, &slot, &hold_slot) == 0);
  const terrace_plane plane = {sizeof plane, 0, 128, 300 * 1024, 1024, 3, 1000};
  CHECK(terrace_open_place(&plane, 1, &place) == 0);
  for (int i = 0; i < 1 << 20; i++) ((uint8_t*)pieces)[i] = (uint8_t)(i * 13 + (i >> 9));

  for (uint64_t block = 0; block < blocks; block += 33) {
    terrace_step gather = step_of(TERRACE_GATHER);
    gather.ticket = 0xfedcba9876543210u + block;
    gather.cookie = UINT64_MAX;
    gather.source_region = engine;
    gather.source = block;
    gather.target_region = host;
    gather.byte_count = payload;
    gather.place = place;
    const terrace_completion gathered = run(queue, &gather);
    CHECK(gathered.status == TERRACE_OK && gathered.ticket == gather.ticket && gathered.cookie == UINT64_MAX);
    CHECK(gathered.byte_count == payload && gathered.checksum == terrace_crc32c(slot, payload, 0));
    for (uint64_t layer = 0; layer < 3; layer++)
      CHECK(memcmp((uint8_t*)slot + layer * 1000, (uint8_t*)pieces + 128 + layer * 300 * 1024 + block * 1024,
                   1000) == 0);

    terrace_step write = step_of(TERRACE_WRITE);
    write.source_region = host;
    write.target_region = file;
    write.target = (block % 8) * 2 * page;
    write.byte_count = payload;
    write.has_seal = 1;
    memset(write.seal, (int)block, sizeof write.seal);
    CHECK(run(queue, &write).status == TERRACE_OK);

    terrace_step read = step_of(TERRACE_READ);
    read.source_region = file;
    read.source = write.target;
    read.target_region = host;
    read.target = 8 * page;
    read.byte_count = payload;
    read.has_seal = 1;
    read.checksum = gathered.checksum;
    const terrace_completion found = run(queue, &read);
    CHECK(found.status == TERRACE_OK && found.has_seal == 1);
    CHECK(memcmp(found.seal, write.seal, sizeof found.seal) == 0);
    CHECK(memcmp(slot, (uint8_t*)slot + 8 * page, payload) == 0);
    read.checksum ^= 1;
    CHECK(run(queue, &read).status == TERRACE_CHECKSUM);
  }
  terrace_release_window(hold_pieces);
  CHECK(terrace_close_region(engine) == 0 && terrace_close_region(engine) == -EINVAL);
  CHECK(terrace_close_region(file) == 0 && terrace_close_place(place) == 0);
  CHECK(terrace_close_region(host) == 0);
  /* A window outlives its region. */
  memset(slot, 1, 64 * page);
  terrace_release_window(hold_slot);
}

static void refusals(uint32_t queue) {
  uint32_t region = 0;
  CHECK(terrace_open_memory(page, &region) == 0);
  terrace_step steps[2] = {step_of(TERRACE_SUM), step_of(TERRACE_SUM)};
  steps[0].source_region = steps[1].source_region = region;
  steps[0].byte_count = 1;
  steps[1].byte_count = page + 1;
  CHECK(terrace_submit(queue, steps, 2) == -EINVAL);
  CHECK(strncmp(terrace_problem(), "steps[1].byteCount: outside region ", 35) == 0);
  steps[1].byte_count = 1;
  steps[1].size--;
  CHECK(terrace_submit(queue, steps, 2) == -EINVAL);
  CHECK(strncmp(terrace_problem(), "steps[1].size: unknown size ", 28) == 0);
  CHECK(terrace_submit(queue + 1, steps, 1) == -EINVAL);
  CHECK(terrace_submit(region, steps, 1) == -EINVAL);
  terrace_completion none;
  CHECK(terrace_drain(queue, &none, 1) == 0);
  CHECK(terrace_close_region(region) == 0);
}

static int ready_calls;
static void on_ready(void* context) { __atomic_add_fetch((int*)context, 1, __ATOMIC_SEQ_CST); }

/** A queue with a callback; stopped with work in it. */
static void ending(void) {
  const terrace_queue_options options = {sizeof options, 3, on_ready, &ready_calls};
  uint32_t queue, region;
  CHECK(terrace_open_queue(&options, &queue) == 0);
  CHECK(terrace_open_memory(1 << 24, &region) == 0);
  terrace_step step = step_of(TERRACE_SUM);
  step.source_region = region;
  step.byte_count = 1 << 24;
  for (int i = 0; i < 64; i++) CHECK(terrace_submit(queue, &step, 1) == 1);
  CHECK(terrace_free_queue(queue) == -EBUSY && terrace_wait_queue(queue) == -EBUSY);
  CHECK(terrace_stop_queue(queue) == 0);
  CHECK(terrace_submit(queue, &step, 1) == -EPIPE);
  CHECK(terrace_wait_queue(queue) == 0 && terrace_queue_ended(queue) == 1);
  CHECK(__atomic_load_n(&ready_calls, __ATOMIC_SEQ_CST) >= 1);
  int told = 0, count;
  terrace_completion done[10];
  while ((count = terrace_drain(queue, done, 10)) > 0) told += count;
  CHECK(told == 64);
  CHECK(terrace_free_queue(queue) == 0 && terrace_free_queue(queue) == -EINVAL);
  CHECK(terrace_drain(queue, done, 10) == 0);
  CHECK(terrace_close_region(region) == 0);
}

enum { crowd_threads = 4, crowd_steps = 1000 };

typedef struct crowd {
  uint32_t queue, region;
  uint64_t told;
} crowd;

/** Submits, drains, and opens and closes regions and places of its own, beside others that do the same. */
static void* crowd_member(void* given) {
  crowd* const all = given;
  terrace_step step = step_of(TERRACE_SUM);
  step.byte_count = 512;
  int sent = 0;
  while (sent < crowd_steps || __atomic_load_n(&all->told, __ATOMIC_SEQ_CST) < crowd_threads * crowd_steps) {
    if (sent < crowd_steps) {
      uint32_t own;
      CHECK(terrace_open_memory(page, &own) == 0);
      step.source_region = sent % 2 == 0 ? own : all->region;
      const int taken = terrace_submit(all->queue, &step, 1);
      CHECK(taken == 0 || taken == 1);
      sent += taken;
      CHECK(terrace_close_region(own) == 0);
    }
    terrace_completion done[8];
    const int count = terrace_drain(all->queue, done, 8);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) CHECK(done[i].status == TERRACE_OK || done[i].status == TERRACE_CLOSED);
    __atomic_add_fetch(&all->told, (uint64_t)count, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

/** Many threads at one queue: every step is told exactly once. */
static void crowded(uint32_t queue) {
  crowd all = {queue, 0, 0};
  CHECK(terrace_open_memory(page, &all.region) == 0);
  pthread_t members[crowd_threads];
  for (int i = 0; i < crowd_threads; i++) CHECK(pthread_create(&members[i], NULL, crowd_member, &all) == 0);
  for (int i = 0; i < crowd_threads; i++) CHECK(pthread_join(members[i], NULL) == 0);
  CHECK(all.told == crowd_threads * crowd_steps);
  terrace_completion none;
  CHECK(terrace_drain(queue, &none, 1) == 0 && terrace_close_region(all.region) == 0);
}

static void door(const char* path) {
  uint32_t handle, region;
  const uint8_t token[16] = {1, 2, 3}, other[16] = {3, 2, 1};
  CHECK(terrace_open_door(path, &handle) == 0);
  CHECK(terrace_take_descriptor(handle, token) == -ENOENT);
  CHECK(terrace_open_memory(page, &region) == 0);
  CHECK(terrace_hand_descriptor(path, token, terrace_descriptor(region)) == 0);
  CHECK(terrace_take_descriptor(handle, other) == -ENOENT);
  const int descriptor = terrace_take_descriptor(handle, token);
  CHECK(descriptor >= 0);
  uint32_t same;
  const int second = dup(descriptor);
  CHECK(terrace_open_shared(second, page + 1, 1, &same) == -EINVAL && fcntl(second, F_GETFD) == -1);
  CHECK(terrace_open_shared(descriptor, page, 1, &same) == 0);
  CHECK(terrace_close_region(same) == 0 && fcntl(descriptor, F_GETFD) == -1);
  CHECK(terrace_close_region(region) == 0 && terrace_close_door(handle) == 0);
}

int main(int count, char** paths) {
  CHECK(count == 3);
  vectors();
  const terrace_queue_options options = {sizeof options, 2, NULL, NULL};
  uint32_t queue;
  CHECK(terrace_open_queue(&options, &queue) == 0);
  round_trip(queue, paths[1]);
  refusals(queue);
  crowded(queue);
  CHECK(terrace_stop_queue(queue) == 0 && terrace_wait_queue(queue) == 0 && terrace_free_queue(queue) == 0);
  ending();
  door(paths[2]);
  return 0;
}
