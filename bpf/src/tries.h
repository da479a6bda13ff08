/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Tries: the first packets of (source, target, port, kind) in about two minutes, which may probe a port or host. Those within the
 * sampling budget are samples. A try that was sampled is followed by one more sample when its outcome is seen: ANSWERED or REFUSED. An
 * outcome needs no budget, since each belongs to a sample that had some; so completed connections take no room from tries, and no
 * flood hides that a try was answered. */
#pragma once
#include "parse.h"

/* The order is that of traffic.Outcome. */
enum { OPEN, ANSWERED, REFUSED };

/* The bits of a cell beside the fingerprint: the try was sampled (ACK and FIN-ACK have a bit of their own, since a connection without
 * a SYN may be older than this program), its outcome was told, and it was a refusal. */
enum { TRIED = 1, ACKED = 2, TOLD = 4, TOLD_REFUSED = 8, CELL_BITS = 15 };

/* The token buckets of samples. Sources without a record, forged ones above all, cannot use up the samples of those with one. */
enum { UNTRACKED, TRACKED, OUTGOING };

struct try {
	u16 *cell, fingerprint, bits;
	u32 id; /* tells it apart from others of the source */
};

/* is_of reports whether the class of p is one of those whose bits are set. */
INLINE bool is_of(struct packet *p, u32 classes)
{
	return p->kind & classes;
}

/* anomalous reports a packet that no network stack sends. */
INLINE bool anomalous(struct packet *p)
{
	return is_of(p, 1 << TCP_FIN | 1 << TCP_NULL | 1 << TCP_XMAS | 1 << TCP_OTHER) || p->tiny;
}

/* icmp_query reports an ICMP timestamp, information or address mask request. */
INLINE bool icmp_query(struct packet *p)
{
	return p->class == ICMP_OTHER && !p->v6 && (p->dport == 13 << 8 || p->dport == 15 << 8 || p->dport == 17 << 8);
}

/* rst_without_ack reports a RST without ACK, the response to an ACK of no connection; a refused or aborted connection gets a RST
 * with ACK (RFC 9293, section 3.10.7). */
INLINE bool rst_without_ack(struct packet *p)
{
	return p->class == TCP_RST && !(p->flags & 0x10);
}

/* cell_of returns the try of (source, target, number), with the bits of its cell. */
INLINE struct try cell_of(u64 src, u64 dst, u64 number)
{
	u64 key = hash_conversation(src, dst, number);
	struct try t = {.cell = &shared.tries[key >> 49], .id = (u32)(key >> 17)};
	/* Fingerprints change every 128 intervals, so that a repeated conversation is sampled again. */
	t.fingerprint = (u16)((key >> 32) + (shared.control.epoch >> 7) * 40503U) & ~CELL_BITS;
	if (((*t.cell ^ t.fingerprint) & ~CELL_BITS) == 0)
		t.bits = *t.cell & CELL_BITS;
	return t;
}

/* number_of tells tries of one source at one target apart: kind and port, of SCTP the kind of chunk, else the protocol. SYN, ACK and
 * FIN-ACK are of one kind, so that a connection is one try. */
INLINE u64 number_of(u32 class, u16 port)
{
	return (u64)(class == TCP_ACK || class == TCP_FINACK ? TCP_SYN : class) << 16 | port;
}

/* find_try returns the try that p is. */
INLINE struct try find_try(struct packet *p, u16 port, u64 src, u64 dst)
{
	u64 number = number_of(p->class, port);
	if (p->class == OTHER)
		number |= (u64)p->proto << 32 | (u64)p->flags << 40;
	return cell_of(src, dst, number);
}

/* established reports a packet of a connection. */
INLINE bool established(struct packet *p)
{
	return is_of(p, 1 << TCP_ACK | 1 << TCP_FINACK);
}

