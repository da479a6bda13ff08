/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The records and counters. Everything that each packet touches is in one struct per CPU, sized to stay in the CPU's L2 cache under
 * a flood of random sources. User space reads it through mmap; bpf2go generates the Go types.
 *
 * Counters are in two banks. User space increments the epoch to switch banks, then reads and clears the inactive one. */
#pragma once
#include "kernel.h"

enum {
	CLASSES = 16,
	REASONS = 16,
	CPU_SOURCES = 1024, /* records of promoted sources: 4 ways */
	CPU_TARGETS = 256,  /* records of targets: 4 ways */
	WAYS = 4,
	SKETCH = 8192,
	TRIES = 32768,
	BUCKETS = 3,
	PENDING = 16384,
	REGISTERS = 2048,
	BITMAP_WORDS = 16,
	SAMPLE_PORTS = 8,
	SAMPLE_HOSTS = 4,
	TOP_PORTS = 8,
	ORIGINS = 8, /* in 2 sets */
	SLICES = 16,
	SLICE_SHIFT = 26, /* of the clock in ns: 67 ms */
	OUTBOUND = 65536, /* in sets of WAYS */
	HANDSHAKES = 32768,
	BLOCK_REASONS = 4,
};

/* The order is that of traffic.Class. */
enum class {
	TCP_SYN, TCP_SYNACK, TCP_FIN, TCP_NULL, TCP_XMAS, TCP_ACK, TCP_FINACK, TCP_RST, TCP_OTHER,
	UDP, ICMP_ECHO, ICMP_OTHER, FRAGMENT, OTHER, NON_IP,
};

/* The order is that of traffic.Reason. For reasons up to CUT_IP the addresses have not been read. */
enum reason {
	SHORT_ETHERNET, SHORT_IP, BAD_IP, CUT_IP, SHORT_EXTENSION, TOO_MANY_EXTENSIONS,
	SHORT_TCP, SHORT_UDP, SHORT_ICMP, BAD_TCP, BAD_UDP, BAD_FRAGMENT,
};

/* An address as its 16 bytes in network order; IPv4 is mapped (::ffff:a.b.c.d). */
struct addr {
	u64 hi, lo;
};

struct count {
	u64 packets, bytes;
};

struct source {
	struct addr addr;
	u64 first; /* coarse clock; 0: no packet in this interval */
	u64 bytes;
	u32 before; /* packets before it had a record */
	u32 probes, replies;
	u32 class[CLASSES]; /* packets */
	u32 refused, answered, rst_no_ack; /* written by the egress program only */
	u32 fragmented, completed;
	u32 latest; /* of the conversation of the latest probe, its hash */
	u16 vlan, new_ports;
	u32 new_hosts;
	u16 sample_ports[SAMPLE_PORTS];
	struct addr sample_hosts[SAMPLE_HOSTS];
	u64 ports[BITMAP_WORDS], hosts[BITMAP_WORDS];
};

struct port_count {
	u32 port, packets;
};

/* Where unsolicited packets come from. */
struct origin {
	u32 id; /* protocol << 16 | source port of UDP */
	u32 packets;
	u32 sources; /* a bit for each hash of a source address */
	u32 size;    /* mean of about the latest 8 packets */
};

struct target {
	struct addr addr;
	u64 first, last;
	u64 bytes;
	u32 class[CLASSES]; /* packets */
	u32 completed, fragmented;
	u32 synack_out, rst_out, rst_no_ack; /* written by the egress program only */
	u32 other_replies;                   /* packets of class OTHER that are solicited */
	struct port_count top_ports[TOP_PORTS];
	u32 slice[SLICES]; /* packets by the time of their arrival */
	struct origin origins[ORIGINS];
	u8 sources[REGISTERS];
};

struct counters {
	u64 dropped_for[BLOCK_REASONS]; /* packets, by the lowest bits of the entry's reason */
	u64 dropped_bytes;
	struct count monitored, allowed;
	u64 candidates, sampled, ring_lost, sources_refused;
	u64 malformed[REASONS];
	u64 below_gate; /* packets of sources below the gate, which are noise in the sketch */
	/* Packets that passed and are in no target's record: those that are not IP, and those of targets without room. */
	u64 class[CLASSES];
	u64 bytes, fragmented;
	u8 sources[REGISTERS];
};

struct bank {
	struct counters counters;
	struct source source[CPU_SOURCES];
	struct target target[CPU_TARGETS];
};

/* The result of the parser. It is in the map, not on the stack, so that the verifier follows the code after the parser once and not
 * once for each kind of packet, and so that tests can compare it with that of the model. */
struct packet {
	struct addr src, dst;
	u32 bytes;
	u32 ip; /* IPv4 address of the source, network byte order */
	u16 sport, dport, vlan;
	u8 proto, flags, class, v6, fragment, tiny, bare, result;
	u8 completes, pad[3]; /* completes: an ACK that ends a handshake */
	u32 kind;             /* 1 << class */
	u32 seq, ack;         /* of TCP */
};

