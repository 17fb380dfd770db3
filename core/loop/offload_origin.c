/* The other half of offload.h: what jobs of one origin share. */
#include "base/mem.h"
#include "loop/offload.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct offload_origin {
    void *data;
    void (*free_data)(void *data);
    pthread_mutex_t lock; /* guards all below */
    uint32_t nrefs;
    uint32_t nblobs;
    struct {
        char *ptr;
        size_t len;
    } * blobs;
};

struct offload_origin *offload_origin_new(void *data, void (*free_data)(void *data))
{
    struct offload_origin *origin = MEM_NEW(struct offload_origin);
    origin->data = data;
    origin->free_data = free_data;
    origin->nrefs = 1;
    pthread_mutex_init(&origin->lock, NULL);
    return origin;
}

struct offload_origin *offload_origin_ref(struct offload_origin *origin)
{
    pthread_mutex_lock(&origin->lock);
    origin->nrefs++;
    pthread_mutex_unlock(&origin->lock);
    return origin;
}

void offload_origin_unref(struct offload_origin *origin)
{
    if (origin == NULL)
        return;
    pthread_mutex_lock(&origin->lock);
    bool is_last = --origin->nrefs == 0;
    pthread_mutex_unlock(&origin->lock);
    if (!is_last)
        return;
    for (uint32_t i = 0; i < origin->nblobs; i++)
        free(origin->blobs[i].ptr);
    free(origin->blobs);
    origin->free_data(origin->data);
    pthread_mutex_destroy(&origin->lock);
    free(origin);
}

void *offload_origin_data(const struct offload_origin *origin)
{
    return origin->data;
}

uint32_t offload_origin_put(struct offload_origin *origin, struct str bytes)
{
    uint32_t number = 0;
    pthread_mutex_lock(&origin->lock);
    if (origin->nblobs < OFFLOAD_MAX_BLOBS) {
        if ((origin->nblobs & (origin->nblobs - 1)) == 0) { /* room for the next power of two */
            uint32_t cap = origin->nblobs != 0 ? origin->nblobs * 2 : 1;
            origin->blobs = mem_grow(origin->blobs, cap * sizeof(*origin->blobs));
        }
        char *copy = mem_grow(NULL, bytes.len + 1);
        memcpy(copy, bytes.ptr, bytes.len);
        origin->blobs[origin->nblobs].ptr = copy;
        origin->blobs[origin->nblobs].len = bytes.len;
        number = ++origin->nblobs;
    }
    pthread_mutex_unlock(&origin->lock);
    return number;
}

struct str offload_origin_get(struct offload_origin *origin, uint32_t number)
{
    struct str bytes = {0};
    pthread_mutex_lock(&origin->lock);
    if (number >= 1 && number <= origin->nblobs) {
        bytes.ptr = origin->blobs[number - 1].ptr;
        bytes.len = origin->blobs[number - 1].len;
    }
    pthread_mutex_unlock(&origin->lock);
    return bytes;
}