/* offer_sample samples a try if the token bucket allows it. */
INLINE void offer_sample(struct state *st, struct bank *b, struct packet *p, struct try *t, u64 at, u32 bucket, bool reply)
{
	b->counters.candidates++;
	u64 next = st->next_sample[bucket];
	if (next > at + sample_burst)
		return;
	st->next_sample[bucket] = (next > at ? next : at) + sample_interval;
	*t->cell = t->fingerprint | (established(p) ? ACKED : TRIED);
	struct sample *s = ring_reserve(&ring, sizeof(*s), 0);
	if (!s) {
		b->counters.ring_lost++;
		return;
	}
	b->counters.sampled++;
	*s = (struct sample){
		.time = at, .src = p->src, .dst = p->dst, .bytes = p->bytes, .sport = p->sport, .dport = p->dport, .vlan = p->vlan,
		.proto = p->proto, .flags = p->flags, .class = p->class, .fragment = p->fragment, .reply = reply, .outbound = bucket == OUTGOING,
	};
	ring_submit(s, NO_WAKEUP);
}

/* Whose packet tells an outcome: that of the source of the try, or a reply to it, or a reply to a try that went out. */
enum { BY_SOURCE, BY_TARGET, BY_REMOTE };

/* tell samples the outcome of a try of this class, once. The sample has the addresses and ports of the try. */
INLINE void tell(struct state *st, struct bank *b, struct packet *p, struct try *t, u32 class, u32 outcome, u32 by)
{
	struct sample *s = ring_reserve(&ring, sizeof(*s), 0);
	if (!s) {
		b->counters.ring_lost++;
		return;
	}
	bool answer = by != BY_SOURCE;
	*t->cell |= outcome == REFUSED ? TOLD | TOLD_REFUSED : TOLD;
	*s = (struct sample){
		.time = now(st), .src = answer ? p->dst : p->src, .dst = answer ? p->src : p->dst, .bytes = p->bytes,
		.sport = answer ? p->dport : p->sport, .dport = answer ? p->sport : p->dport, .vlan = p->vlan, .proto = p->proto,
		.flags = p->flags, .class = class, .outcome = outcome, .outbound = by == BY_REMOTE,
	};
	ring_submit(s, NO_WAKEUP);
}

/* accept_own takes a remote SYN-ACK: from now on the cell of a connection that this machine began holds, xor another part of the hash, the
 * number that the ACK acknowledges. A program that sends a forged ACK after its SYN cannot know it. */
INLINE void accept_own(struct packet *p, u64 src, u64 dst)
{
	u64 key = hash_conversation(src, dst, (u64)p->sport << 16 | p->dport);
	u32 *cell = handshake_cell(key);
	if (*cell == ~((u32)key ^ p->ack))
		*cell = ~((u32)(key >> 16) ^ (p->seq + 1));
}

/* tell_outcome tells the outcome of the try that p answers, if there is one: of UDP, ICMP queries and, of refusals, TCP. A remote
 * SYN-ACK is an answer, too, while that of this machine only opens half a connection. */
INLINE void tell_outcome(struct state *st, struct bank *b, struct packet *p, u64 src, u64 dst, u32 by)
{
	u32 class = p->class, port = p->sport, outcome = ANSWERED;
	switch (p->class) {
	case UDP:
		break;
	case TCP_RST:
		class = TCP_SYN;
		outcome = REFUSED;
		break;
	case TCP_SYNACK:
		if (by != BY_REMOTE)
			return;
		accept_own(p, src, dst);
		class = TCP_SYN;
		break;
	case ICMP_OTHER: /* replies to echo, timestamp, information and address mask requests; RFC 792, RFC 950, RFC 4443 */
		if (p->dport == (p->v6 ? 129 << 8 : 0)) {
			class = ICMP_ECHO;
			port = p->v6 ? 128 << 8 : 8 << 8;
		} else if (!p->v6 && (p->dport == 14 << 8 || p->dport == 16 << 8 || p->dport == 18 << 8)) {
			port = p->dport - (1 << 8);
		} else {
			return;
		}
		break;
	default:
		return;
	}
	struct try t = cell_of(dst, src, number_of(class, port));
	if (likely(!(t.bits & (TRIED | ACKED)) || t.bits & TOLD))
		return;
	if (outcome == REFUSED && rst_without_ack(p)) {
		if (t.bits & TRIED) /* the RST answers an ACK, not the SYN */
			return;
		class = TCP_ACK;
	} else if (outcome == REFUSED && !(t.bits & TRIED)) {
		return;
	}
	tell(st, b, p, &t, class, outcome, by);
}
