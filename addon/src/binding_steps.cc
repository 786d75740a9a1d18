/** Steps and completions: from and to the numbers of JavaScript. */
#include <cstdio>
#include <cstring>

#include "binding_queue.h"
#include "limits.h"

namespace terrace {
namespace {

/** Equal to stepFields of addon/native.ts, in its order. */
enum Field {
  operation,
  ticket,
  sourceRegion,
  source,
  targetRegion,
  target,
  byteCount,
  place,
  checksum,
  seal
};
constexpr size_t stepNumbers = 10;
constexpr const char* fieldNames[stepNumbers] = {"operation",    "ticket", "sourceRegion", "source",
                                                 "targetRegion", "target", "byteCount",    "place",
                                                 "checksum",     "seal"};
/** Equal to completionFields. */
constexpr size_t completionNumbers = 4;
/** Completions moved at a time, through the stack. */
constexpr uint32_t drainCount = 32;

/** Tickets are any number and come back bit for bit. */
uint64_t bitsOf(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
double numberOfBits(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/** A cookie says where the header of a read goes: which array (counted from 1) and which offset in it. */
uint64_t cookieOf(uint32_t sealsIndex, uint32_t offset) { return uint64_t{sealsIndex + 1} << 32 | offset; }

struct Range {
  double least, most;
};

Range rangeOf(size_t field, size_t sealsLength) {
  switch (field) {
    case operation:
      return {TERRACE_GATHER, TERRACE_PIN};
    case sourceRegion:
    case targetRegion:
    case place:
      return {0, static_cast<double>(UINT32_MAX)};
    case checksum:
      return {-1, static_cast<double>(UINT32_MAX)};
    case seal:
      return {-1, static_cast<double>(sealsLength) - static_cast<double>(sealBytes)};
    default:
      return {0, static_cast<double>(byteCountMax)};
  }
}

}  // namespace

void QueueBinding::decode(Arguments& args, const double* numbers, uint32_t index, size_t sealsLength,
                          const uint8_t* seals, terrace_step& step) {
  for (size_t field = 0; field < stepNumbers; field++) {
    const Range range = rangeOf(field, sealsLength);
    if (field == ticket || isWhole(numbers[field], range.least, range.most) ||
        (field == seal && numbers[field] == -1))
      continue;
    char path[48], why[96];
    snprintf(path, sizeof path, "steps[%u].%s", index, fieldNames[field]);
    snprintf(why, sizeof why, "must be a whole number from %.0f to %.0f", range.least, range.most);
    return args.wrong(path, why);
  }
  step.size = sizeof step;
  step.operation = static_cast<uint32_t>(numbers[operation]);
  step.ticket = bitsOf(numbers[ticket]);
  step.cookie = 0;
  step.source_region = static_cast<uint32_t>(numbers[sourceRegion]);
  step.target_region = static_cast<uint32_t>(numbers[targetRegion]);
  step.source = static_cast<uint64_t>(numbers[source]);
  step.target = static_cast<uint64_t>(numbers[target]);
  step.byte_count = static_cast<uint64_t>(numbers[byteCount]);
  step.place = static_cast<uint32_t>(numbers[place]);
  step.checksum = static_cast<int64_t>(numbers[checksum]);
  step.has_seal = numbers[seal] >= 0;
  if (step.has_seal && step.operation == TERRACE_WRITE)
    memcpy(step.seal, seals + static_cast<size_t>(numbers[seal]), sealBytes);
}

napi_value QueueBinding::submit(Arguments& args, const View<double>& numbers, uint32_t stepCount,
                                napi_value seals, size_t sealsLength) {
  if (stepCount > numbers.length / stepNumbers) {
    args.wrong("stepCount", "the array has fewer steps");
    return args.raise();
  }
  const View<uint8_t> sealBytesOf = args.bytes(3, "seals");
  if (sealsLength > UINT32_MAX) args.wrong("seals", "must have less than 4 GiB");
  steps_.resize(stepCount);
  for (uint32_t i = 0; i < stepCount && !args.failed(); i++)
    decode(args, numbers.data + size_t{i} * stepNumbers, i, sealsLength, sealBytesOf.data, steps_[i]);
  if (args.failed()) return args.raise();
  uint32_t wanting = 0;
  for (const terrace_step& step : steps_) wanting += step.operation == TERRACE_READ && step.has_seal;
  const uint32_t sealsIndex = wanting > 0 ? sealsIndexOf(seals) : 0;
  for (uint32_t i = 0; i < stepCount; i++)
    if (steps_[i].operation == TERRACE_READ && steps_[i].has_seal)
      steps_[i].cookie =
          cookieOf(sealsIndex, static_cast<uint32_t>(numbers.data[size_t{i} * stepNumbers + seal]));
  const int taken = terrace_submit(handle_, steps_.data(), stepCount);
  for (int i = 0; i < taken; i++)
    if (steps_[static_cast<size_t>(i)].cookie != 0) seals_[sealsIndex].waiting++;
  if (wanting > 0 && seals_[sealsIndex].waiting == 0) {
    seals_[sealsIndex].waiting = 1;
    releaseSeals(cookieOf(sealsIndex, 0));
  }
  if (taken < 0) return args.raise(taken);
  inFlight_ += static_cast<uint32_t>(taken);
  keepAlive();
  return numberOf(environment_.env, taken);
}

uint32_t QueueBinding::sealsIndexOf(napi_value array) {
  uint32_t unused = static_cast<uint32_t>(seals_.size());
  for (uint32_t i = 0; i < seals_.size(); i++) {
    if (seals_[i].array == nullptr) {
      unused = i;
      continue;
    }
    napi_value known = nullptr;
    bool same = false;
    if (napi_get_reference_value(environment_.env, seals_[i].array, &known) == napi_ok &&
        napi_strict_equals(environment_.env, known, array, &same) == napi_ok && same)
      return i;
  }
  if (unused == seals_.size()) seals_.push_back({});
  seals_[unused].waiting = 0;
  napi_create_reference(environment_.env, array, 1, &seals_[unused].array);
  return unused;
}

void QueueBinding::releaseSeals(uint64_t cookie) {
  Seals& row = seals_[static_cast<size_t>((cookie >> 32) - 1)];
  if (--row.waiting > 0) return;
  napi_delete_reference(environment_.env, row.array);
  row.array = nullptr;
}

void QueueBinding::putSeal(const terrace_completion& done, double* completion) {
  const Seals& row = seals_[static_cast<size_t>((done.cookie >> 32) - 1)];
  const auto offset = static_cast<size_t>(done.cookie & UINT32_MAX);
  napi_value array = nullptr;
  void* data = nullptr;
  size_t length = 0;
  // Asked for again: the array may have been taken away (transferred) since.
  if (napi_get_reference_value(environment_.env, row.array, &array) == napi_ok && array != nullptr &&
      napi_get_typedarray_info(environment_.env, array, nullptr, &length, &data, nullptr, nullptr) ==
          napi_ok &&
      data != nullptr && length >= offset + sealBytes)
    memcpy(static_cast<uint8_t*>(data) + offset, done.seal, sealBytes);
  else
    completion[1] = TERRACE_CLOSED;
}

napi_value QueueBinding::drain(Arguments& args, const View<double>& into) {
  const napi_env env = environment_.env;
  terrace_completion batch[drainCount];
  const size_t room = into.length / completionNumbers;
  size_t moved = 0;
  for (;;) {
    const size_t wanted = room - moved < drainCount ? room - moved : drainCount;
    const int count = terrace_drain(handle_, batch, static_cast<uint32_t>(wanted));
    if (count < 0) return args.raise(count);
    for (int i = 0; i < count; i++) {
      const terrace_completion& done = batch[i];
      double* const completion = into.data + completionNumbers * (moved + static_cast<size_t>(i));
      completion[0] = numberOfBits(done.ticket);
      completion[1] = done.status;
      completion[2] = static_cast<double>(done.byte_count);
      completion[3] = done.checksum;
      if (done.has_seal != 0) putSeal(done, completion);
      if (done.cookie != 0) releaseSeals(done.cookie);
    }
    moved += static_cast<size_t>(count);
    if (static_cast<size_t>(count) < wanted || wanted == 0) break;
  }
  inFlight_ -= static_cast<uint32_t>(moved);
  drained_ += moved;
  keepAlive();
  freeIfDone();
  return numberOf(env, static_cast<double>(moved));
}

}  // namespace terrace
