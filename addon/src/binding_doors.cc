#include <cerrno>

#include "binding.h"
#include "capi.h"
#include "limits.h"

namespace terrace {
namespace {

napi_value peerOf(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "peerOf");
  const int descriptor = args.descriptor(0, "socketDescriptor");
  if (args.failed()) return args.raise();
  terrace_peer peer = {};
  peer.size = sizeof peer;
  const int status = terrace_peer_of(descriptor, &peer);
  if (status < 0) return args.raise(status);
  void* data = nullptr;
  napi_value buffer = nullptr, numbers = nullptr;
  napi_create_arraybuffer(env, 3 * sizeof(int32_t), &data, &buffer);
  napi_create_typedarray(env, napi_int32_array, 3, buffer, 0, &numbers);
  auto* const into = static_cast<int32_t*>(data);
  into[0] = peer.process_id;
  into[1] = static_cast<int32_t>(peer.user_id);
  into[2] = static_cast<int32_t>(peer.group_id);
  return numbers;
}

napi_value openDoor(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "openDoor");
  const std::string path = args.text(0, "path");
  if (args.failed()) return args.raise();
  uint32_t door = 0;
  const int status = terrace_open_door(path.c_str(), &door);
  return status < 0 ? args.raise(status) : numberOf(env, door);
}

napi_value closeDoor(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "closeDoor");
  const uint32_t door = args.handle(0, "door");
  if (args.failed()) return args.raise();
  const int status = terrace_close_door(door);
  return status < 0 ? args.raise(status) : nothing();
}

View<uint8_t> tokenOf(Arguments& args, size_t index) {
  const View<uint8_t> token = args.bytes(index, "token");
  if (token.length != tokenBytes) args.wrong("token", "must have 16 bytes");
  return token;
}

napi_value takeDescriptor(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "takeDescriptor");
  const uint32_t door = args.handle(0, "door");
  const View<uint8_t> token = tokenOf(args, 1);
  if (args.failed()) return args.raise();
  const int descriptor = terrace_take_descriptor(door, token.data);
  if (descriptor == -ENOENT) return numberOf(env, -1);
  return descriptor < 0 ? args.raise(descriptor) : numberOf(env, descriptor);
}

napi_value handDescriptor(napi_env env, napi_callback_info info) {
  Arguments args(env, info, "handDescriptor");
  const std::string path = args.text(0, "doorPath");
  const View<uint8_t> token = tokenOf(args, 1);
  const int descriptor = args.descriptor(2, "descriptor");
  if (args.failed()) return args.raise();
  const int status = terrace_hand_descriptor(path.c_str(), token.data, descriptor);
  return status < 0 ? args.raise(status) : nothing();
}

}  // namespace

void bindDoors(napi_env env, napi_value exports) {
  exportFunction(env, exports, "peerOf", peerOf);
  exportFunction(env, exports, "openDoor", openDoor);
  exportFunction(env, exports, "closeDoor", closeDoor);
  exportFunction(env, exports, "takeDescriptor", takeDescriptor);
  exportFunction(env, exports, "handDescriptor", handDescriptor);
}

}  // namespace terrace
