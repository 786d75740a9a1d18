#include "move_pieces.h"

namespace terrace {

const char* const movePiecesName = "move_pieces";

/** A block of threads takes one part of one piece after another. Each thread has four loads on the way before
 * it stores: over PCIe a load takes microseconds. */
const char* const movePiecesText = R"(
.version 7.0
.target sm_70
.address_size 64

.visible .entry move_pieces(
  .param .align 8 .b8 table[3840],
  .param .u64 units,
  .param .u32 pieces,
  .param .u32 parts)
{
  .reg .pred %p<4>;
  .reg .b32 %r<12>;
  .reg .b32 %v<16>;
  .reg .b64 %rd<28>;

  mov.u32 %r1, %ctaid.x;
  mov.u32 %r2, %nctaid.x;
  mov.u32 %r3, %tid.x;
  mov.u32 %r4, %ntid.x;
  ld.param.u64 %rd1, [units];
  ld.param.u32 %r5, [pieces];
  ld.param.u32 %r6, [parts];
  mul.lo.u32 %r7, %r5, %r6;
  cvt.u64.u32 %rd2, %r6;
  add.u64 %rd3, %rd1, %rd2;
  sub.u64 %rd3, %rd3, 1;
  div.u64 %rd4, %rd3, %rd2;
  mov.b64 %rd5, table;
  cvt.u64.u32 %rd6, %r3;
  cvt.u64.u32 %rd7, %r4;
  shl.b64 %rd8, %rd7, 4;
  mul.lo.u64 %rd9, %rd7, 3;

next_part:
  setp.ge.u32 %p1, %r1, %r7;
  @%p1 bra done;
  div.u32 %r8, %r1, %r6;
  rem.u32 %r9, %r1, %r6;
  mul.wide.u32 %rd10, %r8, 16;
  add.u64 %rd11, %rd5, %rd10;
  ld.param.u64 %rd12, [%rd11];
  ld.param.u64 %rd13, [%rd11+8];
  cvt.u64.u32 %rd14, %r9;
  mul.lo.u64 %rd15, %rd4, %rd14;
  add.u64 %rd16, %rd15, %rd4;
  min.u64 %rd16, %rd16, %rd1;
  add.u64 %rd17, %rd15, %rd6;
  shl.b64 %rd18, %rd17, 4;
  add.u64 %rd19, %rd12, %rd18;
  add.u64 %rd20, %rd13, %rd18;

four_at_a_time:
  add.u64 %rd21, %rd17, %rd9;
  setp.ge.u64 %p2, %rd21, %rd16;
  @%p2 bra one_at_a_time;
  add.u64 %rd22, %rd19, %rd8;
  add.u64 %rd23, %rd22, %rd8;
  add.u64 %rd24, %rd23, %rd8;
  ld.global.v4.u32 {%v0, %v1, %v2, %v3}, [%rd19];
  ld.global.v4.u32 {%v4, %v5, %v6, %v7}, [%rd22];
  ld.global.v4.u32 {%v8, %v9, %v10, %v11}, [%rd23];
  ld.global.v4.u32 {%v12, %v13, %v14, %v15}, [%rd24];
  add.u64 %rd25, %rd20, %rd8;
  add.u64 %rd26, %rd25, %rd8;
  add.u64 %rd27, %rd26, %rd8;
  st.global.v4.u32 [%rd20], {%v0, %v1, %v2, %v3};
  st.global.v4.u32 [%rd25], {%v4, %v5, %v6, %v7};
  st.global.v4.u32 [%rd26], {%v8, %v9, %v10, %v11};
  st.global.v4.u32 [%rd27], {%v12, %v13, %v14, %v15};
  add.u64 %rd19, %rd24, %rd8;
  add.u64 %rd20, %rd27, %rd8;
  add.u64 %rd17, %rd21, %rd7;
  bra four_at_a_time;

one_at_a_time:
  setp.ge.u64 %p3, %rd17, %rd16;
  @%p3 bra part_done;
  ld.global.v4.u32 {%v0, %v1, %v2, %v3}, [%rd19];
  st.global.v4.u32 [%rd20], {%v0, %v1, %v2, %v3};
  add.u64 %rd19, %rd19, %rd8;
  add.u64 %rd20, %rd20, %rd8;
  add.u64 %rd17, %rd17, %rd7;
  bra one_at_a_time;

part_done:
  add.u32 %r1, %r1, %r2;
  bra next_part;

done:
  ret;
}
)";

}  // namespace terrace
