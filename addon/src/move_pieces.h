#pragma once

#include <cstdint>

namespace terrace {

/** The kernel that copies pieces between GPU and host memory with few multiprocessors. For pieces that are too
 * small for the copy engines, which pay for every piece.
 *
 * It is kept as text (PTX 7.0): the driver compiles it for its own GPU, and nobody needs a toolkit. The table of
 * pieces is an argument, so no launch waits for an upload. */

/** What one launch moves: as many pieces as fit the 4,096 bytes of arguments that every driver takes. */
constexpr uint32_t movePiecesMax = 240;
struct MovedPiece {
  uint64_t source;
  uint64_t target;
};
struct MovePiecesTable {
  MovedPiece pieces[movePiecesMax];
};
static_assert(sizeof(MovePiecesTable) == 3840, "the kernel's first argument, as its text has it");

extern const char* const movePiecesName;
/** Arguments: the table; units of 16 bytes per piece (u64); pieces (u32); parts that each is cut in (u32). */
extern const char* const movePiecesText;

}  // namespace terrace
