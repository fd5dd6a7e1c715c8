/* For tests: the wall clock of a process is off by as many seconds as the file SET_CLOCK_FILE says; read once in a
   quarter of a second. The monotonic clock stays as it is, as when an operator sets the clock of a machine.
   cc -shared -fPIC -o set_clock.so set_clock.c; LD_PRELOAD=set_clock.so */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int real_time(clockid_t clock, struct timespec *at) {
  return (int)syscall(SYS_clock_gettime, clock, at);
}

static long offset(void) {
  static long cached, read_at = -1000;
  struct timespec now;
  real_time(CLOCK_MONOTONIC, &now);
  long turn = now.tv_sec * 4 + now.tv_nsec / 250000000;
  if (turn != read_at) {
    read_at = turn;
    const char *path = getenv("SET_CLOCK_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
      char text[32] = {0};
      if (read(file, text, sizeof text - 1) > 0) cached = atol(text);
      close(file);
    }
  }
  return cached;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  int failed = real_time(clock, at);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += offset();
  return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
