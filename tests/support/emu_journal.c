/* Journals of long runs (see emu_journal.h). A line: identity, name, runs. */
#include "emu_journal.h"
#include "base/hash.h"
#include <stdio.h>
#include <string.h>

static void identify(const char *flavour, char identity[HASH_HEX_BYTES])
{
    static char chunk[1 << 16];
    uint8_t digest[HASH_BYTES];
    struct hash hash;
    size_t n;
    FILE *program = fopen("/proc/self/exe", "re");
    hash_init(&hash);
    hash_add_string(&hash, flavour);
    while (program && (n = fread(chunk, 1, sizeof chunk, program)) > 0)
        hash_add(&hash, chunk, n);
    if (program)
        fclose(program);
    hash_final(&hash, digest);
    hash_hex(digest, identity);
}

/* A file that begins with another program's line is emptied. */
void emu_journal_open(struct emu_journal *journal, const char *path, const char *flavour)
{
    char identity[sizeof journal->identity] = "";
    *journal = (struct emu_journal){.path = path};
    if (!path)
        return;
    identify(flavour, journal->identity);
    FILE *file = fopen(path, "re");
    bool others =
        file && fscanf(file, "%64s", identity) == 1 && strcmp(identity, journal->identity);
    if (file)
        fclose(file);
    if (others)
        remove(path);
}

bool emu_journal_find(const struct emu_journal *journal, const char *name, unsigned *ret_passed)
{
    char identity[sizeof journal->identity], known[EMU_JOURNAL_NAME_BYTES];
    unsigned passed;
    bool found = false;
    FILE *file = journal->path ? fopen(journal->path, "re") : NULL;
    while (file && !found && fscanf(file, "%64s %95s %u", identity, known, &passed) == 3)
        found = !strcmp(identity, journal->identity) && !strcmp(known, name);
    if (file)
        fclose(file);
    if (found)
        *ret_passed = passed;
    return found;
}

/* One write to the end of the file: several processes may add. */
void emu_journal_add(const struct emu_journal *journal, const char *name, unsigned passed)
{
    FILE *file = journal->path ? fopen(journal->path, "ae") : NULL;
    if (!file)
        return;
    fprintf(file, "%s %s %u\n", journal->identity, name, passed);
    fclose(file);
}
