// known.cuh: values that are to be known at a point, however late they are used.
#pragma once
#include "device/core.cuh"

// Each is made before this and not made again behind it: the compiler cannot put it off until something
// is waited for.
template <class... VALUE> TF_DEV void known_here([[maybe_unused]] VALUE &...values)
{
#ifndef TF_HOST
    const auto know = [](auto &value) {
        if constexpr (sizeof value == 8)
            asm volatile("" : "+l"(value));
        else
            asm volatile("" : "+r"(value));
    };
    (know(values), ...);
#endif
}
