/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The allow list and the blocklist. A prefix is an entry of a hash keyed by its length and masked address; a lookup tries each
 * length in use. Clean packets do not get there: a Bloom filter of all prefixes, one word a key, turns away single addresses,
 * and a bitmap of the /16 (IPv6: hashed /32) that any shorter prefix touches turns away the rest. User space writes all of it,
 * bits before entries, and takes away entries before bits. */
#pragma once
#include "parse.h"

enum { LENGTHS4 = 33, LENGTHS6 = 129, PREFIXES = 65536, NEAR = 4 };
#define MANY (~0U)

struct filter {
	u64 seed[4];
	u64 bloom_words;          /* a power of two */
	u32 count4, count6;       /* entries of both lists */
	u32 short6, allow_short6; /* prefixes shorter than /32 of the blocklist, of the allow list: a bit for the first 5 of theirs */
	/* The lengths in use, exact ones included, the longest first. */
	u32 allow_lengths4, block_lengths4, allow_lengths6, block_lengths6;
	u8 allow_length4[40], block_length4[40];
	u8 allow_length6[136], block_length6[136];
	u64 prefix4[PREFIXES / 64];
	u64 prefix6[PREFIXES / 64];
	u64 allow_prefix4[PREFIXES / 64]; /* touched by the allow list alone */
	u64 allow_prefix6[PREFIXES / 64];
	/* Which lengths of the blocklist there are in that /16 (hashed /32), up to four as bytes that hold length + 1, the longest
	 * lowest; MANY where there are more. Exact addresses are not counted. */
	u32 near4[PREFIXES], near6[PREFIXES];
	u64 allowed[1024]; /* a Bloom filter of the allow list alone */
};

struct key4 {
	u32 addr, length;
};

struct key6 {
	struct addr addr;
	u32 length;
} __attribute__((packed, aligned(4)));

struct entry {
	u64 packets, bytes;
	u64 expires; /* coarse clock, 0: never */
	u32 reason, monitor;
};

struct {
	uint(type, MAP_ARRAY);
	uint(map_flags, MMAPABLE);
	uint(max_entries, 1);
	type(key, u32);
	type(value, struct filter);
} filters SEC(".maps");

struct {
	uint(type, MAP_ARRAY);
	uint(map_flags, MMAPABLE);
	uint(max_entries, 1024);
	type(key, u32);
	type(value, u64);
} bloom SEC(".maps");

#define LIST(name, key_type) \
	struct { \
		uint(type, MAP_HASH); \
		uint(map_flags, NO_PREALLOC); \
		uint(max_entries, 4096); \
		type(key, key_type); \
		type(value, struct entry); \
	} name SEC(".maps")

LIST(allow4, struct key4);
LIST(allow6, struct key6);
LIST(block4, struct key4);
LIST(block6, struct key6);

const volatile u32 bloom_mask;         /* words - 1 */
const volatile u64 mask6[256][2];      /* by prefix length */

/* How judge4 and judge6 are to look. */
enum { MAYBE_ALLOWED = 1, SINGLE = 2, SHORT = 4 };

enum judgement { UNLISTED, ALLOWED, MONITORED, BLOCKED };

INLINE struct filter *the_filter(void)
{
	u32 zero = 0;
	return map_lookup(&filters, &zero);
}

/* three_bits are the bits of a hash within its word. */
INLINE u64 three_bits(u64 hash)
{
	return 1ULL << (hash & 63) | 1ULL << (hash >> 6 & 63) | 1ULL << (hash >> 12 & 63);
}

INLINE bool in_bloom(u64 hash)
{
	u32 word = hash >> 24 & bloom_mask;
	u64 *bits = map_lookup(&bloom, &word), want = three_bits(hash);
	return bits && (*bits & want) == want;
}

INLINE bool in_allowed(struct filter *f, u64 hash)
{
	u64 want = three_bits(hash);
	return (f->allowed[hash >> 24 & 1023] & want) == want;
}

/* salted makes another value of a hash for each length, so that a prefix and the address it begins with differ. */
INLINE u64 salted(u64 hash, u32 length)
{
	return hash ^ (length + 1) * 0x9e3779b97f4a7c15ULL;
}

