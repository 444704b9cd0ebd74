/* A heap that can refuse: any allocation of the code under test, and what it did not give back. The linker sends the calls here (gyre_battery in
 * tests/CMakeLists.txt); allocations inside shared libraries are not seen. One thread at a time; for one source file of a test.
 */
#ifndef GYRE_TESTS_HEAP_H
#define GYRE_TESTS_HEAP_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/check.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
void __wrap_free(void *block);

static struct {
    bool watched, refused;
    size_t until, live;
    void *blocks[4096]; /* given out while watched */
} heap;

static inline bool heap_refuses(void)
{
    if (!heap.watched || heap.until-- != 0)
        return false;
    heap.refused = true;
    return true;
}

static inline void *heap_gave(void *block)
{
    if (!heap.watched || block == NULL)
        return block;
    if (heap.live == sizeof heap.blocks / sizeof *heap.blocks) {
        heap.watched = false;
        fail_msg("more live allocations than the watch holds");
    }
    heap.blocks[heap.live++] = block;
    return block;
}

static inline void *heap_took(void *block)
{
    for (size_t i = heap.watched ? heap.live : 0; i-- > 0;)
        if (heap.blocks[i] == block) {
            heap.blocks[i] = heap.blocks[--heap.live];
            break;
        }
    return block;
}

void *__wrap_malloc(size_t size) { return heap_refuses() ? NULL : heap_gave(__real_malloc(size)); }
void *__wrap_calloc(size_t count, size_t size) { return heap_refuses() ? NULL : heap_gave(__real_calloc(count, size)); }
void *__wrap_realloc(void *block, size_t size) { return heap_refuses() ? NULL : heap_gave(__real_realloc(heap_took(block), size)); }
void *__wrap_aligned_alloc(size_t alignment, size_t size) { return heap_refuses() ? NULL : heap_gave(__real_aligned_alloc(alignment, size)); }
void __wrap_free(void *block) { __real_free(heap_took(block)); }

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    int rc = heap_refuses() ? ENOMEM : __real_posix_memalign(out, alignment, size);
    if (rc == 0)
        (void)heap_gave(*out);
    return rc;
}

/* From here on allocation number `n` (from 0) is refused; SIZE_MAX refuses none. */
static inline void heap_watch(size_t n)
{
    heap.refused = false;
    heap.until = n;
    heap.live = 0;
    heap.watched = true;
}

#endif
