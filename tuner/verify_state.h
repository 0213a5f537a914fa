/*
 * The verifier's inside, shared by its files: verify.c runs cases and judges, verify_checks.c
 * enqueues what is compared, verify_report.c puts what is wrong into words, verify_reference.c
 * compares the device reference with the CPU's.
 */
#ifndef TFOPS_TUNER_VERIFY_STATE_H
#define TFOPS_TUNER_VERIFY_STATE_H

#include "verify.h"

enum { VERIFY_SMALL_EXTENT = 37, VERIFY_TEXT_BYTES = 96 };

enum check_kind {
    CHECK_VALUES = 0, /* an output against the reference's, within the tolerance */
    CHECK_INPUT,      /* an input is as it was */
    CHECK_PADDING,    /* between the rows nothing was written */
    CHECK_ZONE,       /* nor around the operands */
    CHECK_WORKSPACE,  /* nor around the workspace */
    CHECK_INVARIANT,  /* the same rows of another extent, bit for bit */
};

struct verify_check {
    enum check_kind kind;
    int8_t operand; /* −1: none */
    uint8_t zone;
    uint32_t vcase; /* index */
    int64_t stride; /* what `first` of the result counts rows by */
    struct compare_params params;
};

/* ---- verify.c ---- */
int64_t verifier_full_extent(const struct verifier *verifier);
/* Makes the case where it is missing, runs the subject on it and enqueues its checks. */
enum tfops_status verifier_run_case(struct verifier *verifier, const struct verify_subject *subject,
    enum verify_kind kind, int64_t extent, const CUevent *events, uint32_t *ret_index);
/* Before the first case of a run, and after the last: results are on the host then. */
enum tfops_status verifier_begin(struct verifier *verifier);
enum tfops_status verifier_end(struct verifier *verifier);
/* TFOPS_E_WRONG when a check failed. */
enum tfops_status verifier_judge(struct verifier *verifier, struct verify_report *report);

/* ---- verify_checks.c: each enqueues comparisons ---- */
enum tfops_status verifier_check_case(struct verifier *verifier, uint32_t index);
enum tfops_status verifier_check_workspace(
    struct verifier *verifier, const struct verify_subject *subject);
/* Rows of a small extent against the same rows of the full one: plain inputs have one seed, so
 * their rows are equal as long as both are strided alike. */
enum tfops_status verifier_check_invariant(
    struct verifier *verifier, uint32_t small, uint32_t full);

/* ---- verify_report.c ---- */
bool verify_is_right(const struct verifier *verifier, uint32_t check);
double verify_relative(const struct compare_result *result); /* NaN: not finite */
/* "rows=37", "rows=37, in place". */
void verify_describe_case(const struct verify_case *vcase, char ret_text[VERIFY_TEXT_BYTES]);
/* "out[3][17]": rows collapse all but the last dimension. */
void verify_describe_element(const struct verify_case *vcase, size_t operand, int64_t row,
    int64_t col, char ret_text[VERIFY_TEXT_BYTES]);
/* Says what is wrong with a check; reads the elements from the device. */
enum tfops_status verify_explain(
    const struct verifier *verifier, uint32_t check, char *ret_text, size_t bytes);

#endif
