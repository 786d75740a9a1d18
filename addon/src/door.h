#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "capi.h"
#include "handles.h"
#include "limits.h"

namespace terrace {

/** A listening unix socket (SOCK_SEQPACKET, mode 0600) at which processes of the same user hand in one
 * descriptor per connection, under a name of 16 bytes that they also tell by another way. It has no thread:
 * it looks at what came whenever somebody asks. */
class Door {
 public:
  static int open(const char* path, uint32_t* handle);
  ~Door();
  /** The descriptor handed in under the token, or -ENOENT. Never waits. */
  int take(const uint8_t* token);

 private:
  struct Waiting {
    uint8_t token[tokenBytes];
    int descriptor;
  };

  Door() = default;
  int listenAt(const char* path);
  void acceptAll();
  void receiveAll();
  void keep(const uint8_t* token, int descriptor);

  std::mutex mutex_;
  std::string path_;
  int listener_ = -1;
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
  /** Accepted, nothing received yet; oldest first. */
  std::vector<int> connections_;
  /** Received, not yet asked for; oldest first. */
  std::vector<Waiting> waiting_;
};

using Doors = Handles<Door, 4>;
Doors& doors();

int closeDoor(uint32_t handle);
int handDescriptor(const char* path, const uint8_t* token, int descriptor);
int peerOf(int socketDescriptor, terrace_peer* peer);

}  // namespace terrace
