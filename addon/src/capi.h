/** The C ABI of the data plane. The Node binding is one user of it; C programs, Python (ctypes) and machines
 * without Node are others.
 *  - Handles are 32-bit numbers, never pointers; 0 is no handle; a closed one stays dead for thousands more.
 *  - Every function returns 0 (or a count) when it did what it says, and minus an errno when it did nothing.
 *    `terrace_problem` then has a sentence with the path of the wrong field.
 *  - Structures start with their own size, set by the caller; a size this library does not know is refused.
 *  - Nothing here waits for a step, except `terrace_wait_queue`.
 *  - Any thread may call anything at any time. */
#ifndef TERRACE_CAPI_H
#define TERRACE_CAPI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TERRACE_API __attribute__((visibility("default")))

/** Changes whenever something below does. Equal to abiVersion of addon/native.ts. */
#define TERRACE_ABI_VERSION 2
#define TERRACE_SEAL_BYTES 256
#define TERRACE_TOKEN_BYTES 16

enum terrace_operation {
  TERRACE_GATHER = 1,
  TERRACE_SCATTER = 2,
  TERRACE_WRITE = 3,
  TERRACE_READ = 4,
  TERRACE_COPY = 5,
  TERRACE_SUM = 6,
  TERRACE_FLUSH = 7,
  /** Makes a range of host memory known to the GPUs (page-locks it), so that they copy to and from it directly. */
  TERRACE_PIN = 8
};

/** How the pieces of a block go between a GPU and host memory. */
enum terrace_path {
  /** Rows where the pieces lie in even steps; else the kernel for small pieces, batches for others. A path that is
   * asked for, but not possible for a block, becomes this one too. */
  TERRACE_PATH_AUTO = 0,
  /** One copy per piece. */
  TERRACE_PATH_LOOP = 1,
  /** One copy per plane, of as many rows as it has layers; needs even steps within one part. */
  TERRACE_PATH_ROWS = 2,
  /** One call for all pieces (drivers from 12.8 on); needs pinned slots. */
  TERRACE_PATH_BATCH = 3,
  /** A kernel on a few multiprocessors; needs pinned slots and pieces of whole 16 bytes. */
  TERRACE_PATH_KERNEL = 4
};

enum terrace_part_kind {
  /** Memory of cudaMalloc in another process, by its handle. */
  TERRACE_PART_IPC = 1,
  /** Memory mapped from an allocation that can be exported, by a descriptor. */
  TERRACE_PART_DESCRIPTOR = 2,
  /** Memory of this process, by its address. */
  TERRACE_PART_OWN = 3
};

/** Status of a completion: one of these, or minus an errno. */
enum terrace_status { TERRACE_OK = 0, TERRACE_CHECKSUM = 1, TERRACE_SHORT = 2, TERRACE_CLOSED = 3 };

/** One copy of one block. Offsets and counts are bytes. */
typedef struct terrace_step {
  uint32_t size;
  uint32_t operation;
  /** Both come back untouched in the completion. */
  uint64_t ticket;
  uint64_t cookie;
  uint32_t source_region;
  uint32_t target_region;
  /** Offset of the slot or file slot; the block's index for gather (source) and scatter (target). */
  uint64_t source;
  uint64_t target;
  uint64_t byte_count;
  uint32_t place;
  /** 1 when `seal` holds the header to write, or when a read shall hand back the one it found. */
  uint32_t has_seal;
  /** The checksum that must come out, or -1 when any will do. */
  int64_t checksum;
  uint8_t seal[TERRACE_SEAL_BYTES];
} terrace_step;

typedef struct terrace_completion {
  uint32_t size;
  int32_t status;
  uint64_t ticket;
  uint64_t cookie;
  /** Payload bytes moved. */
  uint64_t byte_count;
  uint32_t checksum;
  uint32_t has_seal;
  uint8_t seal[TERRACE_SEAL_BYTES];
} terrace_completion;

/** One plane of a place. Piece (layer, block) starts at
 * base_offset + layer * layer_stride + block * block_stride. */
typedef struct terrace_plane {
  uint32_t size;
  uint32_t reserved;
  uint64_t base_offset;
  uint64_t layer_stride;
  uint64_t block_stride;
  uint64_t layer_count;
  uint64_t piece_bytes;
} terrace_plane;

/** A range of GPU memory, as one process tells another of it. */
typedef struct terrace_device_part {
  uint32_t size;
  uint32_t kind;
  /** The GPU's UUID. */
  uint8_t device_id[16];
  /** Name under which the descriptor was handed in at a door; set by `terrace_hand_device`. */
  uint8_t token[TERRACE_TOKEN_BYTES];
  uint8_t handle[64];
  int32_t descriptor;
  uint32_t reserved;
  /** Address of the allocation in the process that has it; 0 for others. */
  uint64_t allocation_base;
  uint64_t allocation_bytes;
  /** Where the range starts in the allocation. */
  uint64_t offset;
  uint64_t byte_count;
} terrace_device_part;

typedef struct terrace_queue_options {
  uint32_t size;
  uint32_t thread_count;
  /** Called from a worker thread when completions wait or the queue has ended; NULL: the descriptor of
   * `terrace_queue_descriptor` becomes readable instead. */
  void (*ready)(void* context);
  void* context;
} terrace_queue_options;

