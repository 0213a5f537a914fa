/*
 * The smallest ELF that the fake driver takes for a cubin: for tests of loading and launching
 * without NVRTC. Header only.
 */
#ifndef TFOPS_TESTS_FAKE_CUBIN_H
#define TFOPS_TESTS_FAKE_CUBIN_H

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct fake_cubin_options {
    const char *entry;  /* the kernel */
    const char *marker; /* another symbol, e.g. "tfops_fake_fault"; NULL: none */
    uint16_t param_bytes;
    uint32_t registers; /* 0: 32 */
    uint32_t smem_static_bytes;
    uint32_t salt; /* makes another image, so another simulated speed */
    int sm;        /* 0: 90 */
};

enum { FAKE_CUBIN_BYTES = 4096 };

/* A growing image: parts are appended, offsets returned. */
struct fake_cubin_writer {
    unsigned char *image;
    size_t used;
    Elf64_Shdr sections[8];
    size_t n;
    char names[256];
    size_t names_used;
};

static inline size_t fake_cubin_add(
    struct fake_cubin_writer *w, const char *name, uint32_t type, const void *data, size_t bytes)
{
    Elf64_Shdr *s = &w->sections[w->n];
    w->used = (w->used + 7) / 8 * 8;
    s->sh_name = (uint32_t)w->names_used;
    s->sh_type = type;
    s->sh_offset = w->used;
    s->sh_size = bytes;
    w->names_used +=
        (size_t)snprintf(w->names + w->names_used, sizeof w->names - w->names_used, "%s", name) + 1;
    if (data && type != SHT_NOBITS) {
        memcpy(w->image + w->used, data, bytes);
        w->used += bytes;
    }
    return w->n++;
}

/* Writes the image into `image` (FAKE_CUBIN_BYTES, aligned to 8) and returns its length. The
 * entry's and the marker's name together are at most 100 characters. */
static inline size_t fake_cubin_make(
    const struct fake_cubin_options *options, unsigned char image[FAKE_CUBIN_BYTES])
{
    struct fake_cubin_writer w = {
        .image = image, .used = sizeof(Elf64_Ehdr), .names_used = 1, .n = 1};
    const size_t entry = strlen(options->entry);
    char strings[160] = "", name[128];
    memset(image, 0, FAKE_CUBIN_BYTES);
    memcpy(strings + 1, options->entry, entry + 1);
    if (options->marker)
        memcpy(strings + entry + 2, options->marker, strlen(options->marker) + 1);

    /* 16 bytes stand for code: their content makes the image unique. */
    uint32_t code[4] = {options->salt, 0, 0, 0};
    snprintf(name, sizeof name, ".text.%s", options->entry);
    const size_t text = fake_cubin_add(&w, name, SHT_PROGBITS, code, sizeof code);
    snprintf(name, sizeof name, ".nv.shared.%s", options->entry);
    fake_cubin_add(&w, name, SHT_NOBITS, NULL, 1024 + options->smem_static_bytes);

    const uint32_t registers[3] = {0x00082f04u, 1, options->registers ? options->registers : 32};
    fake_cubin_add(&w, ".nv.info", SHT_LOPROC, registers, sizeof registers);
    const uint32_t params = 0x1903u | (uint32_t)options->param_bytes << 16;
    snprintf(name, sizeof name, ".nv.info.%s", options->entry);
    fake_cubin_add(&w, name, SHT_LOPROC, &params, sizeof params);

    const Elf64_Sym symbols[3] = {{0},
        {.st_name = 1, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), .st_shndx = (uint16_t)text},
        {.st_name = (uint32_t)entry + 2,
            .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
            .st_shndx = (uint16_t)text}};
    const size_t table = fake_cubin_add(
        &w, ".symtab", SHT_SYMTAB, symbols, (options->marker ? 3 : 2) * sizeof *symbols);
    w.sections[table].sh_entsize = sizeof *symbols;
    w.sections[table].sh_link =
        (uint32_t)fake_cubin_add(&w, ".strtab", SHT_STRTAB, strings, sizeof strings);
    const size_t names = fake_cubin_add(&w, ".shstrtab", SHT_STRTAB, NULL, 0);
    memcpy(image + w.used, w.names, w.names_used);
    w.sections[names].sh_size = w.names_used;
    w.used += w.names_used;

    w.used = (w.used + 7) / 8 * 8;
    const Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT, 0x41,
            8},
        .e_type = ET_EXEC,
        .e_machine = 190, /* CUDA */
        .e_version = 1,
        .e_shoff = w.used,
        .e_flags = (uint32_t)(options->sm ? options->sm : 90) << 8,
        .e_ehsize = sizeof header,
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = (uint16_t)w.n,
        .e_shstrndx = (uint16_t)names,
    };
    memcpy(image, &header, sizeof header);
    memcpy(image + w.used, w.sections, w.n * sizeof *w.sections);
    return w.used + w.n * sizeof *w.sections;
}

#endif
