/*
 * Reads a cubin as far as a driver shows it: entries with registers, shared memory, parameter
 * bytes, the architecture, and the markers that make a launch misbehave. The ELF's .nv.info
 * attributes are undocumented; their numbers are those that cuobjdump -elf prints (EIATTR_…).
 */
#include "fake.h"
#include <elf.h>
#include <stdio.h>
#include <string.h>

enum { CUDA_MACHINE = 190, RESERVED_SMEM = 1024 };
enum {
    INFO_MAX_THREADS = 0x05,
    INFO_FRAME_SIZE = 0x11,
    INFO_PARAM_SIZE = 0x19,
    INFO_REGCOUNT = 0x2f
};

struct elf {
    const unsigned char *base;
    const Elf64_Shdr *sections;
    const char *names;
    size_t n;
    const Elf64_Sym *symbols;
    size_t n_symbols;
    const char *strings;
};

static const char *section_name(const struct elf *elf, size_t i)
{
    return elf->names + elf->sections[i].sh_name;
}

static const Elf64_Shdr *find_section(const struct elf *elf, const char *prefix, const char *name)
{
    char full[192];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    for (size_t i = 0; i < elf->n; i++) {
        if (strcmp(section_name(elf, i), full) == 0)
            return &elf->sections[i];
    }
    return NULL;
}

static bool open_elf(const void *image, struct elf *ret_elf)
{
    const Elf64_Ehdr *header = image;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_machine != CUDA_MACHINE ||
        header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shstrndx >= header->e_shnum)
        return false;
    const unsigned char *base = image;
    struct elf elf = {.base = base, .n = header->e_shnum};
    elf.sections = (const Elf64_Shdr *)(base + header->e_shoff);
    elf.names = (const char *)(base + elf.sections[header->e_shstrndx].sh_offset);
    const Elf64_Shdr *table = find_section(&elf, ".symtab", "");
    if (!table || table->sh_link >= elf.n)
        return false;
    elf.symbols = (const Elf64_Sym *)(base + table->sh_offset);
    elf.n_symbols = table->sh_size / sizeof *elf.symbols;
    elf.strings = (const char *)(base + elf.sections[table->sh_link].sh_offset);
    *ret_elf = elf;
    return true;
}

static size_t image_bytes(const void *image, const struct elf *elf)
{
    const Elf64_Ehdr *header = image;
    size_t end = header->e_shoff + elf->n * sizeof(Elf64_Shdr);
    const size_t segments = header->e_phoff + (size_t)header->e_phnum * header->e_phentsize;
    if (header->e_phnum && segments > end)
        end = segments;
    for (size_t i = 0; i < elf->n; i++) {
        const Elf64_Shdr *s = &elf->sections[i];
        if (s->sh_type != SHT_NOBITS && s->sh_offset + s->sh_size > end)
            end = s->sh_offset + s->sh_size;
    }
    return end;
}

static uint32_t word_at(const unsigned char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* An attribute: format, number, then two bytes of value (format 3) or of length (format 4). */
static void read_info(
    const struct elf *elf, const Elf64_Shdr *info, uint32_t symbol, struct cubin_entry *entry)
{
    const unsigned char *at = info ? elf->base + info->sh_offset : NULL;
    const unsigned char *end = info ? at + info->sh_size : NULL;
    while (at && at + 4 <= end) {
        const unsigned half = at[2] | (unsigned)at[3] << 8;
        const unsigned char *value = at + 4;
        if (at[0] == 3 && at[1] == INFO_PARAM_SIZE)
            entry->param_bytes = half;
        if (at[0] == 4 && at[1] == INFO_MAX_THREADS && half >= 12)
            entry->max_threads = word_at(value) * word_at(value + 4) * word_at(value + 8);
        if (at[0] == 4 && half >= 8 && word_at(value) == symbol) {
            if (at[1] == INFO_REGCOUNT)
                entry->registers = word_at(value + 4);
            if (at[1] == INFO_FRAME_SIZE)
                entry->local_bytes = word_at(value + 4);
        }
        at = value + (at[0] == 4 ? half : 0);
    }
}

static void read_entry(const struct elf *elf, uint32_t symbol, struct cubin *cubin)
{
    const char *name = elf->strings + elf->symbols[symbol].st_name;
    if (cubin->n_entries == ELF_MAX_ENTRIES || !find_section(elf, ".text.", name))
        return;
    struct cubin_entry *entry = &cubin->entries[cubin->n_entries++];
    *entry = (struct cubin_entry){.registers = 32, .max_threads = 1024};
    snprintf(entry->name, sizeof entry->name, "%s", name);
    read_info(elf, find_section(elf, ".nv.info", ""), symbol, entry);
    read_info(elf, find_section(elf, ".nv.info.", name), symbol, entry);
    const Elf64_Shdr *shared = find_section(elf, ".nv.shared.", name);
    if (shared && shared->sh_size > RESERVED_SMEM)
        entry->smem_static_bytes = (uint32_t)shared->sh_size - RESERVED_SMEM;
}

static uint32_t marker_of(const char *symbol)
{
    static const struct {
        const char *name;
        uint32_t marker;
    } markers[] = {
        {"tfops_fake_wrong", FAKE_MARKER_WRONG},
        {"tfops_fake_fault", FAKE_MARKER_FAULT},
        {"tfops_fake_hang", FAKE_MARKER_HANG},
        {"tfops_fake_outside", FAKE_MARKER_OUTSIDE},
        {"tfops_fake_unwritten", FAKE_MARKER_UNWRITTEN},
    };
    for (size_t i = 0; i < sizeof markers / sizeof *markers; i++) {
        if (strstr(symbol, markers[i].name)) /* within: C++ mangles */
            return markers[i].marker;
    }
    return 0;
}

/* FNV-1a, then mixed: neighbouring images get unrelated values. */
static uint64_t hash_bytes(const unsigned char *at, size_t n)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < n; i++)
        h = (h ^ at[i]) * 0x100000001b3ull;
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdull;
    return h ^ h >> 33;
}

bool cubin_read(const void *image, struct cubin *ret_cubin)
{
    struct elf elf;
    if (!open_elf(image, &elf))
        return false;
    const Elf64_Ehdr *header = image;
    memset(ret_cubin, 0, sizeof *ret_cubin);
    ret_cubin->bytes = image_bytes(image, &elf);
    ret_cubin->hash = hash_bytes(image, ret_cubin->bytes);
    /* CUDA 13 moved the architecture up by a byte with ABI version 8. */
    ret_cubin->sm = (int)(header->e_ident[EI_ABIVERSION] >= 8 ? header->e_flags >> 8 & 0xff
                                                              : header->e_flags & 0xff);
    for (size_t i = 0; i < elf.n_symbols; i++) {
        const Elf64_Sym *symbol = &elf.symbols[i];
        ret_cubin->markers |= marker_of(elf.strings + symbol->st_name);
        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
            ELF64_ST_BIND(symbol->st_info) == STB_GLOBAL)
            read_entry(&elf, (uint32_t)i, ret_cubin);
    }
    return true;
}
