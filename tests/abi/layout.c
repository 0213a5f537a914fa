/*
 * The layout of every public struct on LP64, asserted at compile time. Written by `make abi-layout`:
 * after a change of a header run that and read the difference. Structs that callers make may only
 * grow at their end; anything else breaks programs that are compiled already.
 */
#include <stddef.h>
#include <stdint.h>
#include <tfops/tfops.h>

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), "size of " #type)
#define OFFSET(type, field, bytes)                                                                 \
    _Static_assert(offsetof(struct type, field) == (bytes), "offset of " #type "." #field)

#if UINTPTR_MAX == UINT64_MAX

SIZE(tfops_bench_options, 48);
OFFSET(tfops_bench_options, size, 0);
OFFSET(tfops_bench_options, interval, 8);
OFFSET(tfops_bench_options, budget_s, 16);
OFFSET(tfops_bench_options, seed, 24);
OFFSET(tfops_bench_options, l2_warm, 32);
OFFSET(tfops_bench_options, one_output, 33);
OFFSET(tfops_bench_options, peer, 40);

SIZE(tfops_bench_result, 648);
OFFSET(tfops_bench_result, size, 0);
OFFSET(tfops_bench_result, tuned_ns, 8);
OFFSET(tfops_bench_result, tuned_low_ns, 16);
OFFSET(tfops_bench_result, tuned_high_ns, 24);
OFFSET(tfops_bench_result, default_ns, 32);
OFFSET(tfops_bench_result, generic_ns, 40);
OFFSET(tfops_bench_result, copy_kernel_ns, 48);
OFFSET(tfops_bench_result, copy_memcpy_ns, 56);
OFFSET(tfops_bench_result, roof_ns, 64);
OFFSET(tfops_bench_result, ratio, 72);
OFFSET(tfops_bench_result, bytes, 80);
OFFSET(tfops_bench_result, samples, 88);
OFFSET(tfops_bench_result, sm_clock_mhz, 92);
OFFSET(tfops_bench_result, memory_clock_mhz, 96);
OFFSET(tfops_bench_result, source, 100);
OFFSET(tfops_bench_result, config, 116);
OFFSET(tfops_bench_result, peer_ns, 632);
OFFSET(tfops_bench_result, peer_kernels, 640);

SIZE(tfops_bench_launch_result, 104);
OFFSET(tfops_bench_launch_result, size, 0);
OFFSET(tfops_bench_launch_result, raw_ns, 8);
OFFSET(tfops_bench_launch_result, plan_ns, 16);
OFFSET(tfops_bench_launch_result, lookup_ns, 24);
OFFSET(tfops_bench_launch_result, plan_over_raw_ns, 32);
OFFSET(tfops_bench_launch_result, lookup_over_raw_ns, 40);
OFFSET(tfops_bench_launch_result, batches, 48);
OFFSET(tfops_bench_launch_result, calls_per_batch, 52);
OFFSET(tfops_bench_launch_result, same_ns, 56);
OFFSET(tfops_bench_launch_result, plan_over_same_ns, 64);
OFFSET(tfops_bench_launch_result, lookup_over_same_ns, 72);
OFFSET(tfops_bench_launch_result, maps_ns, 80);
OFFSET(tfops_bench_launch_result, maps_moved_ns, 88);
OFFSET(tfops_bench_launch_result, maps_encode_ns, 96);

SIZE(tfops_record, 224);
OFFSET(tfops_record, size, 0);
OFFSET(tfops_record, id, 8);
OFFSET(tfops_record, sku, 16);
OFFSET(tfops_record, op, 24);
OFFSET(tfops_record, spec_version, 32);
OFFSET(tfops_record, problem, 40);
OFFSET(tfops_record, extent, 48);
OFFSET(tfops_record, config, 56);
OFFSET(tfops_record, binary_sha256, 64);
OFFSET(tfops_record, median_ns, 96);
OFFSET(tfops_record, low_ns, 104);
OFFSET(tfops_record, high_ns, 112);
OFFSET(tfops_record, default_ns, 120);
OFFSET(tfops_record, runner_up, 128);
OFFSET(tfops_record, runner_up_ns, 136);
OFFSET(tfops_record, samples, 144);
OFFSET(tfops_record, error, 152);
OFFSET(tfops_record, sm_clock_mhz, 160);
OFFSET(tfops_record, driver, 168);
OFFSET(tfops_record, nvrtc, 176);
OFFSET(tfops_record, host, 184);
OFFSET(tfops_record, tfops_version, 192);
OFFSET(tfops_record, date, 200);
OFFSET(tfops_record, revalidate, 208);
OFFSET(tfops_record, provenance, 216);

SIZE(tfops_binary, 136);
OFFSET(tfops_binary, size, 0);
OFFSET(tfops_binary, sha256, 8);
OFFSET(tfops_binary, op, 40);
OFFSET(tfops_binary, arch, 48);
OFFSET(tfops_binary, entry, 56);
OFFSET(tfops_binary, config, 64);
OFFSET(tfops_binary, bytes, 72);
OFFSET(tfops_binary, registers, 80);
OFFSET(tfops_binary, spill_bytes, 84);
OFFSET(tfops_binary, smem_static_bytes, 88);
OFFSET(tfops_binary, threads, 92);
OFFSET(tfops_binary, cluster, 96);
OFFSET(tfops_binary, smem_bytes, 100);
OFFSET(tfops_binary, param_bytes, 104);
OFFSET(tfops_binary, nvrtc, 112);
OFFSET(tfops_binary, date, 120);
OFFSET(tfops_binary, pinned, 128);
OFFSET(tfops_binary, ok, 129);

SIZE(tfops_cache_totals, 64);
OFFSET(tfops_cache_totals, size, 0);
OFFSET(tfops_cache_totals, records, 8);
OFFSET(tfops_cache_totals, binaries, 16);
OFFSET(tfops_cache_totals, binary_bytes, 24);
OFFSET(tfops_cache_totals, file_bytes, 32);
OFFSET(tfops_cache_totals, unpinned_binaries, 40);
OFFSET(tfops_cache_totals, schema, 48);
OFFSET(tfops_cache_totals, bad, 56);

SIZE(tfops_prune_options, 40);
OFFSET(tfops_prune_options, size, 0);
OFFSET(tfops_prune_options, op, 8);
OFFSET(tfops_prune_options, sku, 16);
OFFSET(tfops_prune_options, older_than_s, 24);
OFFSET(tfops_prune_options, records, 32);
OFFSET(tfops_prune_options, dry_run, 33);

SIZE(tfops_engine_options, 128);
OFFSET(tfops_engine_options, size, 0);
OFFSET(tfops_engine_options, device, 8);
OFFSET(tfops_engine_options, cache_path, 16);
OFFSET(tfops_engine_options, shipped_paths, 24);
OFFSET(tfops_engine_options, n_shipped, 32);
OFFSET(tfops_engine_options, miss_policy, 40);
OFFSET(tfops_engine_options, flags, 44);
OFFSET(tfops_engine_options, driver_path, 48);
OFFSET(tfops_engine_options, nvrtc_path, 56);
OFFSET(tfops_engine_options, worker_path, 64);
OFFSET(tfops_engine_options, plugin_paths, 72);
OFFSET(tfops_engine_options, n_plugins, 80);
OFFSET(tfops_engine_options, log, 88);
OFFSET(tfops_engine_options, log_user, 96);
OFFSET(tfops_engine_options, alloc, 104);
OFFSET(tfops_engine_options, free, 112);
OFFSET(tfops_engine_options, alloc_user, 120);

SIZE(tfops_engine_stats, 112);
OFFSET(tfops_engine_stats, size, 0);
OFFSET(tfops_engine_stats, hits, 8);
OFFSET(tfops_engine_stats, misses_unseen, 16);
OFFSET(tfops_engine_stats, misses_record, 24);
OFFSET(tfops_engine_stats, misses_binary, 32);
OFFSET(tfops_engine_stats, misses_capture, 40);
OFFSET(tfops_engine_stats, generic_plans, 48);
OFFSET(tfops_engine_stats, compiles, 56);
OFFSET(tfops_engine_stats, compile_failures, 64);
OFFSET(tfops_engine_stats, module_loads, 72);
OFFSET(tfops_engine_stats, cache_bad_rows, 80);
OFFSET(tfops_engine_stats, device_bytes, 88);
OFFSET(tfops_engine_stats, plans, 96);
OFFSET(tfops_engine_stats, open_ns, 104);

SIZE(tfops_platform, 792);
OFFSET(tfops_platform, size, 0);
OFFSET(tfops_platform, driver_path, 8);
OFFSET(tfops_platform, driver_version, 264);
OFFSET(tfops_platform, nvrtc_path, 268);
OFFSET(tfops_platform, nvrtc_version, 524);
OFFSET(tfops_platform, nvml, 528);
OFFSET(tfops_platform, device_count, 532);
OFFSET(tfops_platform, message, 536);

SIZE(tfops_quantize_args, 88);
OFFSET(tfops_quantize_args, size, 0);
OFFSET(tfops_quantize_args, x, 8);
OFFSET(tfops_quantize_args, out, 16);
OFFSET(tfops_quantize_args, scales, 24);
OFFSET(tfops_quantize_args, static_scale, 32);
OFFSET(tfops_quantize_args, saturated, 40);
OFFSET(tfops_quantize_args, retries, 48);
OFFSET(tfops_quantize_args, scaling, 56);
OFFSET(tfops_quantize_args, flags, 60);
OFFSET(tfops_quantize_args, max_retries, 64);
OFFSET(tfops_quantize_args, workspace, 72);
OFFSET(tfops_quantize_args, workspace_bytes, 80);

SIZE(tfops_rope_args, 112);
OFFSET(tfops_rope_args, size, 0);
OFFSET(tfops_rope_args, q, 8);
OFFSET(tfops_rope_args, k, 16);
OFFSET(tfops_rope_args, v, 24);
OFFSET(tfops_rope_args, cos, 32);
OFFSET(tfops_rope_args, sin, 40);
OFFSET(tfops_rope_args, positions, 48);
OFFSET(tfops_rope_args, slots, 56);
OFFSET(tfops_rope_args, q_out, 64);
OFFSET(tfops_rope_args, k_out, 72);
OFFSET(tfops_rope_args, k_cache, 80);
OFFSET(tfops_rope_args, v_cache, 88);
OFFSET(tfops_rope_args, rotary_dim, 96);
OFFSET(tfops_rope_args, flags, 104);

SIZE(tfops_rmsnorm_rope_args, 96);
OFFSET(tfops_rmsnorm_rope_args, size, 0);
OFFSET(tfops_rmsnorm_rope_args, x, 8);
OFFSET(tfops_rmsnorm_rope_args, weight, 16);
OFFSET(tfops_rmsnorm_rope_args, cos, 24);
OFFSET(tfops_rmsnorm_rope_args, sin, 32);
OFFSET(tfops_rmsnorm_rope_args, positions, 40);
OFFSET(tfops_rmsnorm_rope_args, out, 48);
OFFSET(tfops_rmsnorm_rope_args, num_heads, 56);
OFFSET(tfops_rmsnorm_rope_args, head_dim, 64);
OFFSET(tfops_rmsnorm_rope_args, rotary_dim, 72);
OFFSET(tfops_rmsnorm_rope_args, eps, 80);
OFFSET(tfops_rmsnorm_rope_args, variant, 88);
OFFSET(tfops_rmsnorm_rope_args, flags, 92);

SIZE(tfops_gemm_args, 96);
OFFSET(tfops_gemm_args, size, 0);
OFFSET(tfops_gemm_args, x, 8);
OFFSET(tfops_gemm_args, weight, 16);
OFFSET(tfops_gemm_args, bias, 24);
OFFSET(tfops_gemm_args, residual, 32);
OFFSET(tfops_gemm_args, out, 40);
OFFSET(tfops_gemm_args, x_scale, 48);
OFFSET(tfops_gemm_args, weight_scale, 56);
OFFSET(tfops_gemm_args, activation, 64);
OFFSET(tfops_gemm_args, scaling, 68);
OFFSET(tfops_gemm_args, flags, 72);
OFFSET(tfops_gemm_args, workspace, 80);
OFFSET(tfops_gemm_args, workspace_bytes, 88);

SIZE(tfops_linears_args, 128);
OFFSET(tfops_linears_args, size, 0);
OFFSET(tfops_linears_args, x, 8);
OFFSET(tfops_linears_args, norm_weight, 16);
OFFSET(tfops_linears_args, weights, 24);
OFFSET(tfops_linears_args, biases, 48);
OFFSET(tfops_linears_args, outs, 72);
OFFSET(tfops_linears_args, eps, 96);
OFFSET(tfops_linears_args, flags, 104);
OFFSET(tfops_linears_args, workspace, 112);
OFFSET(tfops_linears_args, workspace_bytes, 120);

SIZE(tfops_fp8_linear_args, 88);
OFFSET(tfops_fp8_linear_args, size, 0);
OFFSET(tfops_fp8_linear_args, weight, 8);
OFFSET(tfops_fp8_linear_args, weight_version, 16);
OFFSET(tfops_fp8_linear_args, x, 24);
OFFSET(tfops_fp8_linear_args, x_scale, 32);
OFFSET(tfops_fp8_linear_args, bias, 40);
OFFSET(tfops_fp8_linear_args, residual, 48);
OFFSET(tfops_fp8_linear_args, out, 56);
OFFSET(tfops_fp8_linear_args, activation, 64);
OFFSET(tfops_fp8_linear_args, flags, 68);
OFFSET(tfops_fp8_linear_args, workspace, 72);
OFFSET(tfops_fp8_linear_args, workspace_bytes, 80);

SIZE(tfops_gated_mlp_args, 104);
OFFSET(tfops_gated_mlp_args, size, 0);
OFFSET(tfops_gated_mlp_args, x, 8);
OFFSET(tfops_gated_mlp_args, gate, 16);
OFFSET(tfops_gated_mlp_args, up, 24);
OFFSET(tfops_gated_mlp_args, out, 32);
OFFSET(tfops_gated_mlp_args, out_scale, 40);
OFFSET(tfops_gated_mlp_args, x_scale, 48);
OFFSET(tfops_gated_mlp_args, gate_scale, 56);
OFFSET(tfops_gated_mlp_args, up_scale, 64);
OFFSET(tfops_gated_mlp_args, act, 72);
OFFSET(tfops_gated_mlp_args, scaling, 76);
OFFSET(tfops_gated_mlp_args, flags, 80);
OFFSET(tfops_gated_mlp_args, workspace, 88);
OFFSET(tfops_gated_mlp_args, workspace_bytes, 96);

SIZE(tfops_args, 232);
OFFSET(tfops_args, size, 0);
OFFSET(tfops_args, n_scalars, 8);
OFFSET(tfops_args, flags, 12);
OFFSET(tfops_args, options, 16);
OFFSET(tfops_args, workspace, 24);
OFFSET(tfops_args, workspace_bytes, 32);
OFFSET(tfops_args, operands, 40);
OFFSET(tfops_args, scalars, 168);

SIZE(tfops_plan_info, 120);
OFFSET(tfops_plan_info, size, 0);
OFFSET(tfops_plan_info, source, 8);
OFFSET(tfops_plan_info, config, 16);
OFFSET(tfops_plan_info, extent, 24);
OFFSET(tfops_plan_info, registers, 32);
OFFSET(tfops_plan_info, smem_bytes, 36);
OFFSET(tfops_plan_info, threads, 40);
OFFSET(tfops_plan_info, grid, 44);
OFFSET(tfops_plan_info, cluster, 56);
OFFSET(tfops_plan_info, binary_sha256, 60);
OFFSET(tfops_plan_info, beside, 96);
OFFSET(tfops_plan_info, regret_there, 104);
OFFSET(tfops_plan_info, regret_here, 112);

SIZE(tfops_problem, 136);
OFFSET(tfops_problem, size, 0);
OFFSET(tfops_problem, spec, 8);
OFFSET(tfops_problem, dims, 16);
OFFSET(tfops_problem, dtypes, 112);
OFFSET(tfops_problem, options, 116);
OFFSET(tfops_problem, present, 124);
OFFSET(tfops_problem, flags, 128);
OFFSET(tfops_problem, align, 132);

SIZE(tfops_device, 248);
OFFSET(tfops_device, size, 0);
OFFSET(tfops_device, name, 8);
OFFSET(tfops_device, arch, 104);
OFFSET(tfops_device, cc, 120);
OFFSET(tfops_device, sms, 124);
OFFSET(tfops_device, max_threads_per_sm, 128);
OFFSET(tfops_device, max_blocks_per_sm, 132);
OFFSET(tfops_device, regs_per_sm, 136);
OFFSET(tfops_device, max_cluster, 140);
OFFSET(tfops_device, smem_per_block_bytes, 144);
OFFSET(tfops_device, smem_per_sm_bytes, 152);
OFFSET(tfops_device, l2_bytes, 160);
OFFSET(tfops_device, memory_bytes, 168);
OFFSET(tfops_device, mig, 176);
OFFSET(tfops_device, nominal, 240);

SIZE(tfops_config, 200);
OFFSET(tfops_config, generic, 0);
OFFSET(tfops_config, values, 8);

SIZE(tfops_geometry, 44);
OFFSET(tfops_geometry, threads, 0);
OFFSET(tfops_geometry, min_blocks, 4);
OFFSET(tfops_geometry, cluster, 8);
OFFSET(tfops_geometry, smem_bytes, 12);
OFFSET(tfops_geometry, pdl, 16);
OFFSET(tfops_geometry, cooperative, 17);
OFFSET(tfops_geometry, grid, 20);
OFFSET(tfops_geometry, extent_per_group, 32);
OFFSET(tfops_geometry, most_groups, 36);
OFFSET(tfops_geometry, blocks_per_group, 40);

SIZE(tfops_view, 40);
OFFSET(tfops_view, data, 0);
OFFSET(tfops_view, strides, 8);

SIZE(tfops_launch_args, 48);
OFFSET(tfops_launch_args, problem, 0);
OFFSET(tfops_launch_args, config, 8);
OFFSET(tfops_launch_args, operands, 16);
OFFSET(tfops_launch_args, scalars, 24);
OFFSET(tfops_launch_args, workspace, 32);
OFFSET(tfops_launch_args, workspace_bytes, 40);

SIZE(tfops_tensor_map, 144);
OFFSET(tfops_tensor_map, operand, 0);
OFFSET(tfops_tensor_map, param_offset, 4);
OFFSET(tfops_tensor_map, rank, 8);
OFFSET(tfops_tensor_map, data_type, 12);
OFFSET(tfops_tensor_map, swizzle, 16);
OFFSET(tfops_tensor_map, interleave, 20);
OFFSET(tfops_tensor_map, l2_promotion, 24);
OFFSET(tfops_tensor_map, oob_fill, 28);
OFFSET(tfops_tensor_map, dims, 32);
OFFSET(tfops_tensor_map, strides_bytes, 72);
OFFSET(tfops_tensor_map, box, 104);
OFFSET(tfops_tensor_map, element_strides, 124);

SIZE(tfops_cost, 24);
OFFSET(tfops_cost, bytes_read, 0);
OFFSET(tfops_cost, bytes_written, 8);
OFFSET(tfops_cost, flops, 16);

SIZE(tfops_tolerance, 24);
OFFSET(tfops_tolerance, relative, 0);
OFFSET(tfops_tolerance, atol, 8);
OFFSET(tfops_tolerance, rtol, 16);

SIZE(tfops_values, 12);
OFFSET(tfops_values, scale, 0);
OFFSET(tfops_values, offset, 4);
OFFSET(tfops_values, special, 8);

SIZE(tfops_dim_spec, 40);
OFFSET(tfops_dim_spec, name, 0);
OFFSET(tfops_dim_spec, flags, 8);
OFFSET(tfops_dim_spec, min, 16);
OFFSET(tfops_dim_spec, max, 24);
OFFSET(tfops_dim_spec, help, 32);

SIZE(tfops_dtype_spec, 24);
OFFSET(tfops_dtype_spec, name, 0);
OFFSET(tfops_dtype_spec, allowed, 8);
OFFSET(tfops_dtype_spec, help, 16);

SIZE(tfops_option_spec, 32);
OFFSET(tfops_option_spec, name, 0);
OFFSET(tfops_option_spec, values, 8);
OFFSET(tfops_option_spec, n_values, 16);
OFFSET(tfops_option_spec, help, 24);

SIZE(tfops_scalar_spec, 40);
OFFSET(tfops_scalar_spec, name, 0);
OFFSET(tfops_scalar_spec, default_value, 8);
OFFSET(tfops_scalar_spec, min, 16);
OFFSET(tfops_scalar_spec, max, 24);
OFFSET(tfops_scalar_spec, help, 32);

SIZE(tfops_operand_spec, 40);
OFFSET(tfops_operand_spec, name, 0);
OFFSET(tfops_operand_spec, access, 8);
OFFSET(tfops_operand_spec, flags, 12);
OFFSET(tfops_operand_spec, dtype, 16);
OFFSET(tfops_operand_spec, rank, 17);
OFFSET(tfops_operand_spec, dims, 18);
OFFSET(tfops_operand_spec, may_alias, 24);
OFFSET(tfops_operand_spec, help, 32);

SIZE(tfops_constant_spec, 16);
OFFSET(tfops_constant_spec, name, 0);
OFFSET(tfops_constant_spec, value, 8);

SIZE(tfops_tunable_spec, 32);
OFFSET(tfops_tunable_spec, name, 0);
OFFSET(tfops_tunable_spec, values, 8);
OFFSET(tfops_tunable_spec, n_values, 16);
OFFSET(tfops_tunable_spec, help, 24);

SIZE(tfops_spec, 328);
OFFSET(tfops_spec, size, 0);
OFFSET(tfops_spec, abi, 8);
OFFSET(tfops_spec, version, 12);
OFFSET(tfops_spec, name, 16);
OFFSET(tfops_spec, summary, 24);
OFFSET(tfops_spec, formula, 32);
OFFSET(tfops_spec, user, 40);
OFFSET(tfops_spec, dims, 48);
OFFSET(tfops_spec, n_dims, 56);
OFFSET(tfops_spec, dtypes, 64);
OFFSET(tfops_spec, n_dtypes, 72);
OFFSET(tfops_spec, options, 80);
OFFSET(tfops_spec, n_options, 88);
OFFSET(tfops_spec, scalars, 96);
OFFSET(tfops_spec, n_scalars, 104);
OFFSET(tfops_spec, operands, 112);
OFFSET(tfops_spec, n_operands, 120);
OFFSET(tfops_spec, tunables, 128);
OFFSET(tfops_spec, n_tunables, 136);
OFFSET(tfops_spec, constants, 144);
OFFSET(tfops_spec, n_constants, 152);
OFFSET(tfops_spec, template_path, 160);
OFFSET(tfops_spec, source, 168);
OFFSET(tfops_spec, body, 176);
OFFSET(tfops_spec, generic_body, 184);
OFFSET(tfops_spec, params_type, 192);
OFFSET(tfops_spec, param_bytes, 200);
OFFSET(tfops_spec, supports, 208);
OFFSET(tfops_spec, derive, 216);
OFFSET(tfops_spec, accepts, 224);
OFFSET(tfops_spec, constraint, 232);
OFFSET(tfops_spec, default_config, 240);
OFFSET(tfops_spec, geometry, 248);
OFFSET(tfops_spec, pack, 256);
OFFSET(tfops_spec, tensor_maps, 264);
OFFSET(tfops_spec, workspace, 272);
OFFSET(tfops_spec, cost, 280);
OFFSET(tfops_spec, tolerance, 288);
OFFSET(tfops_spec, reference, 296);
OFFSET(tfops_spec, device_reference_body, 304);
OFFSET(tfops_spec, values, 312);
OFFSET(tfops_spec, predict, 320);

SIZE(tfops_error, 1360);
OFFSET(tfops_error, size, 0);
OFFSET(tfops_error, status, 8);
OFFSET(tfops_error, native, 12);
OFFSET(tfops_error, where, 16);
OFFSET(tfops_error, subject, 80);
OFFSET(tfops_error, expected, 208);
OFFSET(tfops_error, actual, 400);
OFFSET(tfops_error, message, 592);

SIZE(tfops_tensor, 144);
OFFSET(tfops_tensor, data, 0);
OFFSET(tfops_tensor, dtype, 8);
OFFSET(tfops_tensor, rank, 12);
OFFSET(tfops_tensor, shape, 16);
OFFSET(tfops_tensor, strides, 80);

SIZE(tfops_candidate, 304);
OFFSET(tfops_candidate, size, 0);
OFFSET(tfops_candidate, config, 8);
OFFSET(tfops_candidate, config_text, 208);
OFFSET(tfops_candidate, verdict, 216);
OFFSET(tfops_candidate, is_default, 220);
OFFSET(tfops_candidate, cached, 221);
OFFSET(tfops_candidate, registers, 224);
OFFSET(tfops_candidate, spill_bytes, 228);
OFFSET(tfops_candidate, smem_bytes, 232);
OFFSET(tfops_candidate, threads, 236);
OFFSET(tfops_candidate, cluster, 240);
OFFSET(tfops_candidate, blocks_per_sm, 244);
OFFSET(tfops_candidate, compile_ms, 248);
OFFSET(tfops_candidate, error, 256);
OFFSET(tfops_candidate, median_ns, 264);
OFFSET(tfops_candidate, low_ns, 272);
OFFSET(tfops_candidate, high_ns, 280);
OFFSET(tfops_candidate, samples, 288);
OFFSET(tfops_candidate, text, 296);

SIZE(tfops_tune_result, 816);
OFFSET(tfops_tune_result, size, 0);
OFFSET(tfops_tune_result, configs, 8);
OFFSET(tfops_tune_result, compiled, 12);
OFFSET(tfops_tune_result, cached, 16);
OFFSET(tfops_tune_result, verified, 20);
OFFSET(tfops_tune_result, rejected, 24);
OFFSET(tfops_tune_result, failed, 28);
OFFSET(tfops_tune_result, recorded, 32);
OFFSET(tfops_tune_result, winner_is_default, 33);
OFFSET(tfops_tune_result, winner, 40);
OFFSET(tfops_tune_result, winner_text, 240);
OFFSET(tfops_tune_result, winner_ns, 752);
OFFSET(tfops_tune_result, winner_low_ns, 760);
OFFSET(tfops_tune_result, winner_high_ns, 768);
OFFSET(tfops_tune_result, default_ns, 776);
OFFSET(tfops_tune_result, roof_ns, 784);
OFFSET(tfops_tune_result, speedup, 792);
OFFSET(tfops_tune_result, error, 800);
OFFSET(tfops_tune_result, seconds, 808);

SIZE(tfops_tune_options, 128);
OFFSET(tfops_tune_options, size, 0);
OFFSET(tfops_tune_options, strategy, 8);
OFFSET(tfops_tune_options, max_configs, 16);
OFFSET(tfops_tune_options, seed, 24);
OFFSET(tfops_tune_options, budget_s, 32);
OFFSET(tfops_tune_options, jobs, 40);
OFFSET(tfops_tune_options, interval, 48);
OFFSET(tfops_tune_options, margin, 56);
OFFSET(tfops_tune_options, watchdog_s, 64);
OFFSET(tfops_tune_options, compile_only, 72);
OFFSET(tfops_tune_options, force, 73);
OFFSET(tfops_tune_options, resume, 74);
OFFSET(tfops_tune_options, dry_run, 75);
OFFSET(tfops_tune_options, only, 80);
OFFSET(tfops_tune_options, dump_dir, 88);
OFFSET(tfops_tune_options, candidate, 96);
OFFSET(tfops_tune_options, progress, 104);
OFFSET(tfops_tune_options, user, 112);
OFFSET(tfops_tune_options, cancel, 120);

SIZE(tfops_emulate_options, 64);
OFFSET(tfops_emulate_options, size, 0);
OFFSET(tfops_emulate_options, config, 8);
OFFSET(tfops_emulate_options, arch, 16);
OFFSET(tfops_emulate_options, compiler, 24);
OFFSET(tfops_emulate_options, dump_dir, 32);
OFFSET(tfops_emulate_options, args, 40);
OFFSET(tfops_emulate_options, seed, 48);
OFFSET(tfops_emulate_options, cancel, 56);

SIZE(tfops_emulate_result, 4648);
OFFSET(tfops_emulate_result, size, 0);
OFFSET(tfops_emulate_result, runs, 8);
OFFSET(tfops_emulate_result, error, 16);
OFFSET(tfops_emulate_result, build_s, 24);
OFFSET(tfops_emulate_result, run_s, 32);
OFFSET(tfops_emulate_result, config, 40);
OFFSET(tfops_emulate_result, text, 552);

SIZE(tfops_weight_options, 48);
OFFSET(tfops_weight_options, size, 0);
OFFSET(tfops_weight_options, dtype, 8);
OFFSET(tfops_weight_options, scaling, 12);
OFFSET(tfops_weight_options, flags, 16);
OFFSET(tfops_weight_options, input_scale, 20);
OFFSET(tfops_weight_options, alloc, 24);
OFFSET(tfops_weight_options, free, 32);
OFFSET(tfops_weight_options, alloc_user, 40);

SIZE(tfops_weight_info, 320);
OFFSET(tfops_weight_info, size, 0);
OFFSET(tfops_weight_info, version, 8);
OFFSET(tfops_weight_info, values, 16);
OFFSET(tfops_weight_info, scales, 160);
OFFSET(tfops_weight_info, scaling, 304);
OFFSET(tfops_weight_info, input_scale, 308);
OFFSET(tfops_weight_info, device_bytes, 312);

#endif
