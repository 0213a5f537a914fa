/* Serving emulated checks (see emulate_serve.h). */
#include "emulate_serve.h"
#include "base/error.h"
#include "device.h"
#include "emulate_run.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Each kind of operands in another order of threads; the first finding ends it. */
static const struct trial {
    enum emulate_kind kind;
    enum emu_order order;
    bool late_copies;
    const char *name;
} TRIALS[] = {
    {EMULATE_PLAIN, EMU_FORWARD, false, "threads in order"},
    {EMULATE_PLAIN, EMU_REVERSE, true, "threads from the last, copies late"},
    {EMULATE_SPECIAL, EMU_WARP_DEPTH, false, "warp by warp"},
    {EMULATE_PLAIN, EMU_WARP_REVERSE, true, "warp by warp from the last, copies late"},
    {EMULATE_ALIAS, EMU_RANDOM, true, "threads in random order, copies late"},
};

struct server {
    const struct env *env;
    const struct emulate_message *message;
    struct tfops_device device;
    struct emulate_library library;
    struct emulate_outcome *outcome;
};

static enum tfops_status run_case(struct server *server, struct emulate_case *ecase,
    enum emu_order order, bool late_copies, struct emu_report *report)
{
    const struct emulate_schedule schedule = {
        .order = order, .seed = server->message->seed, .late_copies = late_copies};
    server->outcome->message.runs++;
    return emulate_run(
        &server->library, 0, &server->device, &server->message->config, ecase, &schedule, report);
}

static enum tfops_status try_once(struct server *server, const struct trial *trial)
{
    struct emulate_case ecase;
    struct emu_report report;
    struct emulate_verdict verdict = {.text = ""};
    struct emulate_outcome *outcome = server->outcome;
    enum tfops_status status = emulate_case_make(
        server->env, &server->message->problem, trial->kind, server->message->seed, &ecase);
    if (status)
        return status;
    status = run_case(server, &ecase, trial->order, trial->late_copies, &report);
    if (!status && !report.findings)
        emulate_case_judge(&ecase, &verdict);
    emulate_case_release(&ecase);
    if (!status && (report.findings || verdict.wrong))
        snprintf(outcome->text, sizeof outcome->text, "%s, %s:\n%s", emulate_kind_name(trial->kind),
            trial->name, report.findings ? report.text : verdict.text);
    if (verdict.error > outcome->message.error)
        outcome->message.error = verdict.error;
    return status;
}

static enum tfops_status try_all(struct server *server)
{
    bool alias = emulate_case_can_alias(&server->message->problem);
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < sizeof TRIALS / sizeof *TRIALS && !status; i++)
        if (!server->outcome->text[0] && (alias || TRIALS[i].kind != EMULATE_ALIAS))
            status = try_once(server, &TRIALS[i]);
    return status;
}

/* The file is the arena: what the kernel writes is what the parent reads. */
static enum tfops_status run_arena(struct server *server)
{
    const struct emulate_message *message = server->message;
    struct emulate_case ecase;
    struct emu_report report;
    enum tfops_status status =
        emulate_case_around(server->env, &message->problem, message->scalars, NULL, &ecase);
    if (status)
        return status;
    int fd = open(message->arena, O_RDWR | O_CLOEXEC);
    void *live = fd < 0 ? MAP_FAILED
                        : mmap(NULL, ecase.layout.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (live == MAP_FAILED)
        return error_setf(TFOPS_E_IO, errno, "emulator", message->arena, "cannot map %s: %s",
            message->arena, strerror(errno));
    ecase.live = live;
    status = run_case(server, &ecase, EMU_FORWARD, false, &report);
    if (!status && report.findings)
        snprintf(server->outcome->text, sizeof server->outcome->text, "%s", report.text);
    munmap(live, ecase.layout.bytes);
    return status;
}

enum tfops_status emulate_serve(const struct env *env, const struct emulate_message *message,
    struct emulate_outcome *ret_outcome)
{
    struct server server = {.env = env, .message = message, .outcome = ret_outcome};
    memset(ret_outcome, 0, sizeof *ret_outcome);
    ret_outcome->message.text = ret_outcome->text;
    enum tfops_status status = device_nominal(message->arch, &server.device);
    if (!status)
        status = emulate_open(message->library, &server.library);
    if (status)
        return status;
    status = message->arena[0] ? run_arena(&server) : try_all(&server);
    emulate_close(&server.library);
    return status;
}
