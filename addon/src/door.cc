#include "door.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "problem.h"

namespace terrace {
namespace {

int addressOf(const char* path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  const size_t length = strlen(path);
  if (length == 0 || length >= sizeof address.sun_path)
    return refuse(-ENAMETOOLONG, "path: must have 1 to %zu bytes, not %zu", sizeof address.sun_path - 1,
                  length);
  memcpy(address.sun_path, path, length);
  return 0;
}

int seqpacket() { return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

/** Whether a socket file lies there that nobody listens at: left by a process that was killed. */
bool isLeftOver(const sockaddr_un& address) {
  struct stat status;
  if (lstat(address.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const int probe = seqpacket();
  if (probe < 0) return false;
  const bool refused = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
                       errno == ECONNREFUSED;
  close(probe);
  return refused;
}

/** Room for more than one descriptor, so that surplus ones arrive, are seen and closed. */
union Control {
  char bytes[CMSG_SPACE(sizeof(int) * 4)];
  cmsghdr align;
};

enum class Received { nothingYet, refused, descriptor };

Received receive(int connection, uint8_t* token, int* descriptor) {
  Control control;
  uint8_t bytes[tokenBytes + 1];
  iovec part = {bytes, sizeof bytes};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  const ssize_t count = recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (count < 0) return errno == EAGAIN || errno == EINTR ? Received::nothingYet : Received::refused;
  int found = 0;
  for (cmsghdr* rights = CMSG_FIRSTHDR(&message); rights != nullptr; rights = CMSG_NXTHDR(&message, rights)) {
    if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = CMSG_LEN(0); at + sizeof(int) <= rights->cmsg_len; at += sizeof(int)) {
      int one;
      memcpy(&one, reinterpret_cast<const char*>(rights) + at, sizeof one);
      if (found++ == 0)
        *descriptor = one;
      else
        close(one);
    }
  }
  if (found == 1 && count == static_cast<ssize_t>(tokenBytes) &&
      (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0) {
    memcpy(token, bytes, tokenBytes);
    return Received::descriptor;
  }
  if (found > 0) close(*descriptor);
  return Received::refused;
}

bool isSameUser(int connection) {
  terrace_peer peer = {};
  peer.size = sizeof peer;
  return peerOf(connection, &peer) == 0 && peer.user_id == geteuid();
}

}  // namespace

Doors& doors() {
  static Doors* const table = new Doors;
  return *table;
}

int Door::open(const char* path, uint32_t* handle) {
  std::shared_ptr<Door> door(new Door);
  if (const int failed = door->listenAt(path)) return failed;
  *handle = doors().add(door);
  return *handle == 0 ? refuse(-EMFILE, "doors: too many are open") : 0;
}

int Door::listenAt(const char* path) {
  sockaddr_un address;
  if (const int failed = addressOf(path, address)) return failed;
  listener_ = seqpacket();
  if (listener_ < 0) return refuseErrno(errno, "path: %s", path);
  // The descriptor's mode becomes the socket file's: there is no moment in which others may connect.
  if (fchmod(listener_, 0600) != 0) return refuseErrno(errno, "path: %s", path);
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  int bound = bind(listener_, generic, sizeof address);
  if (bound != 0 && errno == EADDRINUSE && isLeftOver(address) && unlink(path) == 0)
    bound = bind(listener_, generic, sizeof address);
  if (bound != 0) return refuseErrno(errno, "path: %s", path);
  path_ = path;
  struct stat status;
  if (lstat(path, &status) == 0) {
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
  return listen(listener_, static_cast<int>(waitingDescriptorsMax)) == 0
             ? 0
             : refuseErrno(errno, "path: %s", path);
}

Door::~Door() {
  for (const int connection : connections_) close(connection);
  for (const Waiting& row : waiting_) close(row.descriptor);
  if (listener_ >= 0) close(listener_);
  struct stat status;
  // Only our own file: another door may have been opened at this path since.
  if (!path_.empty() && lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
      status.st_ino == inode_)
    unlink(path_.c_str());
}

int Door::take(const uint8_t* token) {
  const std::lock_guard<std::mutex> lock(mutex_);
  acceptAll();
  receiveAll();
  for (size_t i = 0; i < waiting_.size(); i++) {
    if (memcmp(waiting_[i].token, token, tokenBytes) != 0) continue;
    const int descriptor = waiting_[i].descriptor;
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    return descriptor;
  }
  return refuse(-ENOENT, "token: nothing was handed in under it");
}

void Door::acceptAll() {
  for (;;) {
    const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0 && errno == EINTR) continue;
    if (connection < 0) return;
    if (!isSameUser(connection)) {
      close(connection);
      continue;
    }
    connections_.push_back(connection);
    // At once, so that silent connections cannot push out one that has something to give.
    receiveAll();
    if (connections_.size() > waitingDescriptorsMax) {
      close(connections_.front());
      connections_.erase(connections_.begin());
    }
  }
}

void Door::receiveAll() {
  size_t kept = 0;
  for (const int connection : connections_) {
    uint8_t token[tokenBytes];
    int descriptor = -1;
    const Received received = receive(connection, token, &descriptor);
    if (received == Received::nothingYet) {
      connections_[kept++] = connection;
      continue;
    }
    close(connection);
    if (received == Received::descriptor) keep(token, descriptor);
  }
  connections_.resize(kept);
}

void Door::keep(const uint8_t* token, int descriptor) {
  if (waiting_.size() >= waitingDescriptorsMax) {
    close(waiting_.front().descriptor);
    waiting_.erase(waiting_.begin());
  }
  Waiting row;
  memcpy(row.token, token, tokenBytes);
  row.descriptor = descriptor;
  waiting_.push_back(row);
}

int closeDoor(uint32_t handle) {
  return doors().take(handle) == nullptr ? refuse(-EINVAL, "door: %u is not open", handle) : 0;
}

int handDescriptor(const char* path, const uint8_t* token, int descriptor) {
  sockaddr_un address;
  if (const int failed = addressOf(path, address)) return failed;
  const int connection = seqpacket();
  if (connection < 0) return refuseErrno(errno, "path: %s", path);
  Control control = {};
  uint8_t bytes[tokenBytes];
  memcpy(bytes, token, tokenBytes);
  iovec part = {bytes, sizeof bytes};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = CMSG_SPACE(sizeof(int));
  cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  int failed = 0;
  if (connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    failed = refuseErrno(errno, "path: %s", path);
  else if (sendmsg(connection, &message, MSG_NOSIGNAL) < 0)
    failed = refuseErrno(errno, "descriptor: %d", descriptor);
  close(connection);
  return failed;
}

int peerOf(int socketDescriptor, terrace_peer* peer) {
  if (peer->size != sizeof *peer) return refuse(-EINVAL, "peer.size: unknown size %u", peer->size);
  ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(socketDescriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
    return refuseErrno(errno, "socketDescriptor: %d", socketDescriptor);
  peer->process_id = credentials.pid;
  peer->user_id = credentials.uid;
  peer->group_id = credentials.gid;
  return 0;
}

}  // namespace terrace
