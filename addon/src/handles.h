#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace terrace {

/** Table from handles to owned things. A handle carries its kind and a generation: a stale or foreign one is
 * found out instead of naming somebody else's thing.
 * Layout: 4 bits kind, 14 bits generation, 14 bits index. */
template <typename Thing, uint32_t kind>
class Handles {
  static_assert(kind >= 1 && kind <= 15, "0 is no handle");
  static constexpr uint32_t indexMax = (1u << 14) - 1;

 public:
  /** 0 when the table is full. */
  uint32_t add(std::shared_ptr<Thing> thing) {
    const std::lock_guard<std::mutex> lock(mutex_);
    uint32_t index;
    if (free_.empty()) {
      if (rows_.size() > indexMax) return 0;
      index = static_cast<uint32_t>(rows_.size());
      rows_.push_back({});
    } else {
      index = free_.back();
      free_.pop_back();
    }
    rows_[index].thing = std::move(thing);
    return kind << 28 | rows_[index].generation << 14 | index;
  }

  /** Null when the handle names nothing (any more). */
  std::shared_ptr<Thing> find(uint32_t handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Row* row = rowOf(handle);
    return row == nullptr ? nullptr : row->thing;
  }

  /** Takes the thing out of the table; its handle is dead from here on. */
  std::shared_ptr<Thing> take(uint32_t handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Row* row = rowOf(handle);
    if (row == nullptr) return nullptr;
    row->generation = (row->generation + 1) & indexMax;
    free_.push_back(handle & indexMax);
    return std::move(row->thing);
  }

  /** Whether the handle was given out at some time, and is dead now. */
  bool wasClosed(uint32_t handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return handle >> 28 == kind && (handle & indexMax) < rows_.size() && rowOf(handle) == nullptr;
  }

 private:
  struct Row {
    std::shared_ptr<Thing> thing;
    uint32_t generation = 0;
  };

  Row* rowOf(uint32_t handle) {
    const uint32_t index = handle & indexMax;
    if (handle >> 28 != kind || index >= rows_.size()) return nullptr;
    Row& row = rows_[index];
    return row.thing != nullptr && row.generation == (handle >> 14 & indexMax) ? &row : nullptr;
  }

  std::mutex mutex_;
  std::vector<Row> rows_;
  std::vector<uint32_t> free_;
};

}  // namespace terrace
