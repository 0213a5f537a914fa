/* Layouts, red zones and rotation, from an operand table alone. */
#include "tests/support/scripted_gpu.h"
#include "tuner/buffers.h"
#include <criterion/criterion.h>

static struct buffers_layout layout_of(int64_t rows, int64_t cols, uint32_t align)
{
    struct tfops_problem problem = scripted_problem(rows, cols);
    struct buffers_layout layout;
    problem.align = align;
    cr_assert_eq(buffers_layout(&problem, &layout), TFOPS_OK);
    return layout;
}

/* Bytes that every base and every row stride is a multiple of. */
static uint32_t class_of(const struct buffers_layout *layout)
{
    uint32_t align = 16;
    for (size_t i = 0; i < layout->n_operands; i++) {
        const struct buffers_operand *operand = &layout->operands[i];
        size_t row = operand->rows > 1 ? (size_t)operand->stride * operand->elem_bytes : 0;
        while (operand->present && (operand->offset % align || row % align))
            align /= 2;
    }
    return align;
}

Test(buffers, alignment_class_is_exactly_the_asked_one)
{
    static const int64_t COLS[] = {1, 5, 64, 4095, 4096};
    static const uint32_t ALIGN[] = {4, 8, 16};
    for (size_t c = 0; c < sizeof COLS / sizeof *COLS; c++)
        for (size_t a = 0; a < sizeof ALIGN / sizeof *ALIGN; a++) {
            struct buffers_layout layout = layout_of(7, COLS[c], ALIGN[a]);
            cr_assert_eq(class_of(&layout), ALIGN[a], "cols %d: class %u, asked %u", (int)COLS[c],
                class_of(&layout), ALIGN[a]);
        }
}

Test(buffers, rows_are_contiguous_when_the_alignment_allows)
{
    struct buffers_layout layout = layout_of(7, 64, 16);
    cr_assert_eq(layout.operands[SCRIPTED_X].stride, 64);
    layout = layout_of(7, 65, 16);
    cr_assert_eq(layout.operands[SCRIPTED_X].stride, 68);
    layout = layout_of(7, 65, 4);
    cr_assert_eq(layout.operands[SCRIPTED_X].stride, 65);
}

Test(buffers, padded_rows_have_strides_of_their_own)
{
    for (uint32_t align = 4; align <= 16; align *= 2) {
        struct tfops_problem problem = scripted_problem(7, 64);
        struct buffers_layout layout;
        problem.align = align;
        cr_assert_eq(buffers_layout_padded(&problem, &layout), TFOPS_OK);
        int64_t x = layout.operands[SCRIPTED_X].stride, out = layout.operands[SCRIPTED_OUT].stride;
        cr_assert(x > 64 && out > 64 && x != out, "strides %d and %d", (int)x, (int)out);
        cr_assert_eq(class_of(&layout), align);
        problem.dims[0] = 1;
        cr_assert_eq(buffers_layout_padded(&problem, &layout), TFOPS_OK);
        cr_assert_eq(layout.operands[SCRIPTED_X].stride, 64); /* one row has no stride */
    }
}

Test(buffers, zones_surround_every_operand_and_leave_no_gap)
{
    struct buffers_layout layout = layout_of(7, 65, 8);
    size_t end = 0, zone = 0;
    for (size_t i = 0; i < layout.n_operands; i++) {
        if (!layout.operands[i].present)
            continue;
        cr_assert_eq(layout.zones[zone].offset, end);
        cr_assert_geq(layout.zones[zone].bytes, BUFFERS_ZONE_BYTES);
        cr_assert_eq(end + layout.zones[zone].bytes, layout.operands[i].offset);
        end = layout.operands[i].offset + layout.operands[i].bytes;
        zone++;
    }
    cr_assert_eq(layout.zones[zone].offset, end);
    cr_assert_eq(end + layout.zones[zone].bytes, layout.bytes);
    cr_assert_eq(layout.n_zones, zone + 1);
}

Test(buffers, absent_operands_take_no_memory)
{
    struct tfops_problem problem = scripted_problem(7, 64);
    struct buffers_layout without, with;
    cr_assert_eq(buffers_layout(&problem, &without), TFOPS_OK);
    problem.present |= 1u << SCRIPTED_ACC;
    cr_assert_eq(buffers_layout(&problem, &with), TFOPS_OK);
    cr_assert_eq(with.data_bytes - without.data_bytes, 7 * 64 * 4);
    struct tfops_view views[TFOPS_MAX_OPERANDS];
    buffers_views(&without, 4096, views);
    cr_assert_null(views[SCRIPTED_ACC].data);
    cr_assert_eq(views[SCRIPTED_X].strides[0], 64);
    cr_assert_eq(views[SCRIPTED_X].strides[1], 1);
}

