/**
 * LD_PRELOAD library that records what a process does to the files below a directory, in the order in
 * which it was done, and that can make one call fail. Calls on these files run one at a time, so that
 * the order is exact. `power-loss-record.ts` compiles it and reads the log.
 *
 * KEYRITE_RECORD_ROOT: the directory, absolute. KEYRITE_RECORD_LOG: where to write.
 * KEYRITE_RECORD_FAULT: `CALL SUFFIX NTH KIND` with CALL sync or write, SUFFIX of the file's name; KIND is
 * an errno, `short` (half is written) or `kill` (SIGKILL before the call).
 * KEYRITE_RECORD_KILL: the process is killed once it has made so many calls.
 *
 * An entry is seven little-endian words of 64 bits (operation, descriptor, offset or flags or length,
 * result, lengths of path, other path, data), then these three.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

enum Operation : uint64_t {
  kOpen = 1, kClose, kWrite, kTruncate, kSync, kUnlink, kRename, kMkdir, kLink, kSay, kSyncFailed
};

constexpr int kDescriptors = 4096;
pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
bool tracked[kDescriptors];
// Never destroyed: other threads may still close files while the process ends.
std::string *const names = new std::string[kDescriptors];

template <typename F> F real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) abort();
  return reinterpret_cast<F>(found);
}
// Looked up once: dlsym on every call would slow the process down.
#define REAL(name) (*([] { static auto f = real<decltype(&::name)>(#name); return f; }()))

const std::string &root() {
  static const std::string text = getenv("KEYRITE_RECORD_ROOT") ? getenv("KEYRITE_RECORD_ROOT") : "";
  return text;
}

/** Path below the root; whether it is. */
bool below(const char *path, std::string &relative) {
  const std::string &top = root();
  if (top.empty() || path == nullptr || strncmp(path, top.c_str(), top.size()) != 0) return false;
  const char *rest = path + top.size();
  if (*rest != '/' && *rest != 0) return false;
  relative = *rest == '/' ? rest + 1 : rest;
  return true;
}

bool isTracked(int fd) { return fd >= 0 && fd < kDescriptors && tracked[fd]; }

void put(Operation op, int64_t fd, uint64_t offset, int64_t result, const std::string &path,
         const std::string &other = "", const void *data = nullptr, size_t length = 0) {
  static const int log =
      REAL(open64)(getenv("KEYRITE_RECORD_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const uint64_t head[7] = {op,           static_cast<uint64_t>(fd), offset, static_cast<uint64_t>(result),
                            path.size(),  other.size(),              length};
  std::string entry(reinterpret_cast<const char *>(head), sizeof head);
  entry += path;
  entry += other;
  if (length > 0) entry.append(static_cast<const char *>(data), length);
  for (size_t done = 0; done < entry.size();) {
    const ssize_t count = REAL(write)(log, entry.data() + done, entry.size() - done);
    if (count <= 0) abort();
    done += static_cast<size_t>(count);
  }
  static const long last = getenv("KEYRITE_RECORD_KILL") ? atol(getenv("KEYRITE_RECORD_KILL")) : 0;
  static long calls = 0;
  calls += 1;
  if (calls == last) kill(getpid(), SIGKILL);
}

struct Lock {
  Lock() { pthread_mutex_lock(&mutex_); }
  ~Lock() { pthread_mutex_unlock(&mutex_); }
};

struct Fault {
  char call[16] = "";
  char suffix[64] = "";
  long nth = 0;
  char kind[16] = "";
  long seen = 0;
  Fault() {
    const char *text = getenv("KEYRITE_RECORD_FAULT");
    if (text != nullptr && sscanf(text, "%15s %63s %ld %15s", call, suffix, &nth, kind) != 4) abort();
  }
};

/** What is to go wrong with this call; nothing most of the time. */
std::string faultOf(const char *call, int fd) {
  static Fault fault;
  const std::string &name = names[fd];
  const size_t length = strlen(fault.suffix);
  if (strcmp(call, fault.call) != 0 || name.size() < length) return "";
  if (name.compare(name.size() - length, length, fault.suffix) != 0) return "";
  fault.seen += 1;
  if (fault.seen != fault.nth) return "";
  if (strcmp(fault.kind, "kill") == 0) kill(getpid(), SIGKILL);
  return fault.kind;
}

int opened(const char *path, int flags, mode_t mode) {
  std::string name;
  if (!below(path, name)) return REAL(open64)(path, flags, mode);
  Lock lock;
  const int fd = REAL(open64)(path, flags, mode);
  if (fd < 0) return fd;
  if (fd >= kDescriptors) abort();
  const int error = errno;
  tracked[fd] = true;
  names[fd] = name;
  put(kOpen, fd, static_cast<uint64_t>(flags), 0, name);
  errno = error;
  return fd;
}

/** A write at a position; -1: where the descriptor is. */
ssize_t written(int fd, const void *data, size_t length, off64_t at) {
  auto write = [&](size_t count) {
    return at < 0 ? REAL(write)(fd, data, count) : REAL(pwrite64)(fd, data, count, at);
  };
  if (!isTracked(fd)) return write(length);
  Lock lock;
  const std::string fault = faultOf("write", fd);
  if (!fault.empty() && fault != "short") {
    errno = atoi(fault.c_str());
    return -1;
  }
  const ssize_t count = write(fault == "short" && length > 1 ? length / 2 : length);
  const int error = errno;
  if (count > 0) {
    const off64_t from = at >= 0 ? at : lseek64(fd, 0, SEEK_CUR) - count;
    put(kWrite, fd, static_cast<uint64_t>(from), count, "", "", data, static_cast<size_t>(count));
  }
  errno = error;
  return count;
}

ssize_t writtenAll(int fd, const iovec *parts, int count, off64_t at) {
  std::string all;
  for (int i = 0; i < count; i += 1) all.append(static_cast<const char *>(parts[i].iov_base), parts[i].iov_len);
  return written(fd, all.data(), all.size(), at);
}

int synced(int fd, int (*sync)(int)) {
  if (!isTracked(fd)) return sync(fd);
  Lock lock;
  const std::string fault = faultOf("sync", fd);
  if (!fault.empty()) {
    put(kSyncFailed, fd, 0, 0, "");
    errno = atoi(fault.c_str());
    return -1;
  }
  const int result = sync(fd);
  const int error = errno;
  if (result == 0) put(kSync, fd, 0, 0, "");
  errno = error;
  return result;
}

template <typename F> int named(Operation op, const char *path, const char *other, F call) {
  std::string name;
  std::string second;
  const bool mine = below(path, name);
  const bool both = other != nullptr && below(other, second);
  if (!mine && !both) return call();
  // What comes in from elsewhere, or goes there, cannot be told in the log.
  if (other != nullptr && mine != both) abort();
  Lock lock;
  const int result = call();
  const int error = errno;
  if (result == 0) put(op, 0, 0, 0, name, second);
  errno = error;
  return result;
}

} // namespace

