/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Outgoing packets. SYN-ACK and RST are the evidence for scans and half-open connections; a request that goes out makes the
 * packets that come back replies, not probes; a reply that goes out is the outcome of a try. p is the outgoing packet; src and dst are
 * the hashes of its addresses. */
#pragma once
#include "tries.h"

/* unreachable reports an ICMP or ICMPv6 destination unreachable. */
INLINE bool unreachable(struct packet *p)
{
	return p->class == ICMP_OTHER && p->dport >> 8 == (p->v6 ? 1 : 3);
}

/* source_record returns the record of a promoted source in this interval, or 0. */
INLINE struct source *source_record(struct state *st, struct bank *b, struct addr addr, u64 hash)
{
	int slot = find_source(st, hash);
	if (slot < 0)
		return 0;
	struct source *s = &b->source[slot & (CPU_SOURCES - 1)];
	if (!s->first) {
		s->addr = addr;
		s->first = now(st);
	}
	return s;
}

/* record_response counts an outgoing packet in the records of its source (the target) and its destination. */
INLINE void record_response(struct state *st, struct packet *p, u64 src, u64 dst)
{
	bool accept = p->class == TCP_SYNACK, refuse = p->class == TCP_RST;
	if ((p->class <= UDP && !refuse) || p->class == OTHER)
		mark_outbound(hash_conversation(dst, src, (u64)p->proto << 16 | p->sport), accept ? HALF_OPEN : 0);
	if (accept) {
		u64 key = hash_conversation(dst, src, (u64)p->dport << 16 | p->sport);
		*handshake_cell(key) = (u32)key ^ (p->seq + 1);
	}
	struct bank *b = bank(st);
	tell_outcome(st, b, p, src, dst, BY_TARGET);
	if (!accept && !refuse && !unreachable(p))
		return;
	struct source *s = source_record(st, b, p->dst, dst);
	if (s) {
		s->answered += accept;
		s->refused += !accept;
		s->rst_no_ack += rst_without_ack(p);
	}
	if (!accept && !refuse)
		return;
	struct target *t = target_record(st, b, &p->src, src, now(st));
	if (t) {
		t->synack_out += accept;
		t->rst_out += refuse;
		t->rst_no_ack += rst_without_ack(p);
	}
}
