/*
 * System calls as no compiler makes them, in functions with unwind tables.
 */
#define FUNCTION(name) \
	".globl " #name "\n.type " #name ", @function\n.p2align 4\n" #name ":\n.cfi_startproc\n"
#define END(name) \
	".cfi_endproc\n.size " #name ", . - " #name "\n.globl " #name "_end\n" #name "_end:\n"

#define FILL "movq $-128, %rdx\n2:\tmovq %rdx, (%rsp,%rdx)\n\taddq $8, %rdx\n\tjne 2b\n\t"
#define COMPARE \
	"movq $-128, %rdx\n3:\tcmpq %rdx, (%rsp,%rdx)\n\tjne 4f\n\taddq $8, %rdx\n\tjne 3b\n\t"

__asm__(".text\n"
	/* a leaf function with all of its data below the stack pointer */
	FUNCTION(asm_red_zone) FILL
	"movl $110, %eax\n\t"
	"syscall\n\t"
	"cmpq $-4095, %rax\n\t"
	"jae 4f\n\t" COMPARE "xorl %eax, %eax\n\tret\n4:\tmovl $1, %eax\n\tret\n" END(asm_red_zone)

	/* that asks for the flags from before the call; and has no room behind it */
	FUNCTION(asm_red_zone_flags) FILL
	"xorl %ecx, %ecx\n\tcmpl $5, %ecx\n\t" /* less, carry */
	"movl $110, %eax\n\t"
	"syscall\n\t"
	"jnc 4f\n\t"
	"jge 4f\n\t" COMPARE
	"xorl %eax, %eax\n\tret\n4:\tmovl $1, %eax\n\tret\n" END(asm_red_zone_flags)

	/* no call at all */
	FUNCTION(asm_immediate) "movabsq $0x1050f050f050f, %rax\n\t"
				"jmp 1f\n\t"
				"movl $0x050f0001, %ecx\n\t"
				"leaq 0x50f(%rax), %rcx\n\t"
				"cmpl $0x050f, %ecx\n"
				"1:\tret\n" END(asm_immediate)

	/* jumps to the call itself, and between what stands in front of it */
	FUNCTION(asm_jumped_to) "testq $1, %rdi\n\t"
				"movl $110, %eax\n\t"
				"jnz 1f\n\t"
				"xorl %edi, %edi\n\t"
				"movl %edi, %esi\n"
				"1:\tsyscall\n\t"
				"cmpq $-4095, %rax\n\t"
				"ret\n" END(asm_jumped_to)

	/* a jump to right behind the first instruction that follows it */
	FUNCTION(asm_jumped_behind) "leaq 0(%rdi), %rdx\n\t"
				    "movq %rdi, %rax\n\t"
				    "testq $1, %rdi\n\t"
				    "jnz 1f\n\t"
				    "movl $110, %eax\n\t"
				    "syscall\n\t"
				    "nop\n"
				    "1:\taddq $1000, %rax\n\t"
				    "ret\n" END(asm_jumped_behind)

	/* ways into the middle of it that only a table knows */
	FUNCTION(asm_by_table) "leaq 9f(%rip), %rdx\n\t"
			       "movslq (%rdx,%rdi,4), %rcx\n\t"
			       "addq %rdx, %rcx\n\t"
			       "movq %rdi, %rax\n\t"
			       "jmp *%rcx\n"
			       "2:\tmovl $110, %eax\n\t"
			       "nop\n\t"
			       "syscall\n\t"
			       "ret\n\t"
			       "nop\n"
			       "1:\taddq $2000, %rax\n\t"
			       "ret\n" END(asm_by_table) ".section .rodata\n.p2align 2\n"
							 "9:\t.long 1b - 9b, 1b - 9b, 2b - 9b, 1b "
							 "- 9b\n.text\n"

	/* glibc 2.41's __syscall_cancel_arch, which is told by its address */
	FUNCTION(asm_cancel) "movl (%rdi), %eax\n\t"
			     "testb $4, %al\n\t"
			     "jne 1f\n\t"
			     "movq %rdi, %r11\n\tmovq %rsi, %rax\n\tmovq %rdx, %rdi\n\t"
			     "movq %rcx, %rsi\n\tmovq %r8, %rdx\n\tmovq %r9, %r10\n\t"
			     "movq 8(%rsp), %r8\n\tmovq 16(%rsp), %r9\n\tmovq %r11, 8(%rsp)\n\t"
			     "syscall\n\t"
			     "1:\tret\n" END(asm_cancel)

	/* every argument is the kernel's; the sum of what is left in them comes back */
	FUNCTION(
		asm_registers) "movq %rdi, %rcx\n\tpushq %rdi\n\t.cfi_adjust_cfa_offset 8\n\t"
			       "movl $0x1111, %edi\n\tmovl $0x2222, %esi\n\tmovl $0x3333, %edx\n\t"
			       "movl $0x4444, %r10d\n\tmovl $0x5555, %r8d\n\tmovl $0x6666, %r9d\n\t"
			       "movl $110, %eax\n\t"
			       "syscall\n\t"
			       "cmpq $-4095, %rax\n\t"
			       "popq %rcx\n\t.cfi_adjust_cfa_offset -8\n\t"
			       "movq %rdi, (%rcx)\n\tmovq %rsi, 8(%rcx)\n\tmovq %rdx, 16(%rcx)\n\t"
			       "movq %r10, 24(%rcx)\n\tmovq %r8, 32(%rcx)\n\tmovq %r9, 40(%rcx)\n\t"
			       "xorl %eax, %eax\n\tret\n" END(asm_registers));