extern "C" {

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened(path, flags, mode);
}

int close(int fd) {
  if (!isTracked(fd)) return REAL(close)(fd);
  Lock lock;
  put(kClose, fd, 0, 0, "");
  tracked[fd] = false;
  return REAL(close)(fd);
}

/** libuv closes files in this way. */
long syscall(long number, ...) {
  va_list rest;
  va_start(rest, number);
  long values[6];
  for (long &value : values) value = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_close) return close(static_cast<int>(values[0]));
  return REAL(syscall)(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

ssize_t write(int fd, const void *data, size_t length) {
  if (fd != STDOUT_FILENO || root().empty()) return written(fd, data, length, -1);
  Lock lock;
  put(kSay, fd, 0, 0, "", "", data, length);
  return REAL(write)(fd, data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
  return written(fd, data, length, at);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return written(fd, data, length, at); }

ssize_t writev(int fd, const iovec *parts, int count) {
  return isTracked(fd) ? writtenAll(fd, parts, count, -1) : REAL(writev)(fd, parts, count);
}
ssize_t pwritev64(int fd, const iovec *parts, int count, off64_t at) {
  return isTracked(fd) ? writtenAll(fd, parts, count, at) : REAL(pwritev64)(fd, parts, count, at);
}

int ftruncate64(int fd, off64_t length) {
  if (!isTracked(fd)) return REAL(ftruncate64)(fd, length);
  Lock lock;
  const int result = REAL(ftruncate64)(fd, length);
  const int error = errno;
  if (result == 0) put(kTruncate, fd, static_cast<uint64_t>(length), 0, "");
  errno = error;
  return result;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int fsync(int fd) { return synced(fd, &REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, &REAL(fdatasync)); }

int unlink(const char *path) {
  return named(kUnlink, path, nullptr, [&] { return REAL(unlink)(path); });
}
int mkdir(const char *path, mode_t mode) {
  return named(kMkdir, path, nullptr, [&] { return REAL(mkdir)(path, mode); });
}
int rename(const char *from, const char *to) {
  return named(kRename, from, to, [&] { return REAL(rename)(from, to); });
}
int link(const char *from, const char *to) {
  return named(kLink, from, to, [&] { return REAL(link)(from, to); });
}

} // extern "C"