/* holds counts a packet on an entry and says what the entry wants, UNLISTED once it has expired. */
INLINE int holds(struct entry *e, struct state *st, struct control *c, u32 bytes)
{
	if (e->expires && now(st, c) >= e->expires)
		return UNLISTED;
	__sync_fetch_and_add(&e->packets, 1);
	__sync_fetch_and_add(&e->bytes, bytes);
	if (e->monitor)
		return MONITORED;
	st->bank[c->epoch & 1].dropped_for[e->reason & (BLOCK_REASONS - 1)]++;
	return BLOCKED;
}

INLINE struct key4 key4_of(u32 addr, u32 length, u64 *hash)
{
	struct key4 key = {.length = length};
	if (length)
		key.addr = swap32(swap32(addr) & ~0U << ((32 - length) & 31));
	*hash = salted(mix(0, (u64)key.addr << 32 | 0xffff0000), length);
	return key;
}

/* allowed4 reports whether the allow list has the prefix of this length that addr is in. */
GLOBAL int allowed4(u32 addr, u32 length)
{
	u64 hash;
	struct key4 key = key4_of(addr, length, &hash);
	struct filter *f = the_filter();
	return f && in_allowed(f, hash) && map_lookup(&allow4, &key);
}

/* probe4 says what the blocklist's prefix of this length that addr is in wants. */
INLINE int probe4(u32 addr, u32 length, u32 bytes)
{
	u64 hash;
	struct key4 key = key4_of(addr, length, &hash);
	if (!in_bloom(hash))
		return UNLISTED;
	struct entry *e = map_lookup(&block4, &key);
	struct state *st = state_here();
	struct control *c = the_control();
	return e && st && c ? holds(e, st, c, bytes) : UNLISTED;
}

GLOBAL int blocked4(u32 addr, u32 length, u32 bytes)
{
	return probe4(addr, length, bytes);
}

/* judge4 asks the allow list, then the blocklist, for each length in use, the longest first. */
GLOBAL int judge4(u32 addr, u32 bytes, u32 net, u32 how)
{
	struct filter *f = the_filter();
	if (!f)
		return UNLISTED;
	for (u32 i = 0; i < LENGTHS4; i++) {
		if (!(how & MAYBE_ALLOWED) || i >= f->allow_lengths4)
			break;
		if (allowed4(addr, f->allow_length4[i]))
			return ALLOWED;
	}
	if (how & SINGLE) {
		int found = blocked4(addr, 32, bytes);
		if (found != UNLISTED)
			return found;
	}
	u32 near = f->near4[net & (PREFIXES - 1)];
	if (near != MANY) {
#pragma unroll
		for (u32 i = 0; i < NEAR; i++, near >>= 8) {
			if (!(near & 255))
				return UNLISTED;
			int found = probe4(addr, (near & 255) - 1, bytes);
			if (found != UNLISTED)
				return found;
		}
		return UNLISTED;
	}
	for (u32 i = 0; i < LENGTHS4; i++) {
		if (i >= f->block_lengths4)
			break;
		int found = blocked4(addr, f->block_length4[i], bytes);
		if (found != UNLISTED)
			return found;
	}
	return UNLISTED;
}

INLINE struct key6 key6_of(u64 hi, u64 lo, u32 length, u64 *hash)
{
	/* Clang may know that this is below 256 already; the verifier of Linux 6.1 does not. */
	asm volatile("" : "+r"(length));
	struct key6 key = {.addr = {hi & mask6[length & 255][0], lo & mask6[length & 255][1]}, .length = length};
	*hash = salted(mix(key.addr.hi, key.addr.lo), length);
	return key;
}

GLOBAL int allowed6(u64 hi, u64 lo, u32 length)
{
	u64 hash;
	struct key6 key = key6_of(hi, lo, length, &hash);
	struct filter *f = the_filter();
	return f && in_allowed(f, hash) && map_lookup(&allow6, &key);
}

INLINE int probe6(u64 hi, u64 lo, u32 length, u32 bytes)
{
	u64 hash;
	struct key6 key = key6_of(hi, lo, length, &hash);
	if (!in_bloom(hash))
		return UNLISTED;
	struct entry *e = map_lookup(&block6, &key);
	struct state *st = state_here();
	struct control *c = the_control();
	return e && st && c ? holds(e, st, c, bytes) : UNLISTED;
}

