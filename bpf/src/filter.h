/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The allow list and the blocklist. A prefix is an entry of a hash map keyed by its length and masked address; a lookup tries each
 * length in use. Most packets of unlisted sources need no lookup: a Bloom filter of all prefixes, one word per key, rules out single
 * addresses, and a bitmap of the /16s (IPv6: of hashed /32s and of hashed /48s) with a shorter prefix rules out the rest. User space writes
 * bits before it adds entries, and removes entries before it clears bits. */
#pragma once
#include "parse.h"

enum { LENGTHS4 = 33, LENGTHS6 = 129, PREFIXES = 65536, NET_LENGTHS = 4 };
#define TOO_MANY (~0U)

struct filter {
	u64 seed[4];
	u64 bloom_words;          /* a power of two */
	u32 count4, count6;       /* entries of both lists */
	u32 short6, allow_short6; /* a bit for each value of the first 5 address bits that IPv6 prefixes shorter than /32 overlap: of the blocklist, of the allow list */
	/* The lengths in use, those of single addresses included, the longest first. */
	u32 allow_lengths4, block_lengths4, allow_lengths6, block_lengths6;
	u8 allow_length4[40], block_length4[40];
	u8 allow_length6[136], block_length6[136];
	u64 prefix4[PREFIXES / 64];
	u64 prefix32[PREFIXES / 64], prefix48[PREFIXES / 64]; /* IPv6 prefixes of /32 to /47, by net32; of /48 and longer, by net48 */
	u64 allow_prefix4[PREFIXES / 64]; /* overlapped by the allow list alone */
	u64 allow_prefix32[PREFIXES / 64], allow_prefix48[PREFIXES / 64];
	/* The lengths of the blocklist's prefixes in a /16 (hashed /32, /48), up to four as bytes of length + 1, the longest in the
	 * lowest byte; TOO_MANY where there are more. Single addresses are left out. */
	u32 net_lengths4[PREFIXES], net_lengths32[PREFIXES], net_lengths48[PREFIXES];
	u64 allow_bloom[1024]; /* a Bloom filter of the allow list alone */
};

struct key4 {
	u32 addr, length;
};

struct key6 {
	struct addr addr;
	u32 length;
} __attribute__((packed, aligned(4)));

/* What an entry does: SCOPED leaves it to the scopes of its prefix. */
enum action { DROP, MONITOR, SCOPED };

struct entry {
	u64 packets, bytes;
	u64 expires; /* coarse clock, 0: never */
	u32 reason, action;
};

/* A scope of a prefix: a protocol (0: all) and a port of this machine (0: all). IPv4 prefixes have the length of the mapped ones. */
struct scope_key {
	struct addr addr;
	u32 length;
	u16 port;
	u8 proto, pad;
};