struct state {
	u64 jiffy, jiffy_time; /* the coarse clock moves with the jiffy only, so it is read once per jiffy; replay sets jiffy to 0 */
	u64 next_sample[BUCKETS];
	u64 random; /* state of random_source */
	struct packet packet;
	struct addr latest_target;
	u64 latest_target_hash;
	u32 source_tag[CPU_SOURCES];
	u32 target_tag[CPU_TARGETS];
	u32 sketch[2][SKETCH];  /* epoch << 16 | count */
	u16 pending[PENDING];   /* fingerprints of handshakes waiting for the client's ACK */
	struct bank bank[2];
};

struct sample {
	u64 time;
	struct addr src, dst;
	u32 bytes;
	u16 sport, dport, vlan;
	u8 proto, flags, class, fragment, reply, outcome, outbound, pad;
};

struct {
	uint(type, MAP_ARRAY);
	uint(map_flags, MMAPABLE);
	uint(max_entries, 1); /* one per CPU, set at load */
	type(key, u32);
	type(value, struct state);
} states SEC(".maps");

struct {
	uint(type, MAP_RINGBUF);
	uint(max_entries, 262144);
} ring SEC(".maps");

struct control {
	u64 now; /* the clock of replay */
	u32 epoch;
	u32 egress; /* outgoing packets are seen, so outbound is complete */
};

/* What all CPUs and both programs use. It is in .bss, whose address the program has without a lookup. */
struct shared_state {
	struct control control;
	/* The sampled tries of all CPUs, because a reply may leave on another CPU than the try came in on. A cell is written when a try
	 * is sampled and when its outcome is, so a flood does not make CPUs contend for it. */
	u16 tries[TRIES];
	/* When this machine sent to (remote address, local address, protocol, local port). */
	u32 outbound[OUTBOUND];
	/* Of connections that this machine accepted: the number that the ACK acknowledges which completes the handshake, xor the hash of
	 * the connection. */
	u32 handshakes[HANDSHAKES];
};

struct shared_state shared;

/* Set at load. They are constants for the verifier, which removes code that they switch off. */
const volatile u64 seed[4];
const volatile u32 cpus;   /* how many states there are */
const volatile bool replay;         /* the time is control.now */
const volatile bool both_ways;      /* the XDP program gets the packets of both directions, as a capture has them */
const volatile u32 sample_interval; /* ns between two samples, on this CPU */
const volatile u32 sample_burst;    /* size of the token bucket in ns */

/* bank returns the active bank. */
INLINE struct bank *bank(struct state *st)
{
	return &st->bank[shared.control.epoch & 1];
}

INLINE u64 now(struct state *st)
{
	u64 tick = jiffies();
	if (unlikely(tick != st->jiffy)) {
		st->jiffy_time = replay ? shared.control.now : coarse_clock();
		st->jiffy = tick;
	}
	return st->jiffy_time;
}

INLINE struct state *cpu_state(void)
{
	u32 cpu = cpu_number();
	struct state *st = map_lookup(&states, &cpu);
	if (unlikely(!st) && cpus) { /* in replay, or the CPU came online since the load: see Engine.CPUsAdded */
		cpu %= cpus;
		st = map_lookup(&states, &cpu);
	}
	return st;
}

/* hash_address hashes an address. The multipliers are odd and secret, so an attacker cannot choose cells or slots. */
INLINE u64 hash_address(u64 hi, u64 lo)
{
	u64 x = lo * seed[0] + hi * seed[1];
	x ^= x >> 32;
	x *= seed[2];
	x ^= x >> 29;
	x *= seed[3];
	return x ^ x >> 32;
}

/* hash_target hashes the address of the target, which is most often that of the packet before. */
INLINE u64 hash_target(struct state *st, struct packet *p)
{
	if (likely(p->dst.lo == st->latest_target.lo && p->dst.hi == st->latest_target.hi))
		return st->latest_target_hash;
	st->latest_target = p->dst;
	return st->latest_target_hash = hash_address(p->dst.hi, p->dst.lo);
}

/* hash_conversation hashes (source, target, number), given the hashes of the addresses. */
INLINE u64 hash_conversation(u64 src, u64 dst, u64 number)
{
	u64 x = src + (dst << 21 | dst >> 43) + number * seed[3];
	x ^= x >> 32;
	return x * seed[2];
}

/* count_port counts a port in its cell; ports that share a cell displace each other (Misra and Gries 1982), so counts are lower
 * bounds. */
INLINE void count_port(struct port_count *cells, u16 port)
{
	struct port_count *cell = &cells[(port * 40503U >> 13) & (TOP_PORTS - 1)];
	if (cell->port == port) {
		cell->packets++;
	} else if (cell->packets) {
		cell->packets--;
	} else {
		cell->port = port;
		cell->packets = 1;
	}
}

/* slot_of returns the slot with tag among the four of a set, or -1. */
INLINE int slot_of(u32 *tags, u32 set, u32 tag)
{
	u32 *way = tags + set;
	if (way[0] == tag)
		return set;
	if (way[1] == tag)
		return set + 1;
	if (way[2] == tag)
		return set + 2;
	if (way[3] == tag)
		return set + 3;
	return -1;
}

