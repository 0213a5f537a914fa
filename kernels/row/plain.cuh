// plain.cuh: what a row operator says that has no columns and no tap.
#pragma once
#include "row/row.cuh"

template <class P, class ELEM> struct RowPlain {
    using Params = P;
    using T = ELEM;
    using COLUMN = ELEM;
    static constexpr int COLUMNS = 0, COLUMNS_FROM = 0, UNIT = 1;
    static constexpr bool TAP = false;

    TF_DEV const COLUMN *column(const P &, int)
    {
        return nullptr;
    }
    TF_DEV T *tap(const P &, long long)
    {
        return nullptr;
    }

    // ---- run-time values of the generic variant ----

    TF_DEV bool taps(const P &)
    {
        return false;
    }};