GLOBAL int blocked6(u64 hi, u64 lo, u32 length, u32 bytes)
{
	return probe6(hi, lo, length, bytes);
}

GLOBAL int judge6(u64 hi, u64 lo, u32 net, u32 how, u32 bytes)
{
	struct filter *f = the_filter();
	if (!f)
		return UNLISTED;
	for (u32 i = 0; i < LENGTHS6; i++) {
		if (!(how & MAYBE_ALLOWED) || i >= f->allow_lengths6)
			break;
		if (allowed6(hi, lo, f->allow_length6[i]))
			return ALLOWED;
	}
	if (how & SINGLE) {
		int found = blocked6(hi, lo, 128, bytes);
		if (found != UNLISTED)
			return found;
	}
	u32 near = how & SHORT ? MANY : f->near6[net & (PREFIXES - 1)];
	if (near != MANY) {
#pragma unroll
		for (u32 i = 0; i < NEAR; i++, near >>= 8) {
			if (!(near & 255))
				return UNLISTED;
			int found = probe6(hi, lo, (near & 255) - 1, bytes);
			if (found != UNLISTED)
				return found;
		}
		return UNLISTED;
	}
	for (u32 i = 0; i < LENGTHS6; i++) {
		if (i >= f->block_lengths6)
			break;
		int found = blocked6(hi, lo, f->block_length6[i], bytes);
		if (found != UNLISTED)
			return found;
	}
	return UNLISTED;
}

INLINE bool bit(u64 *words, u32 i)
{
	return words[i >> 6 & (PREFIXES / 64 - 1)] >> (i & 63) & 1;
}

/* judge decides about a source. hash is mix(source). A listed single address that no allowing prefix can hold is decided at
 * once; what a shorter prefix may hold goes the long way. */
INLINE int judge(struct state *st, struct control *c, struct packet *p, u64 hash)
{
	struct filter *f = the_filter();
	if (!f)
		return UNLISTED;
	if (!p->v6) {
		if (!f->count4)
			return UNLISTED;
		u64 exact = salted(hash, 32);
		u32 net = p->ip & 0xffff;
		bool single = in_bloom(exact), prefix = bit(f->prefix4, net);
		if (likely(!single && !prefix))
			return UNLISTED;
		bool maybe_allowed = in_allowed(f, exact) || bit(f->allow_prefix4, net);
		if (single && !maybe_allowed) {
			struct key4 key = {.addr = p->ip, .length = 32};
			struct entry *e = map_lookup(&block4, &key);
			int found = e ? holds(e, st, c, p->bytes) : UNLISTED;
			if (found != UNLISTED || !prefix)
				return found;
			single = 0;
		}
		return judge4(p->ip, p->bytes, net, maybe_allowed * MAYBE_ALLOWED | single * SINGLE);
	}
	if (!f->count6)
		return UNLISTED;
	u64 exact = salted(hash, 128);
	u32 net = mix(0, p->src.hi & 0xffffffff) >> 40;
	u32 region = 1U << ((p->src.hi & 255) >> 3);
	bool short6 = f->short6 & region, allow_short6 = f->allow_short6 & region;
	bool single = in_bloom(exact), prefix = short6 || allow_short6 || bit(f->prefix6, net);
	if (likely(!single && !prefix))
		return UNLISTED;
	bool maybe_allowed = in_allowed(f, exact) || allow_short6 || bit(f->allow_prefix6, net);
	if (single && !maybe_allowed) {
		struct key6 key = {.addr = p->src, .length = 128};
		struct entry *e = map_lookup(&block6, &key);
		int found = e ? holds(e, st, c, p->bytes) : UNLISTED;
		if (found != UNLISTED || !prefix)
			return found;
		single = 0;
	}
	/* Of what is shorter than /32, near6 knows nothing. */
	u32 how = maybe_allowed * MAYBE_ALLOWED | single * SINGLE | short6 * SHORT;
	return judge6(p->src.hi, p->src.lo, net, how, p->bytes);
}