typedef struct terrace_peer {
  uint32_t size;
  int32_t process_id;
  uint32_t user_id;
  uint32_t group_id;
} terrace_peer;

TERRACE_API uint32_t terrace_abi_version(void);
/** Why the last call of this thread that returned a negative number did nothing. */
TERRACE_API const char* terrace_problem(void);
/** Writes what is in use here as JSON (instruction sets, kinds of I/O), ended by 0; returns its length. */
TERRACE_API size_t terrace_describe(char* into, size_t into_bytes);

TERRACE_API int terrace_open_memory(uint64_t byte_count, uint32_t* region);
/** Takes the descriptor over, also when it refuses it. */
TERRACE_API int terrace_open_shared(int descriptor, uint64_t byte_count, int writable, uint32_t* region);
TERRACE_API int terrace_open_file(const char* path, uint64_t byte_count, int direct, uint32_t* region);
/** Steps that wait complete with TERRACE_CLOSED; the memory goes when the last running step has ended. */
TERRACE_API int terrace_close_region(uint32_t region);
/** Address of a range of a memory region, valid until its `hold` is given to `terrace_release_window`. */
TERRACE_API int terrace_window(uint32_t region, uint64_t offset, uint64_t byte_count, void** address,
                               void** hold);
TERRACE_API void terrace_release_window(void* hold);
TERRACE_API int terrace_region_byte_count(uint32_t region, uint64_t* byte_count);
TERRACE_API int terrace_descriptor(uint32_t region);

/** Writes which GPUs are visible, or why none is, as JSON ended by 0; returns its length. Starts the driver. */
TERRACE_API size_t terrace_describe_devices(char* into, size_t into_bytes);
/** How another process finds a range of this one's GPU memory. The caller owns the part's descriptor. */
TERRACE_API int terrace_export_device(uint64_t address, uint64_t byte_count, terrace_device_part* part);
/** A region of all parts, one after another. Takes the descriptors over, also when it refuses them. */
TERRACE_API int terrace_open_device(const terrace_device_part* parts, uint32_t part_count, int writable,
                                    uint32_t* region);
/** Hands parts in at a door under one token, and takes their descriptors over. */
TERRACE_API int terrace_hand_device(const char* path, const uint8_t* token, terrace_device_part* parts,
                                    uint32_t part_count);
/** Opens what `terrace_hand_device` handed in: `list` is the descriptor taken under its token, and is taken over; the
 * parts' own are taken from the same door. All parts together must have `byte_count` bytes. */
TERRACE_API int terrace_open_parts(uint32_t door, int list, uint64_t byte_count, int writable,
                                   uint32_t* region);

TERRACE_API int terrace_open_place(const terrace_plane* planes, uint32_t plane_count, uint32_t* place);
TERRACE_API int terrace_close_place(uint32_t place);
/** How pieces of this place go to and from GPUs; steps that were taken already keep their way. */
TERRACE_API int terrace_set_path(uint32_t place, uint32_t path);

TERRACE_API int terrace_open_queue(const terrace_queue_options* options, uint32_t* queue);
/** An eventfd, readable when completions wait or the queue has ended. Owned by the queue. */
TERRACE_API int terrace_queue_descriptor(uint32_t queue);
/** Checks all steps, then takes the first ones that fit; returns how many. Negative: none was taken. */
TERRACE_API int terrace_submit(uint32_t queue, const terrace_step* steps, uint32_t step_count);
/** Moves completions; an empty queue is armed again. Returns how many: 0 for a queue that was freed. */
TERRACE_API int terrace_drain(uint32_t queue, terrace_completion* into, uint32_t into_count);
/** 1 when completions wait that no wake-up will tell of. */
TERRACE_API int terrace_queue_waiting(uint32_t queue);
/** Takes no more steps; waiting ones complete with TERRACE_CLOSED. Does not wait for running ones. */
TERRACE_API int terrace_stop_queue(uint32_t queue);
/** 1 once no thread of a stopped queue runs any more. */
TERRACE_API int terrace_queue_ended(uint32_t queue);
/** Waits until a stopped queue has ended. */
TERRACE_API int terrace_wait_queue(uint32_t queue);
/** Frees an ended queue and what was not drained. */
TERRACE_API int terrace_free_queue(uint32_t queue);

/** Keys of all whole token blocks, 32 bytes each; returns their number. */
TERRACE_API int64_t terrace_chain(const uint8_t* secret, size_t secret_bytes, const uint32_t* tokens,
                                  size_t token_count, uint32_t block_tokens, uint8_t* into,
                                  size_t into_bytes);
TERRACE_API uint32_t terrace_crc32c(const void* bytes, size_t byte_count, uint32_t previous);

TERRACE_API int terrace_peer_of(int socket_descriptor, terrace_peer* peer);
TERRACE_API int terrace_open_door(const char* path, uint32_t* door);
TERRACE_API int terrace_close_door(uint32_t door);
/** The descriptor handed in under the token, now the caller's; -ENOENT when none was. Never waits. */
TERRACE_API int terrace_take_descriptor(uint32_t door, const uint8_t* token);
TERRACE_API int terrace_hand_descriptor(const char* path, const uint8_t* token, int descriptor);

#ifdef __cplusplus
}
#endif

#endif
