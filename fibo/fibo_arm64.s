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

#define SYS_exit  93
#define SYS_futex 98
#define SYS_clone 220

// As in fibo_amd64.s.
#define FLAGS 0x350f00

// CLONE starts a thread for the frame in R20, on that frame's page. In the
// child R0 is 0.
#define CLONE \
	MOVW $1, R0          \
	MOVW R0, ALIVE(R20)  \
	MOVD $FLAGS, R0      \
	ADD  $4096, R20, R1  \
	ADD  $TID, R20, R2   \
	MOVD ZR, R3          \
	ADD  $ALIVE, R20, R4 \
	MOVD $SYS_clone, R8  \
	SVC

// func start(f *frame) int64
TEXT ·start(SB), NOSPLIT, $0-16
	MOVD f+0(FP), R20
	CLONE
	CBZ  R0, call
	MOVD R0, ret+8(FP)
	RET

call:
	// A new thread. R19: its frame, R21: n, R22: the arena, R23: which child.
	MOVD R20, R19
	MOVD N(R19), R21
	MOVD R21, RESULT(R19)
	CMP  $2, R21
	BLT  done
	MOVD ARENA(R19), R22
	MOVD $1, R23

spawn:
	// fib(n-R23), R23 being 1, then 2.
	LDAXR (R22), R0 // NEXT
	ADD   $1, R0, R1
	STLXR R1, (R22), R2
	CBNZ  R2, spawn
	MOVD  BASE(R22), R1
	ADD   R0<<12, R1, R20
	SUB   R23, R21, R0
	MOVD  R0, N(R20)
	MOVD  R22, ARENA(R20)
	ADD   R23<<3, R19, R24
	MOVD  R20, (LEFT-8)(R24)
	CLONE
	CBZ   R0, call
	TBZ   $63, R0, next
	NEG   R0, R0
	MOVW  R0, ERRNO(R20)
	MOVW  ZR, ALIVE(R20)

next:
	ADD $1, R23
	CMP $2, R23
	BLE spawn

	// Join both and add.
	MOVD ZR, R21
	MOVD $1, R23

join:
	ADD  R23<<3, R19, R24
	MOVD (LEFT-8)(R24), R20

wait:
	ADD   $ALIVE, R20, R0
	LDARW (R0), R2
	CBZ   R2, joined
	MOVD  ZR, R1 // FUTEX_WAIT
	MOVD  ZR, R3
	MOVD  $SYS_futex, R8
	SVC
	B     wait

joined:
	MOVD RESULT(R20), R0
	ADD  R0, R21
	ADD  $1, R23
	CMP  $2, R23
	BLE  join
	MOVD R21, RESULT(R19)

done:
	MOVD ZR, R0
	MOVD $SYS_exit, R8
	SVC
	BRK
