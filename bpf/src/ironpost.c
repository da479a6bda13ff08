// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* The XDP program. For each packet: parse, allow list, blocklist, counters of this CPU, the target's record, the source's record
 * (made once the sketch counts enough of its packets), a sample of a new conversation within the token bucket. A malformed packet
 * passes, unless its source could be read and is blocked: the kernel may accept packets that the parser does not. */
#define CONTEXT struct xdp_md
#include "filter.h"
#include "responses.h"

char licence[] SEC("license") = "Dual BSD/GPL";

const volatile u32 gate;            /* packets of an interval before a source gets a record */
const volatile u32 random_sources;  /* for benchmarks: this many random IPv4 sources, a power of two */
const volatile u32 last_step;       /* for benchmarks: the step to end after; 0 for all */

const struct sample *const sample_type __attribute__((used)) = 0; /* puts the type into BTF, for bpf2go */

INLINE void count(struct count *c, u32 bytes)
{
	c->packets++;
	c->bytes += bytes;
}

/* completes_handshake reports whether an ACK is the first after a SYN of the same connection; where outgoing packets are seen, whether
 * it acknowledges the SYN-ACK, which the sender of a forged SYN does not get. */
INLINE bool completes_handshake(struct state *st, struct packet *p, u64 src, u64 dst)
{
	u64 key = hash_conversation(src, dst, (u64)p->sport << 16 | p->dport);
	if (shared.control.egress) {
		u32 *expected = handshake_cell(key);
		if (p->class == TCP_SYN || *expected != ((u32)key ^ p->ack))
			return 0;
		*expected = 0;
		return 1;
	}
	u16 *cell = &st->pending[key >> 50 & (PENDING - 1)], fingerprint = (u16)(key >> 32) | 1;
	if (p->class == TCP_SYN) {
		*cell = fingerprint;
		return 0;
	}
	if (*cell != fingerprint)
		return 0;
	*cell = 0;
	return 1;
}

/* solicited reports whether this machine is known to have sent to the packet's source. */
INLINE bool solicited(struct packet *p, u64 src, u64 dst)
{
	return shared.control.egress && sent_recently(hash_conversation(src, dst, (u64)p->proto << 16 | p->dport));
}

/* converses reports a packet that may be a reply to one of this machine. */
INLINE bool converses(struct packet *p)
{
	return is_of(p, 1 << UDP | 1 << TCP_ACK | 1 << TCP_FINACK | 1 << OTHER);
}

/* count_origin counts an unsolicited packet by its protocol and, with UDP, its source port. An origin without a free way takes a packet
 * off one of the others, so counts are lower bounds; an origin of more than a fifth of the packets stays. */
INLINE void count_origin(struct origin *origins, struct packet *p, u64 src)
{
	u32 id = (u32)p->proto << 16 | (p->class == UDP ? p->sport : 0), bit = 1U << (src & 31);
	struct origin *way = &origins[id * 0x9e3779b1U >> 31 ? WAYS : 0];
#pragma unroll
	for (int i = 0; i < WAYS; i++) {
		if (way[i].id != id)
			continue;
		way[i].packets++;
		way[i].sources |= bit;
		way[i].size += (s32)(p->bytes - way[i].size) >> 3;
		return;
	}
#pragma unroll
	for (int i = 0; i < WAYS; i++) {
		if (way[i].packets)
			continue;
		way[i] = (struct origin){.id = id, .packets = 1, .sources = bit, .size = p->bytes};
		return;
	}
	way[src >> 5 & (WAYS - 1)].packets--;
}

/* count_unrecorded counts a packet that is in no target's record. */
INLINE void count_unrecorded(struct counters *c, struct packet *p)
{
	c->class[p->class & (CLASSES - 1)]++;
	c->bytes += p->bytes;
	c->fragmented += p->fragment;
}