/* claim_slot gives tag a free slot of its set, or returns -1. User space frees idle slots; a flood cannot displace a record. */
INLINE int claim_slot(u32 *tags, u32 set, u32 tag)
{
	int slot = slot_of(tags, set, 0);
	if (slot >= 0)
		tags[slot] = tag;
	return slot;
}

INLINE u32 tag_of(u64 hash)
{
	return (u32)(hash >> 32) | 1;
}

INLINE int find_source(struct state *st, u64 hash)
{
	return slot_of(st->source_tag, (hash & (CPU_SOURCES / WAYS - 1)) * WAYS, tag_of(hash));
}

INLINE int claim_source(struct state *st, u64 hash)
{
	return claim_slot(st->source_tag, (hash & (CPU_SOURCES / WAYS - 1)) * WAYS, tag_of(hash));
}

/* target_record returns the record of a target and makes it if needed; 0 if there is no room. */
INLINE struct target *target_record(struct state *st, struct bank *b, const struct addr *addr, u64 hash, u64 at)
{
	u32 set = (hash & (CPU_TARGETS / WAYS - 1)) * WAYS;
	int slot = slot_of(st->target_tag, set, tag_of(hash));
	if (slot < 0)
		slot = claim_slot(st->target_tag, set, tag_of(hash));
	if (slot < 0)
		return 0;
	struct target *t = &b->target[slot & (CPU_TARGETS - 1)];
	KEEP(t);
	if (unlikely(!t->first)) {
		t->addr = *addr;
		t->first = at;
	}
	return t;
}

/* rank is the number of leading zeros in the low width bits of x, plus 1. */
GLOBAL u32 rank(u64 x, u32 width)
{
	u32 r = 1;
	x <<= 64 - (width & 63);
	for (int i = 0; i < 32; i++) {
		if (x >> 63 || r > width)
			break;
		x <<= 1;
		r++;
	}
	return r;
}

/* hll_add adds a hashed value to a HyperLogLog register. A register of value v changes only for a hash with v leading zeros, which
 * is one comparison; the rank is rarely computed. */
INLINE void hll_add(u8 *reg, u64 x, u32 width)
{
	u32 v = *reg;
	if (likely(x >> ((width - v) & 63)))
		return;
	u32 r = rank(x, width);
	if (r > v)
		*reg = r;
}

/* A cell of outbound: a fingerprint, HALF_OPEN while this machine has only sent a SYN-ACK, and the epoch. */
enum { EPOCHS = 0x7fff, HALF_OPEN = 1 << 15, FINGERPRINT = 16 };

/* How many intervals a cell counts. A SYN-ACK counts for less: a flood of SYNs makes thousands of them. */
enum { SENT_FOR = 64, HALF_OPEN_FOR = 8 };

INLINE u32 *outbound_set(u64 key)
{
	return &shared.outbound[(key >> 48 & (OUTBOUND - 1)) / WAYS * WAYS];
}

INLINE u32 outbound_fingerprint(u64 key)
{
	return (u32)(key >> 31 & 0xffff) | 1;
}

/* age_of returns the age of a cell in intervals, SENT_FOR or more for one that no longer counts. */
INLINE u32 age_of(u32 cell)
{
	u32 age = (shared.control.epoch - cell) & EPOCHS;
	return !cell ? SENT_FOR : cell & HALF_OPEN ? age * (SENT_FOR / HALF_OPEN_FOR) : age;
}

/* mark_outbound records that this machine sent to key, so that packets from there are replies. It takes the oldest cell of the set;
 * a SYN-ACK takes none from a conversation that still counts. */
INLINE void mark_outbound(u64 key, u32 half_open)
{
	u32 *set = outbound_set(key), print = outbound_fingerprint(key), at = 0, oldest = 0;
#pragma unroll
	for (u32 i = 0; i < WAYS; i++) {
		u32 cell = set[i], age = age_of(cell);
		if (cell >> FINGERPRINT == print) {
			if (age < SENT_FOR)
				half_open &= cell;
			at = i;
			oldest = SENT_FOR;
			break;
		}
		if (half_open && age < SENT_FOR && !(cell & HALF_OPEN))
			continue;
		if (age >= oldest) {
			at = i;
			oldest = age + 1;
		}
	}
	if (oldest)
		set[at & (WAYS - 1)] = print << FINGERPRINT | half_open | (shared.control.epoch & EPOCHS);
}

/* sent_recently reports whether this machine sent to key within about the last minute. */
INLINE bool sent_recently(u64 key)
{
	u32 *set = outbound_set(key), print = outbound_fingerprint(key);
#pragma unroll
	for (u32 i = 0; i < WAYS; i++) {
		if (set[i] >> FINGERPRINT == print)
			return age_of(set[i]) < SENT_FOR;
	}
	return 0;
}

/* handshake_cell returns the cell of a connection, given the hash of (remote address, local address, remote port, local port). */
INLINE u32 *handshake_cell(u64 key)
{
	return &shared.handshakes[key >> 49];
}
