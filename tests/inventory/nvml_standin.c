/* Stands for NVIDIA's library. NVML_STANDIN names a text file that says which machine this is, read anew at each
 * nvmlInit and whenever a GPU is looked up by its UUID: lines of a key and a value. A key is a device (gpu0, gpu0.mig1, or nothing for the machine), a dot and a
 * question; what is not in the file is not supported.
 *
 *   count 2                         gpu0.uuid GPU-1111          gpu0.compute 1234:1048576 99:-1
 *   gpu0.memory 85899345920 0       gpu0.mig 1 1                gpu0.mig0.name NVIDIA A100 MIG 1g.10gb
 *   gpu0.buffered 100:5 200:97      gpu0.process_use 100:1234:55:0:0    (times, then percents)
 *   QUESTION.error 15               QUESTION.hang 1             QUESTION.crash 1
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, UNKNOWN = 999 };
enum { LINES = 1024, WIDTH = 256, DEVICES = 256 };

typedef unsigned long long wide;
typedef struct { wide total, free, used; } memory_t;
typedef struct { unsigned version; wide total, reserved, free, used; } memory2_t;
typedef struct { unsigned pid; wide memory; unsigned gpu_instance, compute_instance; } process_t;
typedef struct { wide time, value; } buffered_t;
typedef struct { unsigned pid; wide time; unsigned compute, memory, encoding, decoding; } process_use_t;
typedef struct { unsigned parts[8]; wide megabytes; } attributes_t;
typedef struct {
    unsigned field, scope;
    long long timestamp, latency;
    unsigned type, answer;
    union { double floating; unsigned number; wide longest; } value;
} field_t;

static char keys[LINES][WIDTH], values[LINES][WIDTH], devices[DEVICES][WIDTH];
static int lines, known;

static void load(void) {
    char line[2 * WIDTH], *space;
    const char *name = getenv("NVML_STANDIN");
    FILE *file = name ? fopen(name, "r") : NULL;
    lines = 0;
    while (file && lines < LINES && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if ((space = strchr(line, ' ')) == NULL) continue;
        *space = 0;
        strncpy(keys[lines], line, WIDTH - 1);
        strncpy(values[lines++], space + 1, WIDTH - 1);
    }
    if (file) fclose(file);
}

static const char *find(const char *device, const char *question, const char *more) {
    char key[WIDTH];
    snprintf(key, sizeof key, "%s%s%s%s", device, *device ? "." : "", question, more);
    for (int at = 0; at < lines; at++)
        if (strcmp(keys[at], key) == 0) return values[at];
    return NULL;
}

/* Answer a question: its text, or the error that the file names. */
static int ask(const char *device, const char *question, const char **answer) {
    const char *error = find(device, question, ".error");
    while (find(device, question, ".hang")) sleep(1);
    if (find(device, question, ".crash")) raise(SIGSEGV);
    if (error) return atoi(error);
    *answer = find(device, question, "");
    return *answer ? OK : NOT_SUPPORTED;
}

static int numbers(const char *device, const char *question, int count, wide *found) {
    const char *answer;
    int code = ask(device, question, &answer);
    for (int at = 0; code == OK && at < count; at++) found[at] = strtoull(answer, (char **)&answer, 10);
    return code;
}

static int copy(const char *device, const char *question, char *text, unsigned length) {
    const char *answer;
    int code = ask(device, question, &answer);
    if (code == OK) snprintf(text, length, "%s", answer);
    return code;
}

static void *device(const char *format, const char *parent, unsigned index) {
    char name[WIDTH];
    snprintf(name, sizeof name, format, parent, index);
    for (int at = 0; at < known; at++)
        if (strcmp(devices[at], name) == 0) return devices[at];
    strcpy(devices[known], name);
    return devices[known++];
}

