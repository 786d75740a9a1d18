#include "problem.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace terrace {
namespace {

thread_local char problem[512];

struct Name {
  int error;
  const char* name;
};
constexpr Name names[] = {
    {EPERM, "EPERM"},           {ENOENT, "ENOENT"},
    {EINTR, "EINTR"},           {EIO, "EIO"},
    {EBADF, "EBADF"},           {EAGAIN, "EAGAIN"},
    {ENOMEM, "ENOMEM"},         {EACCES, "EACCES"},
    {EFAULT, "EFAULT"},         {EBUSY, "EBUSY"},
    {EEXIST, "EEXIST"},         {ENODEV, "ENODEV"},
    {ENOTDIR, "ENOTDIR"},       {EISDIR, "EISDIR"},
    {EINVAL, "EINVAL"},         {ENFILE, "ENFILE"},
    {EMFILE, "EMFILE"},         {EFBIG, "EFBIG"},
    {ENOSPC, "ENOSPC"},         {EROFS, "EROFS"},
    {EPIPE, "EPIPE"},           {ENAMETOOLONG, "ENAMETOOLONG"},
    {ELOOP, "ELOOP"},           {EOVERFLOW, "EOVERFLOW"},
    {ENOTSOCK, "ENOTSOCK"},     {EOPNOTSUPP, "EOPNOTSUPP"},
    {EADDRINUSE, "EADDRINUSE"}, {ECONNREFUSED, "ECONNREFUSED"},
    {ECONNRESET, "ECONNRESET"}, {ETIMEDOUT, "ETIMEDOUT"},
    {EDQUOT, "EDQUOT"},         {ENOSYS, "ENOSYS"},
    {ENXIO, "ENXIO"},           {ESTALE, "ESTALE"},
    {ETXTBSY, "ETXTBSY"},       {EPROTOTYPE, "EPROTOTYPE"},
};

}  // namespace

int refuse(int status, const char* format, ...) {
  va_list values;
  va_start(values, format);
  vsnprintf(problem, sizeof problem, format, values);
  va_end(values);
  return status;
}

int refuseErrno(int error, const char* format, ...) {
  va_list values;
  va_start(values, format);
  vsnprintf(problem, sizeof problem, format, values);
  va_end(values);
  const size_t length = strlen(problem);
  char meaning[128];
  snprintf(problem + length, sizeof problem - length, ": %s, %s", errnoName(error),
           strerror_r(error, meaning, sizeof meaning));
  return -error;
}

const char* lastProblem() { return problem; }

const char* errnoName(int error) {
  for (const Name& name : names)
    if (name.error == error) return name.name;
  thread_local char number[24];
  snprintf(number, sizeof number, "errno %d", error);
  return number;
}

}  // namespace terrace