INLINE void count_target(struct state *st, struct bank *b, struct packet *p, u64 src, u64 dst, u64 at, bool asked)
{
	struct target *t = target_record(st, b, &p->dst, dst, at);
	if (unlikely(!t)) {
		count_unrecorded(&b->counters, p);
		hll_add(&b->counters.sources[src >> 26 & (REGISTERS - 1)], src >> 37, 27);
		return;
	}
	t->bytes += p->bytes;
	t->last = at;
	t->slice[at >> SLICE_SHIFT & (SLICES - 1)]++;
	t->class[p->class & (CLASSES - 1)]++;
	hll_add(&t->sources[src >> 26 & (REGISTERS - 1)], src >> 37, 27);
	if (p->fragment)
		t->fragmented++;
	if (p->class <= UDP)
		count_port(t->top_ports, p->dport);
	if (unlikely(p->completes))
		t->completed++;
	if (p->class == UDP || p->class == OTHER) {
		if (!asked)
			count_origin(t->origins, p, src);
		else if (p->class == OTHER)
			t->other_replies++;
	}
}

/* is_reply reports whether a packet is taken for a reply to this machine: because this machine sent to its source, or, where outgoing
 * packets are not seen, because it comes from a service's port to a client's. */
INLINE bool is_reply(struct packet *p, bool asked)
{
	if (is_of(p, 1 << TCP_SYNACK | 1 << TCP_RST | 1 << ICMP_OTHER))
		return 1;
	if (shared.control.egress)
		return asked;
	return p->dport >= 32768 && p->sport < 32768 && is_of(p, 1 << UDP | 1 << TCP_ACK | 1 << TCP_FINACK);
}

/* is_odd_answer reports a SYN-ACK or RST that answers nothing and comes from a client's port to a service's, unlike that of a host
 * whose address was forged (backscatter). */
INLINE bool is_odd_answer(struct packet *p, u64 src, u64 dst)
{
	if (p->sport < 32768 || p->dport >= 32768)
		return 0;
	return !shared.control.egress || !sent_recently(hash_conversation(src, dst, (u64)p->proto << 16 | p->dport));
}

/* promote counts a source without a record in the sketch, and gives it a record once it has sent enough. It returns the record's slot
 * or -1, and in *before how many of its packets the sketch has counted. */
INLINE int promote(struct state *st, struct bank *b, struct packet *p, u64 src, u32 *before)
{
	u32 stamp = shared.control.epoch << 16;
	u32 *row0 = &st->sketch[0][src & (SKETCH - 1)], *row1 = &st->sketch[1][src >> 13 & (SKETCH - 1)];
	u32 n0 = *row0 - stamp, n1 = *row1 - stamp;
	if (n0 > 0xffff)
		n0 = 0;
	if (n1 > 0xffff)
		n1 = 0;
	s64 over = (s64)n0 - (s64)n1;
	u32 least = n1 + (u32)(over & over >> 63);
	/* Sources below the gate add about the same noise to every cell; twice as much in both rows is hardly ever chance. */
	u32 noise = (u32)(b->counters.below_gate / SKETCH);
	if (likely(least < gate + 2 * noise) && !anomalous(p)) {
		*row0 = stamp + n0 + 1;
		*row1 = stamp + n1 + 1;
		b->counters.below_gate++;
		return -1;
	}
	int slot = claim_source(st, src);
	if (slot < 0)
		b->counters.sources_refused++;
	*before = least > noise ? least - noise : 0;
	return slot;
}

INLINE bool set_bit(u64 *bitmap, u64 i)
{
	u64 *word = &bitmap[i >> 6 & (BITMAP_WORDS - 1)], old = *word, want = 1ULL << (i & 63);
	*word = old | want;
	return !(old & want);
}

/* port_bit returns a random-looking bit for a port. One multiplication would spread consecutive ports evenly, which linear counting
 * takes for more ports. */
INLINE u64 port_bit(u16 port)
{
	u64 x = port * seed[3];
	return (x ^ x >> 32) * seed[2] >> 54;
}

/* record_probe counts a packet that may open a conversation. One like the latest has nothing new. */
INLINE void record_probe(struct source *s, struct packet *p, struct try *t, u64 dst)
{
	s->probes++;
	if (s->latest == t->id && !p->fragment)
		return;
	s->latest = t->id;
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
		s->before = before;
	}
	s->bytes += p->bytes;
	s->class[p->class & (CLASSES - 1)]++;
	s->vlan = p->vlan;
	if (p->fragment)
		s->fragmented++;
}