int nvmlInitWithFlags(unsigned flags) {
    const char *answer;
    (void)flags;
    load();
    int code = ask("", "init", &answer);
    return code == NOT_SUPPORTED ? (lines ? OK : DRIVER_NOT_LOADED) : code;
}
int nvmlShutdown(void) { return OK; }
int nvmlSystemGetDriverVersion(char *text, unsigned length) { return copy("", "driver", text, length); }
int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    wide found;
    int code = numbers("", "cuda", 1, &found);
    if (code == OK) *version = (int)found;
    return code;
}
int nvmlDeviceGetCount_v2(unsigned *count) {
    wide found;
    int code = numbers("", "count", 1, &found);
    if (code == OK) *count = (unsigned)found;
    return code;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    const char *answer;
    char name[WIDTH];
    snprintf(name, sizeof name, "gpu%u", index);
    int code = ask(name, "handle", &answer);
    *handle = device("%sgpu%u", "", index);
    return code == NOT_SUPPORTED ? OK : code;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    const char *answer;
    char name[WIDTH], *end;
    load();
    for (int at = 0; at < lines; at++) {
        if (strcmp(values[at], uuid) || !(end = strstr(keys[at], ".uuid")) || end[5]) continue;
        snprintf(name, sizeof name, "%.*s", (int)(end - keys[at]), keys[at]);
        int code = ask(name, "handle", &answer);
        *handle = device("%s", name, 0);
        return code == NOT_SUPPORTED ? OK : code;
    }
    return NOT_FOUND;
}
int nvmlDeviceGetUUID(void *handle, char *text, unsigned length) { return copy(handle, "uuid", text, length); }
int nvmlDeviceGetName(void *handle, char *text, unsigned length) { return copy(handle, "name", text, length); }
int nvmlDeviceGetMemoryInfo_v2(void *handle, memory2_t *memory) {
    wide found[2];
    int code = find("", "old", "") ? 13 : numbers(handle, "memory", 2, found);
    if (code == OK) memory->total = found[0], memory->used = found[1];
    return code;
}
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
    wide found[2];
    int code = numbers(handle, "memory", 2, found);
    if (code == OK) memory->total = found[0], memory->used = found[1];
    return code;
}
static int list(void *handle, const char *question, unsigned *count, process_t *processes) {
    const char *answer;
    int code = ask(handle, question, &answer);
    unsigned found = 0;
    while (code == OK && *answer == ' ') answer++;
    for (; code == OK && *answer; found++) {
        wide pid = strtoull(answer, (char **)&answer, 10), used = 0;
        if (*answer == ':') used = strtoull(answer + 1, (char **)&answer, 10);
        if (processes && found < *count) processes[found] = (process_t){(unsigned)pid, used, 0, 0};
        while (*answer == ' ') answer++;
    }
    if (code == OK && found > *count) code = INSUFFICIENT_SIZE;
    *count = found;
    return code;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, process_t *processes) {
    return find("", "old", "") ? 13 : list(handle, "compute", count, processes);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned *count, process_t *processes) {
    return find("", "old", "") ? 13 : list(handle, "graphics", count, processes);
}
int nvmlDeviceGetComputeRunningProcesses_v2(void *handle, unsigned *count, process_t *processes) {
    return list(handle, "compute", count, processes);
}
int nvmlDeviceGetGraphicsRunningProcesses_v2(void *handle, unsigned *count, process_t *processes) {
    return list(handle, "graphics", count, processes);
}
int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    wide found[2];
    int code = numbers(handle, "mig", 2, found);
    if (code == OK) *current = (unsigned)found[0], *pending = (unsigned)found[1];
    return code;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) {
    (void)handle;
    *count = 7;
    return OK;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **mig) {
    *mig = device("%s.mig%u", handle, index);
    return find(*mig, "uuid", "") ? OK : NOT_FOUND;
}
int nvmlDeviceGetAttributes_v2(void *handle, attributes_t *attributes) {
    wide found[3];
    int code = numbers(handle, "attributes", 3, found);
    if (code == OK) {
        attributes->parts[6] = (unsigned)found[0];
        attributes->parts[7] = (unsigned)found[1];
        attributes->megabytes = found[2];
    }
    return code;
}
int nvmlDeviceGetTotalEccErrors(void *handle, unsigned kind, unsigned counter, wide *count) {
    return kind == 1 ? numbers(handle, counter ? "ecc_aggregate" : "ecc_volatile", 1, count) : UNKNOWN;
}
int nvmlDeviceGetRemappedRows(void *handle, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
    wide found[4];
    int code = numbers(handle, "remapped", 4, found);
    if (code == OK) {
        *corrected = (unsigned)found[0], *uncorrected = (unsigned)found[1];
        *pending = (unsigned)found[2], *failed = (unsigned)found[3];
    }
    return code;
}
int nvmlDeviceGetRetiredPagesPendingStatus(void *handle, unsigned *pending) {
    wide found;
    int code = numbers(handle, "retired_pending", 1, &found);
    if (code == OK) *pending = (unsigned)found;
    return code;
}
int nvmlDeviceGetUtilizationRates(void *handle, unsigned *percent) {
    wide found[2];
    int code = numbers(handle, "utilisation", 2, found);
    if (code == OK) percent[0] = (unsigned)found[0], percent[1] = (unsigned)found[1];
    return code;
}
static const char *number(const char *text, wide *found) {
    *found = strtoull(text, (char **)&text, 10);
    return *text == ':' ? text + 1 : text;
}
int nvmlDeviceGetSamples(void *handle, int kind, wide since, int *type, unsigned *count, buffered_t *samples) {
    const char *answer;
    unsigned found = 0;
    buffered_t one;
    int code = kind == 1 ? ask(handle, "buffered", &answer) : NOT_SUPPORTED;
    *type = 1;
    while (code == OK && *answer) {
        answer = number(number(answer, &one.time), &one.value);
        if (one.time > since && samples && found < *count) samples[found] = one;
        found += one.time > since;
        while (*answer == ' ') answer++;
    }
    *count = found;
    return code == OK && !found ? NOT_FOUND : code;
}
int nvmlDeviceGetProcessUtilization(void *handle, process_use_t *samples, unsigned *count, wide since) {
    const char *answer;
    unsigned found = 0;
    int code = ask(handle, "process_use", &answer);
    while (code == OK && *answer) {
        wide time, told[4];
        answer = number(answer, &time);
        for (int at = 0; at < 4; at++) answer = number(answer, &told[at]);
        if (time > since && samples && found < *count)
            samples[found] = (process_use_t){(unsigned)told[0], time, (unsigned)told[1], 0, (unsigned)told[2], (unsigned)told[3]};
        found += time > since;
        while (*answer == ' ') answer++;
    }
    if (code == OK && !found) code = NOT_FOUND;
    if (code == OK && !samples) code = INSUFFICIENT_SIZE;
    *count = found;
    return code;
}
int nvmlDeviceGetPersistenceMode(void *handle, unsigned *mode) {
    wide found;
    int code = numbers(handle, "persistence", 1, &found);
    if (code == OK) *mode = (unsigned)found;
    return code;
}
int nvmlDeviceGetFieldValues(void *handle, int count, field_t *fields) {
    wide found;
    for (int at = 0; at < count; at++) {
        fields[at].answer = (unsigned)(fields[at].field == 230 ? numbers(handle, "recovery", 1, &found) : UNKNOWN);
        if (fields[at].answer == OK) fields[at].value.number = (unsigned)found;
    }
    return OK;
}
const char *nvmlErrorString(int code) {
    return code == NOT_FOUND ? "Not Found" : code == 15 ? "GPU is lost" : code == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "Unknown Error";
}
