#include "arguments.h"

#include <cstdio>
#include <cstring>

#include "capi.h"
#include "problem.h"

namespace terrace {

bool isWhole(double value, double least, double most) {
  return value >= least && value <= most && static_cast<double>(static_cast<int64_t>(value)) == value;
}

Arguments::Arguments(napi_env env, napi_callback_info info, const char* call) : env_(env), call_(call) {
  // Missing ones are filled with undefined by the call.
  size_t count = countMax;
  napi_get_cb_info(env, info, &count, values_, nullptr, nullptr);
}

void Arguments::wrong(const char* path, const char* why) {
  if (failed_) return;
  failed_ = true;
  snprintf(problem_, sizeof problem_, "%s.%s: %s", call_, path, why);
}

napi_value Arguments::raise() {
  napi_throw_type_error(env_, "EINVAL", problem_);
  return nullptr;
}

napi_value Arguments::raise(int status) {
  snprintf(problem_, sizeof problem_, "%s.%s", call_, terrace_problem());
  napi_throw_error(env_, errnoName(-status), problem_);
  return nullptr;
}

uint64_t Arguments::whole(size_t index, const char* name, uint64_t least, uint64_t most) {
  double value = 0;
  if (napi_get_value_double(env_, values_[index], &value) == napi_ok &&
      isWhole(value, static_cast<double>(least), static_cast<double>(most)))
    return failed_ ? 0 : static_cast<uint64_t>(value);
  char why[96];
  snprintf(why, sizeof why, "must be a whole number from %llu to %llu",
           static_cast<unsigned long long>(least), static_cast<unsigned long long>(most));
  wrong(name, why);
  return 0;
}

bool Arguments::flag(size_t index, const char* name) {
  bool value = false;
  if (napi_get_value_bool(env_, values_[index], &value) != napi_ok) wrong(name, "must be true or false");
  return value;
}

std::string Arguments::text(size_t index, const char* name) {
  char bytes[4096];
  size_t length = 0;
  if (napi_get_value_string_utf8(env_, values_[index], bytes, sizeof bytes, &length) != napi_ok) {
    wrong(name, "must be a text");
    return {};
  }
  if (length == 0 || length == sizeof bytes - 1 || strlen(bytes) != length) {
    wrong(name, "must be a text of 1 to 4094 bytes without a zero");
    return {};
  }
  return std::string(bytes, length);
}

napi_value Arguments::function(size_t index, const char* name) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env_, values_[index], &type);
  if (type != napi_function) wrong(name, "must be a function");
  return values_[index];
}

void* Arguments::typed(size_t index, const char* name, napi_typedarray_type wanted, const char* what,
                       size_t* length) {
  bool is = false;
  napi_typedarray_type type = napi_int8_array;
  void* data = nullptr;
  *length = 0;
  if (napi_is_typedarray(env_, values_[index], &is) != napi_ok || !is ||
      napi_get_typedarray_info(env_, values_[index], &type, length, &data, nullptr, nullptr) != napi_ok ||
      type != wanted) {
    char why[48];
    snprintf(why, sizeof why, "must be a %s", what);
    wrong(name, why);
    *length = 0;
    return nullptr;
  }
  return data;
}

View<uint8_t> Arguments::bytes(size_t index, const char* name, size_t lengthMin) {
  View<uint8_t> view;
  view.data = static_cast<uint8_t*>(typed(index, name, napi_uint8_array, "Uint8Array", &view.length));
  if (!failed_ && view.length < lengthMin) {
    char why[96];
    snprintf(why, sizeof why, "must have %zu bytes or more, not %zu", lengthMin, view.length);
    wrong(name, why);
  }
  return view;
}

View<uint32_t> Arguments::words(size_t index, const char* name) {
  View<uint32_t> view;
  view.data = static_cast<uint32_t*>(typed(index, name, napi_uint32_array, "Uint32Array", &view.length));
  return view;
}

View<double> Arguments::numbers(size_t index, const char* name) {
  View<double> view;
  view.data = static_cast<double*>(typed(index, name, napi_float64_array, "Float64Array", &view.length));
  return view;
}

}  // namespace terrace
