// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* The XDP program. For each packet, in this order: parse, allow list, blocklist, counters of this CPU, the target's record, the
 * source's record (through the sketch and its gate when it has none), a sample of a new conversation within the token bucket.
 * Whatever is malformed passes, unless its source could be read and is blocked: the kernel may take what the parser does not. */
#define CONTEXT struct xdp_md
#include "filter.h"
#include "answer.h"

char licence[] SEC("license") = "Dual BSD/GPL";

const volatile u32 gate;            /* packets of an interval before a source gets a record */
const volatile u32 sample_interval; /* ns between two samples, on this CPU */
const volatile u32 sample_burst;    /* ns worth of samples that may go at once */
const volatile u32 spread;          /* benchmarks: this many random IPv4 sources; a power of two */
const volatile u32 depth;           /* benchmarks: how far to go; 0 is all the way */

struct {
	uint(type, MAP_RINGBUF);
	uint(max_entries, 262144);
} ring SEC(".maps");

const struct sample *const sample_type __attribute__((used)) = 0; /* puts the type into BTF, for Go */

INLINE void count(struct count *c, u32 bytes)
{
	c->packets++;
	c->bytes += bytes;
}

/* reflector_of returns the place of a source port in traffic.ReflectorPorts, or -1. */
INLINE int reflector_of(u16 port)
{
	static const u16 known[REFLECTORS] = {
		17, 19, 53, 69, 111, 123, 137, 161, 389, 427, 500, 520, 1194, 1434, 1900, 3283, 3389, 3478, 3702, 5060, 5351, 5353,
		5683, 6881, 10001, 11211, 17185, 20811, 27015, 33848, 37810, 47808,
	};
	u32 at = 0;
#pragma unroll
	for (u32 half = REFLECTORS / 2; half; half /= 2)
		if (known[(at + half) & (REFLECTORS - 1)] <= port)
			at += half;
	at &= REFLECTORS - 1;
	return known[at] == port ? (int)at : -1;
}

/* top counts a port in its cell; two ports in a cell fight for it (Misra and Gries 1982), so counts are lower bounds. */
INLINE void top(struct port_count *cells, u16 port)
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

/* completes reports whether an ACK is the first after a SYN of the same connection. */
INLINE bool completes(struct state *st, struct packet *p, u64 src, u64 dst)
{
	u64 key = converse(src, dst, (u64)p->sport << 16 | p->dport);
	u16 *cell = &st->pending[key >> 50 & (PENDING - 1)], print = (u16)(key >> 32) | 1;
	if (p->class == TCP_SYN) {
		*cell = print;
		return 0;
	}
	if (*cell != print)
		return 0;
	*cell = 0;
	return 1;
}

/* solicited reports whether something of ours is known to have gone out to where a packet comes from. */
INLINE bool solicited(struct control *c, struct packet *p, u64 src, u64 dst)
{
	return (replay || c->egress) && asked(c, converse(src, dst, (u64)p->proto << 16 | p->dport));
}

INLINE void count_target(struct state *st, struct control *c, struct bank *b, struct packet *p, u64 src, u64 dst)
{
	struct target *t = target_of(st, c, p->dst, dst);
	if (unlikely(!t)) {
		b->targets_refused++;
		return;
	}
	t->packets++;
	t->bytes += p->bytes;
	t->class[p->class & (CLASSES - 1)]++;
	observe(&t->sources[src >> 26 & (TARGET_REGISTERS - 1)], src >> 37, 27);
	if (p->fragment)
		t->fragmented++;
	if (p->class <= UDP)
		top(t->top, p->dport);
	if (p->class == TCP_SYN || p->class == TCP_ACK) {
		t->completed += completes(st, p, src, dst);
	} else if (p->class == UDP) {
		int r = reflector_of(p->sport);
		if (r >= 0 && !solicited(c, p, src, dst))
			t->reflected[r & (REFLECTORS - 1)]++;
	}
}

INLINE bool odd(struct packet *p)
{
	return 1 << (p->class & 31) & (1 << TCP_FIN | 1 << TCP_NULL | 1 << TCP_XMAS | 1 << TCP_OTHER) || p->tiny;
}

