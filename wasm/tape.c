// The tape: a list of steps, each a kernel with its argument words.
#include "base.h"
#include "kernels_dense.h"
#include "kernels_tensor.h"
#define KERNELS(X) DENSE_KERNELS(X) TENSOR_KERNELS(X)

typedef int (*Kernel)(const word *a);

#define DECLARE(name) int k_##name(const word *a);
KERNELS(DECLARE)

#define ADDRESS(name) k_##name,
static const Kernel kernels[] = {KERNELS(ADDRESS)};

enum { KERNEL_COUNT = sizeof(kernels) / sizeof(kernels[0]) };

#define NAME(name) #name "\0"
static const char names[] = KERNELS(NAME);

// The kernels' names, each ended by '\0', in the order of their numbers; an empty name ends the list.
const char *kernel_names(void) { return names; }

// The kernels of another binary, whose functions have come into our table: `count` from index `first` on. Their numbers follow ours.
static uint32_t more_first, more_count;

void add_kernels(int first, int count) {
  more_first = first;
  more_count = count;
}

static Kernel kernel_of(uint32_t number) {
  if (number < KERNEL_COUNT) return kernels[number];
  return number - KERNEL_COUNT < more_count ? (Kernel)(more_first + number - KERNEL_COUNT) : 0;
}

// Run `[kernel number, argument count n, n words] ...`. Returns 0 or (step index << 8 | error code).
int run_tape(const word *tape, int words) {
  int step = 0;
  for (int at = 0; at + 2 <= words; step++) {
    const word *entry = tape + at;
    Kernel kernel = kernel_of(entry[0]);
    if (!kernel || entry[1] < 0 || entry[1] > words - at - 2) return step << 8 | ERROR_KERNEL;
    int code = kernel(entry + 2);
    if (code) return step << 8 | code;
    at += 2 + entry[1];
  }
  return 0;
}