Test(buffers, shared_outputs_are_the_first_sets)
{
    struct tfops_problem problem = scripted_problem(7, 64);
    struct buffers_layout layout, shared;
    cr_assert_eq(buffers_layout(&problem, &layout), TFOPS_OK);
    shared = layout;
    buffers_share_outputs(&shared);
    buffers_share_outputs(&shared);
    cr_assert_eq(layout.data_bytes - shared.data_bytes, layout.operands[SCRIPTED_OUT].bytes);
    cr_assert_eq(layout.bytes, shared.bytes);
    struct buffers_sets sets = {.layout = shared, .memory = 1 << 20, .n = 3};
    struct tfops_view first[TFOPS_MAX_OPERANDS], last[TFOPS_MAX_OPERANDS];
    buffers_set_views(&sets, 0, first);
    buffers_set_views(&sets, 2, last);
    cr_assert_eq(last[SCRIPTED_OUT].data, first[SCRIPTED_OUT].data);
    cr_assert_eq((char *)last[SCRIPTED_X].data - (char *)first[SCRIPTED_X].data,
        (ptrdiff_t)(2 * layout.bytes));
    sets.layout = layout;
    buffers_set_views(&sets, 2, last);
    cr_assert_eq((char *)last[SCRIPTED_OUT].data - (char *)first[SCRIPTED_OUT].data,
        (ptrdiff_t)(2 * layout.bytes));
}

Test(buffers, size_that_overflows_is_refused)
{
    struct tfops_problem problem = scripted_problem(INT64_MAX / 2, 65536);
    struct buffers_layout layout;
    cr_assert_eq(buffers_layout(&problem, &layout), TFOPS_E_RANGE);
}

Test(buffers, sets_reach_past_three_times_the_cache)
{
    struct buffers_layout layout = {.data_bytes = 10 << 20, .bytes = 11 << 20};
    int64_t l2 = 50 << 20;
    cr_assert_eq(buffers_set_count(&layout, l2, SIZE_MAX, false), 15);
    cr_assert_eq(buffers_set_count(&layout, l2, SIZE_MAX, true), 1);
    layout.data_bytes = 1 << 10;
    cr_assert_eq(buffers_set_count(&layout, l2, SIZE_MAX, false), BUFFERS_MAX_SETS);
    layout.data_bytes = 1 << 30;
    cr_assert_eq(buffers_set_count(&layout, l2, SIZE_MAX, false), 1);
}

Test(buffers, sets_stay_within_the_memory_cap)
{
    struct buffers_layout layout = {.data_bytes = 10 << 20, .bytes = 11 << 20};
    cr_assert_eq(buffers_set_count(&layout, 50 << 20, 34 << 20, false), 3);
    cr_assert_eq(buffers_set_count(&layout, 50 << 20, 1 << 20, false), 1);
}

Test(buffers, rotation_makes_whole_turns)
{
    struct buffers_layout layout = {.data_bytes = 32 << 20, .bytes = 33 << 20};
    struct buffers_rotation r = buffers_rotate(&layout, 7, 50 << 20, 9200, false, false);
    cr_assert_eq(r.sets, 7);
    cr_assert_eq(r.launches % 7, 0);
    cr_assert(r.launches >= 43 && r.launches <= 50, "%u", r.launches);
    cr_assert_not(r.flush);
}

Test(buffers, rotation_flushes_when_the_sets_fit_into_the_cache)
{
    struct buffers_layout layout = {.data_bytes = 1 << 15, .bytes = 1 << 16};
    struct buffers_rotation r = buffers_rotate(&layout, 64, 50 << 20, 0, false, false);
    cr_assert_eq(r.launches, 64);
    cr_assert_eq(r.sets, 64);
    cr_assert(r.flush);
    cr_assert_not(buffers_rotate(&layout, 1, 50 << 20, 0, true, false).flush);
}

Test(buffers, rotation_is_one_launch_when_launches_are_long)
{
    struct buffers_layout layout = {.data_bytes = 1 << 30, .bytes = 1 << 30};
    struct buffers_rotation r = buffers_rotate(&layout, 2, 50 << 20, 5e6, false, false);
    cr_assert_eq(r.launches, 1);
    cr_assert_not(r.flush);
}