/* answers reports whether a packet is taken for an answer to something of ours: because something went out, or, where nobody
 * watches what goes out, because it comes from a service's port to a client's. */
INLINE bool answers(struct control *c, struct packet *p, u64 src, u64 dst)
{
	if (p->class == TCP_SYNACK || p->class == TCP_RST || p->class == ICMP_OTHER)
		return 1;
	if (p->class != UDP && p->class != TCP_ACK && p->class != TCP_FINACK)
		return 0;
	if (replay || c->egress)
		return solicited(c, p, src, dst);
	return p->dport >= 32768 && p->sport < 32768;
}

/* offer takes a conversation that is new for a sample. It is remembered once it has been sampled, or answers. */
INLINE void offer(struct state *st, struct control *c, struct bank *b, struct packet *p, u16 *cell, u16 print, bool reply)
{
	b->candidates++;
	u64 at = now(st, c), next = st->next_sample;
	if (next > at + sample_burst)
		return;
	st->next_sample = (next > at ? next : at) + sample_interval;
	*cell = print;
	struct sample *s = ring_reserve(&ring, sizeof(*s), 0);
	if (!s) {
		b->ring_lost++;
		return;
	}
	b->sampled++;
	*s = (struct sample){
		.time = at, .src = p->src, .dst = p->dst, .bytes = p->bytes, .sport = p->sport, .dport = p->dport, .vlan = p->vlan,
		.proto = p->proto, .flags = p->flags, .class = p->class, .fragment = p->fragment, .reply = reply,
	};
	ring_submit(s, NO_WAKEUP);
}

/* admit passes a source without a record through the sketch, and gives it one if it is due. It returns the record's slot or -1,
 * and in *before how many packets of it were counted already. */
INLINE int admit(struct state *st, struct control *c, struct bank *b, struct packet *p, u64 src, u32 *before)
{
	u32 stamp = c->epoch << 16;
	u32 *row0 = &st->sketch[0][src & (SKETCH - 1)], *row1 = &st->sketch[1][src >> 13 & (SKETCH - 1)];
	u32 n0 = *row0 - stamp, n1 = *row1 - stamp;
	if (n0 > 0xffff)
		n0 = 0;
	if (n1 > 0xffff)
		n1 = 0;
	s64 over = (s64)n0 - (s64)n1;
	u32 least = n1 + (u32)(over & over >> 63);
	/* What light sources leave in a cell is noise, about evenly; twice as much is hardly ever met by chance in both rows. */
	u32 noise = (u32)(b->light / SKETCH);
	if (likely(least < gate + 2 * noise) && !odd(p)) {
		*row0 = stamp + n0 + 1;
		*row1 = stamp + n1 + 1;
		b->light++;
		return -1;
	}
	int slot = take_source(st, src);
	if (slot < 0)
		b->sources_refused++;
	*before = least > noise ? least - noise : 0;
	return slot;
}

INLINE bool set_bit(u64 *bitmap, u64 i)
{
	u64 *word = &bitmap[i >> 6 & (BITMAP_WORDS - 1)], old = *word, want = 1ULL << (i & 63);
	*word = old | want;
	return !(old & want);
}

/* port_bit spreads ports as if by chance: one multiplication alone lays consecutive ones out evenly, and linear counting takes
 * that for more of them. */
INLINE u64 port_bit(u16 port)
{
	u64 x = port * seed[3];
	return (x ^ x >> 32) * seed[2] >> 54;
}

INLINE void probe(struct source *s, struct packet *p, u64 dst)
{
	s->probes++;
	if (p->class <= UDP || p->tiny) {
		if (set_bit(s->ports, port_bit(p->dport)))
			s->sample_ports[s->new_ports++ & (SAMPLE_PORTS - 1)] = p->dport;
	}
	if (set_bit(s->hosts, dst >> 20 & 1023))
		s->sample_hosts[s->new_hosts++ & (SAMPLE_HOSTS - 1)] = p->dst;
}

