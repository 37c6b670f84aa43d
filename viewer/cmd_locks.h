/*
 * cmd_locks: what the subcommands about waiting share.
 */
#pragma once

#include "viewer/cmd.h"
#include "viewer/names.h"

/* Is the object's name one that --lock asks for? @context: a struct cmd. */
bool cmd_wants_lock(void *context, uint32_t object);
/* The text of @name, up to the first NUL in it; NULL for none. */
const char *cmd_text(struct name *name);
/* "worker-3", with "/4711" behind it when others have that name, too. */
void cmd_thread(struct name *name, const struct tables *t, uint32_t index);
/* "evict cache.c:88": the innermost frame that is the program's own; nothing for no stack. */
void cmd_place(struct name *name, const struct tables *t, uint32_t stack);
/* "fsync", "syscall#999". */
void cmd_call(struct name *name, uint32_t number);
/* "mutex g_cache.lock" */
void cmd_object(struct name *name, const struct tables *t, uint32_t object);

/* Views of `locks`, in files of their own: what they return is an enum status. */
int cmd_locks_order(struct cmd *c, bool as_dot);
int cmd_locks_chains(struct cmd *c);
