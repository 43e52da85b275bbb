/* Stands for NVIDIA's library: two GPUs, or the fault that NVML_STANDIN names. Compiled and loaded by test_nvml.py. */
#include <stdlib.h>
#include <string.h>

typedef struct { unsigned long long total, free, used; } memory_t;

enum { OK = 0, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15, UNKNOWN = 999 };

static const char *names[] = {"NVIDIA A100-SXM4-80GB", "Tesla T4"};
static const char *uuids[] = {"GPU-11111111-aaaa", "GPU-22222222-bbbb"};

static int is(const char *fault) {
    const char *asked = getenv("NVML_STANDIN");
    return asked != NULL && strcmp(asked, fault) == 0;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    return is("no driver") ? DRIVER_NOT_LOADED : is("broken") ? UNKNOWN : OK;
}
int nvmlShutdown(void) { return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return is("count fails") ? UNKNOWN : OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = (void *)(long)(index + 1); return OK; }
int nvmlDeviceGetUUID(void *device, char *text, unsigned length) {
    strncpy(text, uuids[(long)device - 1], length);
    return OK;
}
int nvmlDeviceGetName(void *device, char *text, unsigned length) {
    strncpy(text, names[(long)device - 1], length);
    return is("one is lost") && (long)device == 2 ? GPU_IS_LOST : OK;
}
int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
    memory->total = (long)device == 1 ? 85899345920ULL : 16106127360ULL;
    memory->free = memory->total;
    memory->used = 0;
    return OK;
}
const char *nvmlErrorString(int code) {
    return code == GPU_IS_LOST ? "GPU is lost" : code == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "Unknown Error";
}