INLINE void count_source(struct source *s, struct packet *p, u64 at, u32 before)
{
	if (!s->first) {
		s->addr = p->src;
		s->first = at;
		s->packets = before;
	}
	s->packets++;
	s->bytes += p->bytes;
	s->class[p->class & (CLASSES - 1)]++;
	s->vlan = p->vlan;
	if (p->fragment)
		s->fragmented++;
}

/* watch keeps the source's record and samples new conversations. */
INLINE void watch(struct state *st, struct control *c, struct bank *b, struct packet *p, u64 src, u64 dst)
{
	u32 before = 0;
	int slot = find_source(st, src);
	if (slot < 0)
		slot = admit(st, c, b, p, src, &before);
	bool sure = p->class == TCP_SYN || p->class == ICMP_ECHO || odd(p);
	bool reply = !sure && answers(c, p, src, dst);
	u64 key = converse(src, dst, (u64)p->class << 16 | p->dport);
	/* A new generation of fingerprints every 128 intervals forgets the old, so that what repeats shows again. */
	u16 *cell = &st->contact[key >> 50 & (CONTACTS - 1)], print = (u16)((key >> 32) + (c->epoch >> 7) * 40503U) | 1;
	bool fresh = *cell != print;
	if (slot >= 0) {
		struct source *s = &st->source[c->epoch & 1][slot & (CPU_SOURCES - 1)];
		count_source(s, p, now(st, c), before);
		if (reply)
			s->replies++;
		else if (sure || p->class == UDP || ((p->class == TCP_ACK || p->class == TCP_FINACK) && fresh))
			probe(s, p, dst);
	}
	if (fresh && p->class != TCP_SYNACK && p->class != TCP_RST)
		offer(st, c, b, p, cell, print, reply);
}

/* scatter gives a benchmark's packet one of spread sources. */
INLINE void scatter(struct state *st, struct packet *p)
{
	st->random = st->random * 6364136223846793005ULL + 1442695040888963407ULL;
	p->ip = (u32)(st->random >> 33 & (spread - 1)) * 2654435761U; /* all over IPv4 */
	p->src.lo = (u64)p->ip << 32 | 0xffff0000;
}

SEC("xdp")
int ironpost(struct xdp_md *ctx)
{
	struct state *st = state_here();
	struct control *c = the_control();
	if (!st || !c)
		return XDP_PASS;
	struct bank *b = &st->bank[c->epoch & 1];
	struct packet *p = &st->packet;
	*p = (struct packet){};
	p->result = parse(ctx, p, replay);
	asm volatile("" ::: "memory");
	if (unlikely(p->result == NOT_IP)) {
		count(&b->passed[NON_IP], p->bytes);
		return XDP_PASS;
	}
	if (spread)
		scatter(st, p);
	if (depth == 1)
		return XDP_PASS;
	u64 src = mix(p->src.hi, p->src.lo);
	bool unread = p->result - 1U <= CUT_IP; /* then the source is no 0.0.0.0 */
	switch (unlikely(unread) ? UNLISTED : judge(st, c, p, src)) {
	case BLOCKED:
		count(&b->dropped, p->bytes);
		return XDP_DROP;
	case MONITORED:
		count(&b->monitored, p->bytes);
		break;
	case ALLOWED:
		count(&b->allowed, p->bytes);
	}
	if (unlikely(p->result != PARSED)) {
		b->malformed[(p->result - 1) & (REASONS - 1)]++;
		return XDP_PASS;
	}
	if (depth == 2)
		return XDP_PASS;
	count(&b->passed[p->class & (CLASSES - 1)], p->bytes);
	if (p->fragment)
		b->fragmented++;
	if (depth == 3)
		return XDP_PASS;
	observe(&b->sources[src >> 26 & (SOURCE_REGISTERS - 1)], src >> 38, 26);
	u64 dst = mix(p->dst.hi, p->dst.lo);
	count_target(st, c, b, p, src, dst);
	if (depth == 4)
		return XDP_PASS;
	watch(st, c, b, p, src, dst);
	if (replay)
		answer(st, c, p, src, dst);
	return XDP_PASS;
}