/* track_source updates the source's record, samples tries and tells that they are answered. */
INLINE void track_source(struct state *st, struct bank *b, struct packet *p, u64 src, u64 dst, u64 at, bool asked)
{
	u32 before = 0;
	int slot = find_source(st, src);
	if (slot < 0)
		slot = promote(st, b, p, src, &before);
	bool sure = is_of(p, 1 << TCP_SYN | 1 << ICMP_ECHO) || anomalous(p) || icmp_query(p);
	bool reply = !sure && is_reply(p, asked);
	struct try t = find_try(p, p->dport, src, dst);
	bool completed = 0, fresh = !(t.bits & TRIED);
	if (established(p)) {
		completed = t.bits & TRIED && (t.bits & TOLD ? !(t.bits & TOLD_REFUSED) : both_ways || !shared.control.egress || p->completes);
		fresh = !(t.bits & ACKED) && !completed;
	}
	if (slot >= 0) {
		struct source *s = &b->source[slot & (CPU_SOURCES - 1)];
		KEEP(s);
		count_source(s, p, at, before);
		if (reply)
			s->replies++;
		else if (sure || p->class == UDP || (established(p) && fresh))
			record_probe(s, p, &t, dst);
		if (unlikely(p->completes))
			s->completed++;
	}
	/* The ACK ends a handshake: with egress, it acknowledges the SYN-ACK, and without, nothing is known against it. */
	if (unlikely(completed && !(t.bits & TOLD)))
		tell(st, b, p, &t, TCP_SYN, ANSWERED, BY_SOURCE);
	if (fresh && ((p->class != TCP_SYNACK && p->class != TCP_RST) || is_odd_answer(p, src, dst)))
		offer_sample(st, b, p, &t, at, slot >= 0 ? TRACKED : UNTRACKED, reply);
}

/* random_source gives a benchmark's packet one of random_sources sources. */
INLINE void random_source(struct state *st, struct packet *p)
{
	st->random = st->random * 6364136223846793005ULL + 1442695040888963407ULL;
	p->ip = (u32)(st->random >> 33 & (random_sources - 1)) * 2654435761U; /* all over IPv4 */
	p->src.lo = (u64)p->ip << 32 | 0xffff0000;
}

/* END_AFTER ends the program after a step. The verifier removes it from the program that is not for benchmarks, for which it needs a
 * block that no other code jumps to. */
#define END_AFTER(step) \
	if (last_step == (step)) { \
		st->random++; \
		return XDP_PASS; \
	}

SEC("xdp")
int ironpost(struct xdp_md *ctx)
{
	struct state *st = cpu_state();
	if (!st)
		return XDP_PASS;
	struct bank *b = bank(st);
	struct packet *p = &st->packet;
	*p = (struct packet){};
	p->result = parse(ctx, p, replay);
	asm volatile("" ::: "memory");
	if (unlikely(p->result == NOT_IP)) {
		p->class = NON_IP;
		count_unrecorded(&b->counters, p);
		return XDP_PASS;
	}
	if (random_sources)
		random_source(st, p);
	END_AFTER(1);
	u64 src = hash_address(p->src.hi, p->src.lo);
	bool unread = p->result - 1U <= CUT_IP; /* the source was not read; it is not 0.0.0.0 */
	switch (unlikely(unread) ? UNLISTED : match(st, b, p, src)) {
	case BLOCKED:
		b->counters.dropped_bytes += p->bytes;
		return XDP_DROP;
	case MONITORED:
		count(&b->counters.monitored, p->bytes);
		break;
	case ALLOWED:
		count(&b->counters.allowed, p->bytes);
	}
	if (unlikely(p->result != PARSED)) {
		b->counters.malformed[(p->result - 1) & (REASONS - 1)]++;
		return XDP_PASS;
	}
	END_AFTER(2);
	u64 dst = hash_target(st, p);
	bool asked = converses(p) && solicited(p, src, dst);
	u64 at = now(st);
	if (is_of(p, 1 << TCP_SYN | 1 << TCP_ACK))
		p->completes = completes_handshake(st, p, src, dst);
	count_target(st, b, p, src, dst, at, asked);
	END_AFTER(3);
	track_source(st, b, p, src, dst, at, asked);
	if (both_ways)
		record_response(st, p, src, dst);
	else if (shared.control.egress)
		tell_outcome(st, b, p, src, dst, BY_REMOTE);
	return XDP_PASS;
}
