// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* The TCX program for outgoing packets (Linux 6.6): it lets everything pass and counts responses in the maps of the XDP program. */
#define CONTEXT struct __sk_buff
#include "responses.h"

char licence[] SEC("license") = "Dual BSD/GPL";

SEC("tcx/egress")
int responses_out(struct __sk_buff *skb)
{
	struct state *st = cpu_state();
	struct control *c = get_control();
	if (!st || !c)
		return TCX_NEXT;
	struct packet p = {};
	if (parse(skb, &p, 1) != PARSED)
		return TCX_NEXT;
	record_response(st, c, &p, hash_address(p.src.hi, p.src.lo), hash_address(p.dst.hi, p.dst.lo));
	return TCX_NEXT;
}
