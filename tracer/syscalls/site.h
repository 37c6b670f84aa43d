/*
 * site: what one kind of processor provides for sites.c. All of it private to this folder.
 */
#pragma once

#include <link.h>
#include <stdatomic.h>

#include "core/cfi.h"
#include "tracer/syscalls/sites.h"

#define SITE_SLOTS       1024 /* glibc 2.36 and its loader have 572 sites */
#define SITE_SLOT_BYTES  128
#define SITE_JUMP_BYTES  5
#define SITE_WORD_BYTES  8 /* that a processor reads and writes in one piece, code too */
#define SITE_PATCHES_MAX 2
#define SITE_PADS_BYTES  32
#define SITE_PAGE        4096u
#define SITE_TEXT_BYTES  (16u << 20) /* more code than this is not looked through */

/* Five bytes of somebody's code. */
struct site_patch {
	uint8_t *at;
	uint8_t before[SITE_JUMP_BYTES], after[SITE_JUMP_BYTES];
};

/* So many of them lie in the word in which it begins. */
static inline size_t site_patch_word_bytes(const struct site_patch *patch)
{
	size_t rest = SITE_WORD_BYTES - (uintptr_t)patch->at % SITE_WORD_BYTES;

	return rest < SITE_JUMP_BYTES ? rest : SITE_JUMP_BYTES;
}

/* Its index is that of its slot. */
struct site {
	uintptr_t address; /* of the instruction; 0: free */
	bool is_in_stub;
	uint8_t patches_count;
	struct site_patch patches[SITE_PATCHES_MAX];
};

/* The executable part of a file in memory, and its tables. */
struct site_text {
	const uint8_t *start, *end;
	struct segment_module tables; /* as much of it as core/cfi.h asks for */
	uintptr_t index;              /* of them: .eh_frame_hdr */
	size_t index_bytes;           /* 0: it is not there */
};

/* How a site is to be patched, with its addresses in the file's code. */
struct site_plan {
	const uint8_t *syscall;
	const uint8_t *
		before; /* instructions from here to the call are moved in front of enter(); equal: none */
	const uint8_t
		*after_end; /* those from behind the call to here, behind leave(); equal: none */
	bool is_in_stub, has_leave, is_exit;
	bool has_patch_before, has_patch_after;
	bool has_inner_starts; /* more than one instruction is overwritten by a patch */
	bool is_one_word; /* no more may be written than the rest of the word in which it begins */
	bool needs_flags; /* what comes behind may ask for the flags from before */
};

/* Memory to plan in, set aside at the start: later plans are made inside the loader. */
size_t site_scratch_bytes(void);
void site_use_scratch(void *scratch);

enum site_wish {
	SITE_ONLY_STUBS = 1, /* no call stays in place */
	SITE_IS_FAR = 2,     /* from the slots: what has a distance in it cannot move there */
	SITE_IS_RUNNING =
		4, /* other threads are in this code: what is written of it is one instruction, in one word */
};

/*
 * Plans for the sites of @text, in the order of their addresses, and what is left out is counted. @wishes: bits. Returns how
 * many; valid until the next call.
 */
uint32_t site_find(const struct site_text *text, unsigned wishes, struct sites_counts *counts,
		   const struct site_plan **ret);

/* The same from what another process has found, where there is such a thing (kept_sig.c). */
uint32_t site_plan_all(const struct site_text *text, unsigned wishes, struct sites_counts *counts,
		       const struct site_plan **ret);

/*
 * Writes into @image what slot @index will hold for @plan, and the patches that lead there. @pads: two times 16 bytes near the
 * site for jumps that reach further, at @pads_address; NULL: slots are near. False: does not fit.
 */
bool site_build(const struct site_plan *plan, uint32_t index, uint8_t *image, uint8_t *pads,
		uint8_t *pads_address, struct site *ret);

/* True when a jump from @text to every slot, and back, is short enough. */
bool site_slots_are_near(const struct site_text *text);

/* What lies in the slots' place. */
extern uint8_t site_slots[SITE_SLOTS][SITE_SLOT_BYTES];

/* Waits until this processor executes what was written. */
void site_see_new_code(void);

/* Tells the kernel that threads will have to see new code: 2 µs with one thread, and its children have it, too. */
int site_register(void);

/* Waits until all threads of this process do. 0, or a negative errno: this kernel cannot. */
int site_all_see_new_code(void);

/* files_sig.c: what was looked through and what was patched. */
extern struct site site_sites[SITE_SLOTS];

/* An ELF image in memory. 0, also when it was known, or a negative errno: it could not be written. @wishes: bits. */
int site_add_image(uintptr_t bias, const ElfW(Phdr) * headers, unsigned headers_count,
		   unsigned wishes);

void site_forget_files(void); /* all of them */

/* How code is written: through /proc/self/mem, which leaves it executable and never makes it writable. */
struct site_writer {
	int fd;
	bool may_protect; /* there is one thread, so code may lose its right to be executed for a moment */
};
int site_writer_open(struct site_writer *w, bool may_protect);
int site_write(const struct site_writer *w, void *at, const void *bytes, size_t size);
void site_writer_close(struct site_writer *w);

/* Puts @site's code back, where it is still what was put there. */
int site_restore(const struct site_writer *w, struct site *site);

bool site_try_lock(void);
void site_unlock(void);
bool site_has_one_thread(void);

struct site_engine {
	_Atomic uint32_t lock;
	bool is_on, only_stubs, sees_exits;
	uintptr_t loader_start, loader_end; /* the loader's own code */
	struct sites_counts counts;
};
extern struct site_engine site_engine;

/* The loader has mapped the image at @base, and nobody has run it yet. */
void site_on_mapped(uintptr_t base);

/* calls_sig.c: the probe, and what the engine itself has to do around a call. */
struct site_probe {
	_Atomic(void (*)(struct syscall_frame *)) enter, leave;
};
extern struct site_probe site_probe;
bool site_on_enter(struct syscall_frame *f);
void site_on_leave(struct syscall_frame *f);
