#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace terrace {

/** Bytes or numbers of a typed array of the caller. Valid during the call only. */
template <typename Element>
struct View {
  Element* data = nullptr;
  size_t length = 0;
};

/** The arguments of one call, checked by declaration: each getter names what it wants, the first thing wrong
 * is kept as a sentence with the path of the field, and after it every getter gives zero. So a binding reads
 * `get, get, get; if (failed()) return raise();`. */
class Arguments {
 public:
  static constexpr size_t countMax = 4;

  Arguments(napi_env env, napi_callback_info info, const char* call);

  /** A whole number from `least` to `most`. */
  uint64_t whole(size_t index, const char* name, uint64_t least, uint64_t most);
  uint32_t handle(size_t index, const char* name) {
    return static_cast<uint32_t>(whole(index, name, 1, UINT32_MAX));
  }
  int descriptor(size_t index, const char* name) {
    return static_cast<int>(whole(index, name, 0, INT32_MAX));
  }
  bool flag(size_t index, const char* name);
  std::string text(size_t index, const char* name);
  napi_value function(size_t index, const char* name);
  View<uint8_t> bytes(size_t index, const char* name, size_t lengthMin = 0);
  View<uint32_t> words(size_t index, const char* name);
  View<double> numbers(size_t index, const char* name);
  napi_value at(size_t index) const { return values_[index]; }

  /** Says what is wrong with a part of an argument: `path` is "steps[3].place". */
  void wrong(const char* path, const char* why);
  bool failed() const { return failed_; }
  /** Throws what went wrong. Returns null, for the binding to return. */
  napi_value raise();
  /** Throws the problem of a refused call of the C ABI, with the errno's name as its code. */
  napi_value raise(int status);

  napi_env env() const { return env_; }

 private:
  void* typed(size_t index, const char* name, napi_typedarray_type type, const char* what, size_t* length);

  napi_env env_;
  const char* call_;
  napi_value values_[countMax];
  bool failed_ = false;
  char problem_[256];
};

/** Whether a number is whole and from `least` to `most`, both below 2^63. */
bool isWhole(double value, double least, double most);

}  // namespace terrace
