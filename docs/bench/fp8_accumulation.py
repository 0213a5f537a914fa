#!/usr/bin/env python3
"""What the tensor core loses of fp8 sums, by cuBLASLt (torch._scaled_mm, no fast accumulation).

Needs PyTorch and a GPU of sm_89 or later. One JSON line per k and inputs: plain numbers of [-1, 1), the
same with one 448 in each row of x (as verification plants it), and numbers of one sign. `relative` is
the Frobenius norm of the difference to fp64 sums over that of the sums, `row_*` the same of single rows.
"""
import json

import torch

ROWS, COLS = 128, 4096


def fp8(x):
    return x.to(torch.float8_e4m3fn)


def measure(a, b):
    one = torch.ones((), device="cuda")
    out = torch._scaled_mm(a, b.t(), one, one, out_dtype=torch.float32, use_fast_accum=False)
    exact = a.double() @ b.double().t()
    off = out.double() - exact
    rows = off.norm(dim=1) / exact.norm(dim=1)
    return {"relative": (off.norm() / exact.norm()).item(),
            "row_least": rows.min().item(), "row_most": rows.max().item()}


torch.manual_seed(1)
for k in (512, 1536, 4096, 7168, 14336):
    b = torch.rand(COLS, k, device="cuda") * 2 - 1
    x = torch.rand(ROWS, k, device="cuda") * 2 - 1
    planted = x.clone()
    planted[:, k // 2] = 448
    for name, p, q in (("plain", x, b), ("one 448 a row", planted, b), ("one sign", x.abs(), b.abs())):
        line = {"event": "fp8_accumulation", "device": torch.cuda.get_device_name(), "m": ROWS,
                "n": COLS, "k": k, "inputs": name}
        print(json.dumps(line | measure(fp8(p), fp8(q))))
