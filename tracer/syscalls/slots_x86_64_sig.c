/*
 * The slots, and the two ways from them to the probe.
 *
 *      0  instructions that stood before the call, up to 24
 *     24  lea -128(%rsp), %rsp      the red zone is the host's
 *     29  call site_enter
 *     34  lea 128(%rsp), %rsp
 *     42  in place: jmp to the call          in stub: syscall; jmp 88
 *     48  the same, or `syscall; jmp 106`: where a call goes on that has no leave()
 *     64  the address behind the site's instruction
 *     72  where the jumps back lead when they are long ones: to the call, to what is behind; else room for more of what stood
 *         before the call; jmp 0 to 24
 *     88  lea -128(%rsp), %rsp
 *     93  call site_leave
 *     98  lea 128(%rsp), %rsp
 *    106  instructions that stood behind the call; jmp back
 *
 * All of them have one unwind rule, for whoever walks a stack: the caller is what stands at 64, its stack pointer is ours, 128
 * higher at 29 to 34 and 93 to 98. The rule is in this library's .eh_frame like any other.
 */
#include "tracer/syscalls/site.h"

_Static_assert(SITE_SLOT_BYTES == 128 && SITE_SLOTS == 1024, "the numbers in the code below");
_Static_assert(sizeof(struct syscall_frame) == 88, "what is pushed below");

__asm__(".text\n"
	".p2align 12\n"
	".globl site_slots\n"
	".hidden site_slots\n"
	".type site_slots, @object\n"
	"site_slots:\n"
	".cfi_startproc\n"
	/*
	 * cfa = rsp + ((pc & 63) - 29 <= 5 ? 128 : 0): DW_OP_breg16 0, const1u 63, and, lit29, ge, breg16 0, const1u 63, and,
	 * const1u 34, le, and, lit7, shl, breg7 0, plus. Operations that everybody knows: valgrind ends with dup.
	 */
	".cfi_escape 0x0f, 21, 0x80, 0, 0x08, 63, 0x1a, 0x4d, 0x2a, 0x80, 0, 0x08, 63, 0x1a, "
	"0x08, 34, 0x2c, 0x1a, 0x37, 0x24, 0x77, 0, 0x22\n"
	/* the caller's pc: DW_OP_breg16 0, const1s -128, and, plus_uconst 64, deref */
	".cfi_escape 0x16, 16, 8, 0x80, 0, 0x09, 0x80, 0x1a, 0x23, 64, 0x06\n"
	/* its rsp is the cfa itself, as it is with any other function */
	".fill 1024 * 128, 1, 0xcc\n"
	".cfi_endproc\n"
	".size site_slots, . - site_slots\n"
	".p2align 12, 0xcc\n");

/* The frame, in the order of struct syscall_frame from its end; rbp keeps its address. */
#define PUSH(what) "pushq " what "\n\t.cfi_adjust_cfa_offset 8\n\t"
#define POP(reg)   "popq " reg "\n\t.cfi_adjust_cfa_offset -8\n\t"

#define PUSH_FRAME(keep_flags)                                                                   \
	PUSH("%rbp")                                                                             \
	".cfi_offset %rbp, -16\n\t" PUSH("$0") PUSH("%r9") PUSH("%r8") PUSH("%r10") PUSH("%rdx") \
		PUSH("%rsi") PUSH("%rdi") PUSH("%rax")                                           \
			PUSH("%rax") "movq %rsp, %rdi\n\t"                                       \
				     "movq %rsp, %rbp\n\t"                                       \
				     ".cfi_def_cfa_register %rbp\n\t" keep_flags                 \
				     "andq $-16, %rsp\n\t"

#define POP_FRAME(restore_flags)                                                           \
	restore_flags "movq %rbp, %rsp\n\t"                                                \
		      ".cfi_def_cfa_register %rsp\n\t" POP("%rax") POP("%rax") POP("%rdi") \
			      POP("%rsi") POP("%rdx") POP("%r10") POP("%r8") POP("%r9")    \
				      POP("%rbp") POP("%rbp") ".cfi_restore %rbp\n\t"

#define KEEP_FLAGS    "pushfq\n\t"
#define RESTORE_FLAGS "leaq -8(%rbp), %rsp\n\tpopfq\n\t"

#define FUNCTION(name)       \
	".globl " name "\n"  \
	".hidden " name "\n" \
	".type " name ", @function\n" name ":\n\t.cfi_startproc\n\t"
#define END(name) ".cfi_endproc\n.size " name ", . - " name "\n"

/*
 * A call without leave() goes on at 48 instead of 34. What the kernel leaves in rcx and r11 is for nobody: the host's code
 * takes both for lost.
 */
#define ENTER(name, keep, restore)                                                     \
	FUNCTION(name)                                                                 \
	PUSH_FRAME(keep)                                                               \
	"call site_on_enter\n\t"                                                       \
	"testb %al, %al\n\t"                                                           \
	".cfi_remember_state\n\t"                                                      \
	"je 1f\n\t" POP_FRAME(restore) "ret\n"                                         \
				       "1:\t.cfi_restore_state\n\t" POP_FRAME(         \
					       restore) "popq %r11\n\t"                \
							".cfi_def_cfa %rsp, 0\n\t"     \
							".cfi_register %rip, %r11\n\t" \
							"leaq 128(%rsp), %rsp\n\t"     \
							".cfi_def_cfa %rsp, -128\n\t"  \
							"leaq 14(%r11), %r11\n\t"      \
							"jmp *%r11\n\t" END(name)

#define LEAVE(name, keep, restore) \
	FUNCTION(name)             \
	PUSH_FRAME(keep) "call site_on_leave\n\t" POP_FRAME(restore) "ret\n\t" END(name)

__asm__(".text\n" ENTER("site_enter", "", ""));
__asm__(".text\n" LEAVE("site_leave", "", ""));

/* the same for code that goes on to ask for the flags it had before */
__asm__(".text\n" ENTER("site_enter_flags", KEEP_FLAGS, RESTORE_FLAGS));
__asm__(".text\n" LEAVE("site_leave_flags", KEEP_FLAGS, RESTORE_FLAGS));
