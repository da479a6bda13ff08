// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* The TCX program for outgoing packets (Linux 6.6): it lets everything pass, counts responses in the maps of the XDP program and
 * floods in its own, and samples tries of this machine and of those behind it. */
#define CONTEXT struct __sk_buff
#include "outgoing.h"
#include "responses.h"

char licence[] SEC("license") = "Dual BSD/GPL";

/* opens reports whether a packet may open a conversation: not UDP of a service to its clients. */
INLINE bool opens(struct packet *p)
{
	if (p->class == UDP)
		return p->sport >= 32768 && p->dport < 32768;
	return p->class == TCP_SYN || p->class == ICMP_ECHO || icmp_query(p) || anomalous(p);
}

SEC("tcx/egress")
int responses_out(struct __sk_buff *skb)
{
	struct state *st = cpu_state();
	if (!st)
		return TCX_NEXT;
	struct packet p = {};
	if (parse(skb, &p, 1) != PARSED)
		return TCX_NEXT;
	u64 src = hash_address(p.src.hi, p.src.lo), dst = hash_address(p.dst.hi, p.dst.lo);
	record_response(st, &p, src, dst);
	count_outgoing(&p, src, dst);
	if (!opens(&p))
		return TCX_NEXT;
	struct try t = find_try(&p, p.dport, src, dst);
	if (!(t.bits & TRIED))
		offer_sample(st, bank(st), &p, &t, now(st), OUTGOING, 0);
	return TCX_NEXT;
}
