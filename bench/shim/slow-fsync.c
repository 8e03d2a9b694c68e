/* A slow disk: every fsync and fdatasync takes 5 ms more. cc -shared -fPIC -o slow.so slow-fsync.c -ldl; LD_PRELOAD=./slow.so */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

static int late(const char *name, int fd) {
  usleep(5000);
  return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return late("fsync", fd); }
int fdatasync(int fd) { return late("fdatasync", fd); }
