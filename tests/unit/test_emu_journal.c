/* The journal of long emulated runs. */
#include "tests/support/emu_journal.h"
#include "tests/support/test_support.h"
#include <criterion/criterion.h>
#include <stdio.h>

static char dir[SUPPORT_PATH_BYTES], path[SUPPORT_PATH_BYTES + 16];

static void open_fresh(struct emu_journal *journal, const char *flavour)
{
    support_dir_make(dir);
    snprintf(path, sizeof path, "%s/journal", dir);
    emu_journal_open(journal, path, flavour);
}

static void remove_all(void)
{
    support_dir_remove(dir);
}

Test(emu_journal, finds_what_was_added_after_it_is_opened_again, .fini = remove_all)
{
    struct emu_journal journal;
    unsigned passed = 0;
    open_fresh(&journal, "full");
    emu_journal_add(&journal, "softmax-sm_90a-trace-0", 7);
    emu_journal_add(&journal, "softmax-sm_90a-trace-8", 9);
    emu_journal_open(&journal, path, "full");
    cr_assert(emu_journal_find(&journal, "softmax-sm_90a-trace-8", &passed));
    cr_expect_eq(passed, 9, "%u runs, expected 9", passed);
    cr_expect_not(emu_journal_find(&journal, "softmax-sm_90a-trace-16", &passed));
}

Test(emu_journal, forgets_what_another_flavour_added, .fini = remove_all)
{
    struct emu_journal journal;
    unsigned passed = 0;
    open_fresh(&journal, "share");
    emu_journal_add(&journal, "softmax-sm_90a-trace-0", 7);
    emu_journal_open(&journal, path, "full");
    cr_expect_not(emu_journal_find(&journal, "softmax-sm_90a-trace-0", &passed));
    emu_journal_open(&journal, path, "share");
    cr_expect_not(emu_journal_find(&journal, "softmax-sm_90a-trace-0", &passed));
}

Test(emu_journal, keeps_nothing_when_there_is_no_file)
{
    struct emu_journal journal;
    unsigned passed = 0;
    emu_journal_open(&journal, NULL, "full");
    emu_journal_add(&journal, "softmax-sm_90a-trace-0", 7);
    cr_expect_not(emu_journal_find(&journal, "softmax-sm_90a-trace-0", &passed));
}
