/*
 * What of a long run has passed, in a file, so that a run which was stopped goes on where it was. The
 * file belongs to one program: the kernels, the references and the emulator are in it, and any change
 * of them starts anew.
 */
#ifndef TFOPS_TESTS_EMU_JOURNAL_H
#define TFOPS_TESTS_EMU_JOURNAL_H

#include <stdbool.h>

enum { EMU_JOURNAL_NAME_BYTES = 96 };

struct emu_journal {
    const char *path; /* NULL: nothing is kept */
    char identity[65];
};

/* `flavour`: what besides the program decides what a name stands for. */
void emu_journal_open(struct emu_journal *journal, const char *path, const char *flavour);

/* Whether the piece of that name has passed before; with how many runs. */
bool emu_journal_find(const struct emu_journal *journal, const char *name, unsigned *ret_passed);
void emu_journal_add(const struct emu_journal *journal, const char *name, unsigned passed);

#endif
