// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// Offsets in frame and arena (fibo.go).
#define N      0
#define RESULT 8
#define TID    16
#define ALIVE  20
#define ERRNO  24
#define ARENA  32
#define LEFT   40
#define RIGHT  48
#define NEXT   0
#define BASE   8

#define SYS_exit  60
#define SYS_futex 202
#define SYS_clone 56

// CLONE_VM | FS | FILES | SIGHAND | THREAD | SYSVSEM | PARENT_SETTID | CHILD_CLEARTID:
// what pthread_create asks for, but for a TLS, which nobody here needs.
#define FLAGS 0x350f00

// CLONE starts a thread for the frame in R13, on that frame's page. In the
// child AX is 0. The kernel takes CX and R11.
#define CLONE \
	MOVL $1, ALIVE(R13) \
	MOVQ $FLAGS, DI     \
	LEAQ 4096(R13), SI  \
	LEAQ TID(R13), DX   \
	LEAQ ALIVE(R13), R10 \
	XORL R8, R8         \
	MOVL $SYS_clone, AX \
	SYSCALL

// func start(f *frame) int64
TEXT ·start(SB), NOSPLIT, $0-16
	MOVQ f+0(FP), R13
	CLONE
	TESTQ AX, AX
	JEQ  call
	MOVQ AX, ret+8(FP)
	RET

call:
	// A new thread. R12: its frame.
	MOVQ R13, R12
	MOVQ N(R12), R14
	MOVQ R14, RESULT(R12)
	CMPQ R14, $2
	JLT  done
	MOVQ ARENA(R12), R15
	MOVL $1, BX

spawn:
	// fib(n-BX), BX being 1, then 2.
	MOVL $1, R13
	LOCK
	XADDQ R13, NEXT(R15)
	SHLQ $12, R13
	ADDQ BASE(R15), R13
	MOVQ R14, AX
	SUBQ BX, AX
	MOVQ AX, N(R13)
	MOVQ R15, ARENA(R13)
	MOVQ R13, (LEFT-8)(R12)(BX*8)
	CLONE
	TESTQ AX, AX
	JEQ  call
	JGT  next
	NEGL AX
	MOVL AX, ERRNO(R13)
	MOVL $0, ALIVE(R13)

next:
	INCL BX
	CMPL BX, $2
	JLE  spawn

	// Join both and add.
	XORL R14, R14
	MOVL $1, BX

join:
	MOVQ (LEFT-8)(R12)(BX*8), R13

wait:
	MOVL ALIVE(R13), DX
	TESTL DX, DX
	JEQ  joined
	LEAQ ALIVE(R13), DI
	XORL SI, SI // FUTEX_WAIT
	XORL R10, R10
	MOVL $SYS_futex, AX
	SYSCALL
	JMP  wait

joined:
	ADDQ RESULT(R13), R14
	INCL BX
	CMPL BX, $2
	JLE  join
	MOVQ R14, RESULT(R12)

done:
	XORL DI, DI
	MOVL $SYS_exit, AX
	SYSCALL
	INT  $3
