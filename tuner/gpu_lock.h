/* One tuning run per GPU: a lock on a file named by the GPU's UUID, dropped by the kernel when the
 * holder dies. Between the processes of one user. */
#ifndef TFOPS_TUNER_GPU_LOCK_H
#define TFOPS_TUNER_GPU_LOCK_H

#include <stdint.h>
#include <tfops/status.h>

struct gpu_lock {
    int fd; /* -1: not held */
};
/* Does not wait: TFOPS_E_BUSY names the holder's process id. TFOPS_E_IO when no safe place is
 * found. */
enum tfops_status gpu_lock_take(const uint8_t uuid[16], struct gpu_lock *ret_lock);
void gpu_lock_drop(struct gpu_lock *lock);

#endif
