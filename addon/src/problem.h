#pragma once

namespace terrace {

/** Keeps a sentence about the call that is being refused, for `terrace_problem`, and returns `status`. */
int refuse(int status, const char* format, ...) __attribute__((format(printf, 2, 3)));
/** Like refuse(-error), with the errno's name and meaning after the given words. */
int refuseErrno(int error, const char* format, ...) __attribute__((format(printf, 2, 3)));
/** The sentence of this thread's last refusal. */
const char* lastProblem();
/** "ENOSPC" and the like; "errno 200" for numbers without a name here. */
const char* errnoName(int error);

}  // namespace terrace
