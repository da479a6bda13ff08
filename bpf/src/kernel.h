/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The parts of the kernel's stable interface (include/uapi/linux/bpf.h) that these programs use. So they compile with clang alone,
 * without kernel or libbpf headers. Nothing here is newer than Linux 5.15, which a test checks. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
/* A global function is verified once, for any arguments, instead of once for each path to its calls. */
#define GLOBAL __attribute__((noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define uint(name, value) int(*name)[value]
#define type(name, value) typeof(value) *name
#define BE16(x) ((u16)(((x) & 0xff) << 8 | (x) >> 8))
#define swap16(x) __builtin_bswap16(x)
#define swap32(x) __builtin_bswap32(x)
/* Keeps the pointer in one register: clang would compute the address of each field anew from that of the map's value. */
#define KEEP(pointer) asm volatile("" : "+r"(pointer))
#define swap64(x) __builtin_bswap64(x)

enum { XDP_DROP = 1, XDP_PASS = 2 };
enum { TCX_NEXT = -1 };
enum { TC_NEXT = -1, TC_DROP = 2 };
enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_LRU_HASH = 9, MAP_RINGBUF = 27 };
enum { NO_PREALLOC = 1 << 0, MMAPABLE = 1 << 10 };
enum { NO_WAKEUP = 1 << 0 };

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
};

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static s64 (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u32 (*cpu_number)(void) = (void *)8;
static s64 (*store_bytes)(struct __sk_buff *skb, u32 offset, const void *from, u32 size, u64 flags) = (void *)9;
static s64 (*replace_checksum)(struct __sk_buff *skb, u32 offset, u64 from, u64 to, u64 size) = (void *)11;
static s64 (*redirect)(u32 interface, u64 flags) = (void *)23;
static s64 (*load_bytes)(const struct __sk_buff *skb, u32 offset, void *to, u32 size) = (void *)26;
static u64 (*jiffies)(void) = (void *)118;
static void *(*ring_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*ring_submit)(void *data, u64 flags) = (void *)132;
static u64 (*coarse_clock)(void) = (void *)160;