struct scope {
	u64 packets, bytes; /* dropped */
	u64 expires;        /* coarse clock, 0: never */
	u32 reason;
	u32 interval; /* ns between two new attempts of one source; 0: drop all */
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

struct {
	uint(type, MAP_HASH);
	uint(map_flags, NO_PREALLOC);
	uint(max_entries, 1024);
	type(key, struct scope_key);
	type(value, struct scope);
} scopes SEC(".maps");

/* Of sources with a rate limit: when the next attempt is due (the theoretical arrival time of ITU-T I.371), by scope and source;
 * and when a conversation that was let in had its latest packet. */
#define TIMES(name) \
	struct { \
		uint(type, MAP_LRU_HASH); \
		uint(max_entries, 16384); \
		type(key, u64); \
		type(value, u64); \
	} name SEC(".maps")

TIMES(limiters);
TIMES(conversations);

LIST(allow4, struct key4);
LIST(allow6, struct key6);
LIST(block4, struct key4);
LIST(block6, struct key6);

const volatile u32 bloom_mask;         /* words - 1 */
const volatile u64 mask6[256][2];      /* by prefix length */

/* Which lookups match4 and match6 have to do. */
enum { MAYBE_ALLOWED = 1, SINGLE = 2, SHORT = 4 };

enum match_result { UNLISTED, ALLOWED, MONITORED, BLOCKED };

INLINE struct filter *get_filter(void)
{
	u32 zero = 0;
	return map_lookup(&filters, &zero);
}

/* bloom_bits returns the three bits of a hash within its word. */
INLINE u64 bloom_bits(u64 hash)
{
	return 1ULL << (hash & 63) | 1ULL << (hash >> 6 & 63) | 1ULL << (hash >> 12 & 63);
}

INLINE bool in_bloom(u64 hash)
{
	u32 word = hash >> 24 & bloom_mask;
	u64 *bits = map_lookup(&bloom, &word), want = bloom_bits(hash);
	return bits && (*bits & want) == want;
}

INLINE bool in_allow_bloom(struct filter *f, u64 hash)
{
	u64 want = bloom_bits(hash);
	return (f->allow_bloom[hash >> 24 & 1023] & want) == want;
}

/* with_length makes the hash differ for each length, so that a prefix and its first address have different hashes. */
INLINE u64 with_length(u64 hash, u32 length)
{
	return hash ^ (length + 1) * 0x9e3779b97f4a7c15ULL;
}

#define SECOND 1000000000ULL

/* within_rate takes one attempt of a source from its limit: at most a second's attempts at once. */
INLINE bool within_rate(u64 key, u64 at, u32 interval)
{
	u64 *due = map_lookup(&limiters, &key), next = due && *due > at ? *due : at;
	if (next - at > SECOND - (interval < SECOND ? interval : SECOND))
		return 0;
	next += interval;
	map_update(&limiters, &key, &next, 0);
	return 1;
}

/* admitted reports whether a scope with a rate lets a packet pass: all but new attempts that are too many. Those are TCP SYNs, echo
 * requests, and else packets of a conversation without one in the last minute. */
INLINE bool admitted(struct packet *p, u64 at, u32 interval, u32 length, u16 port, u8 proto)
{
	bool always_new = p->class == TCP_SYN || p->class == ICMP_ECHO;
	if (!always_new && p->proto == 6 && p->class != FRAGMENT)
		return 1;
	u64 src = hash_address(p->src.hi, p->src.lo), dst = hash_address(p->dst.hi, p->dst.lo);
	u64 conversation = hash_conversation(src, dst, (u64)p->proto << 32 | (u64)p->sport << 16 | p->dport);
	u64 *latest = always_new ? 0 : map_lookup(&conversations, &conversation);
	if (!latest || at - *latest > 60 * SECOND) {
		/* An IPv6 source is its /64. */
		u64 source = p->v6 ? hash_address(p->src.hi, 0) : src;
		if (!within_rate(source ^ ((u64)length << 32 | (u32)port << 8 | proto) * 0x9e3779b97f4a7c15ULL, at, interval))
			return 0;
	}
	if (!always_new)
		map_update(&conversations, &conversation, &at, 0);
	return 1;
}

/* apply_scopes applies the scopes of the prefix with this length (IPv4: + 96) to the current packet, the narrowest first. */
GLOBAL int apply_scopes(u32 length)
{
	struct state *st = cpu_state();
	if (!st)
		return UNLISTED;
	struct packet *p = &st->packet;
	asm volatile("" : "+r"(length)); /* see key6_of */
	struct scope_key key = {.addr = {p->src.hi & mask6[length & 255][0], p->src.lo & mask6[length & 255][1]}, .length = length};
	u64 at = now(st);
#pragma unroll
	for (u32 i = 0; i < 3; i++) {
		key.port = i ? 0 : p->dport;
		key.proto = i == 2 ? 0 : p->proto == 58 ? 1 : p->proto;
		struct scope *s = map_lookup(&scopes, &key);
		if (!s || (s->expires && at >= s->expires))
			continue;
		if (s->interval && admitted(p, at, s->interval, length, key.port, key.proto))
			continue;
		__sync_fetch_and_add(&s->packets, 1);
		__sync_fetch_and_add(&s->bytes, p->bytes);
		bank(st)->counters.dropped_for[s->reason & (BLOCK_REASONS - 1)]++;
		return BLOCKED;
	}
	return UNLISTED;
}

/* apply_entry counts a packet on an entry and returns the result of the match; UNLISTED for an expired entry. length is
 * that of the prefix, for IPv4 + 96. */
INLINE int apply_entry(struct entry *e, struct state *st, struct bank *b, u32 bytes, u32 length)
{
	if (e->expires && now(st) >= e->expires)
		return UNLISTED;
	if (unlikely(e->action == SCOPED))
		return apply_scopes(length);
	u32 reason = e->reason & (BLOCK_REASONS - 1);
	bool monitor = e->action == MONITOR;
	if (!monitor)
		b->counters.dropped_for[reason]++;
	__sync_fetch_and_add(&e->packets, 1);
	__sync_fetch_and_add(&e->bytes, bytes);
	return monitor ? MONITORED : BLOCKED;
}

/* key4_of returns the key of the prefix of addr with this length, and its hash. */
INLINE struct key4 key4_of(u32 addr, u32 length, u64 *hash)
{
	struct key4 key = {.length = length};
	if (length)
		key.addr = swap32(swap32(addr) & ~0U << ((32 - length) & 31));
	*hash = with_length(hash_address(0, (u64)key.addr << 32 | 0xffff0000), length);
	return key;
}

/* allowed4 reports whether the allow list has the prefix of addr with this length. */
GLOBAL int allowed4(u32 addr, u32 length)
{
	u64 hash;
	struct key4 key = key4_of(addr, length, &hash);
	struct filter *f = get_filter();
	return f && in_allow_bloom(f, hash) && map_lookup(&allow4, &key);
}

/* lookup4 applies the blocklist's entry for the prefix of addr with this length, if there is one. */
INLINE int lookup4(u32 addr, u32 length, u32 bytes)
{
	u64 hash;
	struct key4 key = key4_of(addr, length, &hash);
	if (!in_bloom(hash))
		return UNLISTED;
	struct entry *e = map_lookup(&block4, &key);
	struct state *st = cpu_state();
	return e && st ? apply_entry(e, st, bank(st), bytes, length + 96) : UNLISTED;
}

GLOBAL int blocked4(u32 addr, u32 length, u32 bytes)
{
	return lookup4(addr, length, bytes);
}

/* match4 looks into the allow list, then into the blocklist, for each length in use, the longest first. net is the /16. */
GLOBAL int match4(u32 addr, u32 bytes, u32 net, u32 how)
{
	struct filter *f = get_filter();
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
	u32 lengths = f->net_lengths4[net & (PREFIXES - 1)];
	if (lengths != TOO_MANY) {
#pragma unroll
		for (u32 i = 0; i < NET_LENGTHS; i++, lengths >>= 8) {
			if (!(lengths & 255))
				return UNLISTED;
			int found = lookup4(addr, (lengths & 255) - 1, bytes);
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
	/* Hides from clang that length is below 256: the verifier of Linux 6.1 does not know it and needs the masking below. */
	asm volatile("" : "+r"(length));
	struct key6 key = {.addr = {hi & mask6[length & 255][0], lo & mask6[length & 255][1]}, .length = length};
	*hash = with_length(hash_address(key.addr.hi, key.addr.lo), length);
	return key;
}

GLOBAL int allowed6(u64 hi, u64 lo, u32 length)
{
	u64 hash;
	struct key6 key = key6_of(hi, lo, length, &hash);
	struct filter *f = get_filter();
	return f && in_allow_bloom(f, hash) && map_lookup(&allow6, &key);
}

INLINE int lookup6(u64 hi, u64 lo, u32 length, u32 bytes)
{
	u64 hash;
	struct key6 key = key6_of(hi, lo, length, &hash);
	if (!in_bloom(hash))
		return UNLISTED;
	struct entry *e = map_lookup(&block6, &key);
	struct state *st = cpu_state();
	return e && st ? apply_entry(e, st, bank(st), bytes, length) : UNLISTED;
}

GLOBAL int blocked6(u64 hi, u64 lo, u32 length, u32 bytes)
{
	return lookup6(hi, lo, length, bytes);
}

/* net32 and net48 hash the first bits of an IPv6 address by one multiplication (Dietzfelbinger 1997). */
INLINE u32 net32(u64 hi)
{
	return (hi & 0xffffffff) * seed[0] >> 48;
}

INLINE u32 net48(u64 hi)
{
	return (hi & 0xffffffffffff) * seed[1] >> 48;
}

/* lookup_lengths6 applies the blocklist's entry for the longest of the packed lengths that has one. */
INLINE int lookup_lengths6(u64 hi, u64 lo, u32 lengths, u32 bytes)
{
#pragma unroll
	for (u32 i = 0; i < NET_LENGTHS; i++, lengths >>= 8) {
		if (!(lengths & 255))
			return UNLISTED;
		int found = blocked6(hi, lo, (lengths & 255) - 1, bytes);
		if (found != UNLISTED)
			return found;
	}
	return UNLISTED;
}

GLOBAL int match6(u64 hi, u64 lo, u32 how, u32 bytes)
{
	struct filter *f = get_filter();
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
	u32 long_ones = f->net_lengths48[net48(hi) & (PREFIXES - 1)], short_ones = f->net_lengths32[net32(hi) & (PREFIXES - 1)];
	if (!(how & SHORT) && long_ones != TOO_MANY && short_ones != TOO_MANY) {
		int found = lookup_lengths6(hi, lo, long_ones, bytes);
		return found != UNLISTED ? found : lookup_lengths6(hi, lo, short_ones, bytes);
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

/* match looks a source up in both lists. hash is hash_address(source). A listed single address that no allowed prefix may cover is
 * decided here; match4 and match6 do what needs more than one lookup. */
INLINE int match(struct state *st, struct bank *b, struct packet *p, u64 hash)
{
	struct filter *f = get_filter();
	if (!f)
		return UNLISTED;
	if (!p->v6) {
		if (!f->count4)
			return UNLISTED;
		u64 exact = with_length(hash, 32);
		u32 net = p->ip & 0xffff;
		bool single = in_bloom(exact), prefix = bit(f->prefix4, net);
		if (likely(!single && !prefix))
			return UNLISTED;
		bool maybe_allowed = in_allow_bloom(f, exact) || bit(f->allow_prefix4, net);
		if (single && !maybe_allowed) {
			struct key4 key = {.addr = p->ip, .length = 32};
			struct entry *e = map_lookup(&block4, &key);
			int found = e ? apply_entry(e, st, b, p->bytes, 128) : UNLISTED;
			if (found != UNLISTED || !prefix)
				return found;
			single = 0;
		}
		return match4(p->ip, p->bytes, net, maybe_allowed * MAYBE_ALLOWED | single * SINGLE);
	}
	if (!f->count6)
		return UNLISTED;
	u64 exact = with_length(hash, 128);
	u32 in32 = net32(p->src.hi), in48 = net48(p->src.hi);
	u32 region = 1U << ((p->src.hi & 255) >> 3);
	bool short6 = f->short6 & region, allow_short6 = f->allow_short6 & region;
	bool in_prefix48 = bit(f->prefix48, in48), in_prefix32 = short6 || allow_short6 || bit(f->prefix32, in32);
	bool single = in_bloom(exact);
	if (likely(!single && !in_prefix48 && !in_prefix32))
		return UNLISTED;
	bool maybe_allowed = in_allow_bloom(f, exact) || allow_short6 || bit(f->allow_prefix32, in32) || bit(f->allow_prefix48, in48);
	if (!maybe_allowed && single) {
		struct key6 key = {.addr = p->src, .length = 128};
		struct entry *e = map_lookup(&block6, &key);
		int found = e ? apply_entry(e, st, b, p->bytes, 128) : UNLISTED;
		if (found != UNLISTED || (!in_prefix48 && !in_prefix32))
			return found;
		single = 0;
	}
	/* Most often one prefix of a /48 is left to be looked up. */
	u32 lengths = f->net_lengths48[in48 & (PREFIXES - 1)];
	if (!maybe_allowed && !in_prefix32 && lengths < 256) {
		u64 unused; /* the Bloom filter would seldom rule the prefix out */
		struct key6 key = key6_of(p->src.hi, p->src.lo, lengths - 1, &unused);
		struct entry *e = lengths ? map_lookup(&block6, &key) : 0;
		return e ? apply_entry(e, st, b, p->bytes, lengths - 1) : UNLISTED;
	}
	/* net_lengths32 leaves out prefixes shorter than /32. */
	u32 how = maybe_allowed * MAYBE_ALLOWED | single * SINGLE | short6 * SHORT;
	return match6(p->src.hi, p->src.lo, how, p->bytes);
}
