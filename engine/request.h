/*
 * Requests: the arguments of a launch, validated and brought into the shape of the operator's spec.
 * First stage of the launch flow; runs on every launch, so the right path is short and allocates
 * nothing, and everything about errors is out of line.
 */
#ifndef TFOPS_ENGINE_REQUEST_H
#define TFOPS_ENGINE_REQUEST_H

#include <tfops/plan.h>
#include <tfops/spec.h>

/* A validated launch: what key, plan and launcher work on. */
struct request {
    struct tfops_problem problem;      /* dims hold the dynamic extent */
    double scalars[TFOPS_MAX_SCALARS]; /* the caller's, then defaults */
    struct tfops_view operands[TFOPS_MAX_OPERANDS];
};

/* Fills *ret_request; its unused views are left alone. */
enum tfops_status request_bind(
    const struct tfops_spec *spec, const struct tfops_args *args, struct request *ret_request);

/* The spec's own rule, on a checked problem. */
enum tfops_status request_accepts(const struct tfops_problem *problem);

#endif
