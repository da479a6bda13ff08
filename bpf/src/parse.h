/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The parser: Ethernet, up to two VLAN tags, IPv4, IPv6 with up to eight extension headers, TCP, UDP, ICMP. Package bpf/model is the
 * same parser in Go, and tests compare the two. CONTEXT is the type of the program's argument. */
#pragma once
#include "state.h"

/* The parser returns these, or a reason + 1. */
enum { PARSED = 0, NOT_IP = 255 };
enum { EXTENSIONS = 8, STANDARD_FRAME = 1522 };

/* Indexed by the flags FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32. */
static const u8 tcp_class[64] = {
#define ROW(psh_urg, none, fin) \
	[psh_urg] = none, [psh_urg | 1] = fin, [psh_urg | 2] = TCP_SYN, [psh_urg | 3] = TCP_OTHER, \
	[psh_urg | 4] = TCP_RST, [psh_urg | 5] = TCP_OTHER, [psh_urg | 6] = TCP_OTHER, [psh_urg | 7] = TCP_OTHER, \
	[psh_urg | 16] = TCP_ACK, [psh_urg | 17] = TCP_FINACK, [psh_urg | 18] = TCP_SYNACK, [psh_urg | 19] = TCP_OTHER, \
	[psh_urg | 20] = TCP_RST, [psh_urg | 21] = TCP_OTHER, [psh_urg | 22] = TCP_OTHER, [psh_urg | 23] = TCP_OTHER
	ROW(0, TCP_NULL, TCP_FIN), ROW(8, TCP_OTHER, TCP_FIN), ROW(32, TCP_OTHER, TCP_XMAS), ROW(40, TCP_OTHER, TCP_XMAS),
#undef ROW
};

/* NEED returns reason why from the parser unless size bytes at from are in the frame. */
#define NEED(from, size, why) \
	if (unlikely((void *)(from) + (size) > end)) \
		return (why) + 1

/* read_ports reads the ports at the start of a layer 4 header. */
INLINE void read_ports(u8 *h, struct packet *p)
{
	p->sport = swap16(*(u16 *)h);
	p->dport = swap16(*(u16 *)(h + 2));
}

/* parse_tiny parses a first fragment that ends within the layer 4 header. */
INLINE int parse_tiny(u8 *h, void *end, u32 len, struct packet *p, int why)
{
	if (!p->fragment)
		return why + 1;
	p->tiny = 1;
	p->class = FRAGMENT;
	if (why == SHORT_ICMP || len < 4)
		return PARSED;
	NEED(h, 4, why);
	read_ports(h, p);
	return PARSED;
}

INLINE int parse_tcp(u8 *h, void *end, u32 len, struct packet *p)
{
	if (unlikely(len < 20))
		return parse_tiny(h, end, len, p, SHORT_TCP);
	NEED(h, 20, SHORT_TCP);
	u32 size = (h[12] >> 4) * 4;
	if (unlikely(size < 20))
		return BAD_TCP + 1;
	if (unlikely(size > len)) {
		if (!p->fragment)
			return BAD_TCP + 1;
		read_ports(h, p);
		p->tiny = 1;
		p->class = FRAGMENT;
		return PARSED;
	}
	read_ports(h, p);
	p->seq = swap32(*(u32 *)(h + 4));
	p->ack = swap32(*(u32 *)(h + 8));
	p->flags = h[13];
	p->bare = size == len;
	p->class = tcp_class[p->flags & 63];
	return PARSED;
}

/* parse_udp parses UDP, and UDP-Lite. */
INLINE int parse_udp(u8 *h, void *end, u32 len, struct packet *p)
{
	if (unlikely(len < 8))
		return parse_tiny(h, end, len, p, SHORT_UDP);
	NEED(h, 8, SHORT_UDP);
	u32 size = swap16(*(u16 *)(h + 4));
	if (unlikely(size < 8 || size > len) && p->proto == 17) {
		bool jumbo = p->v6 && !size; /* RFC 2675, section 4; Linux takes it in packets of any size */
		bool continued = p->fragment && size > len;
		if (!jumbo && !continued)
			return BAD_UDP + 1;
	}
	read_ports(h, p);
	p->class = UDP;
	return PARSED;
}

INLINE int parse_icmp(u8 *h, void *end, u32 len, struct packet *p)
{
	if (unlikely(len < 8))
		return parse_tiny(h, end, len, p, SHORT_ICMP);
	NEED(h, 8, SHORT_ICMP);
	p->dport = swap16(*(u16 *)h); /* type << 8 | code */
	p->class = h[0] == (p->v6 ? 128 : 8) ? ICMP_ECHO : ICMP_OTHER;
	return PARSED;
}

/* parse_sctp parses SCTP (RFC 9260, section 3): the type of the first chunk takes the place of flags. */
INLINE int parse_sctp(u8 *h, void *end, u32 len, struct packet *p)
{
	p->class = OTHER;
	if (unlikely(len < 13 || (void *)h + 13 > end))
		return PARSED;
	read_ports(h, p);
	p->flags = h[12];
	return PARSED;
}

/* parse_l4 parses the layer 4 header at h; len is the length that the IP header states. */
INLINE int parse_l4(u8 *h, void *end, u32 len, struct packet *p)
{
	u32 proto = p->proto;
	if (proto == 6)
		return parse_tcp(h, end, len, p);
	if (proto == 17 || proto == 136)
		return parse_udp(h, end, len, p);
	if (proto == (p->v6 ? 58 : 1))
		return parse_icmp(h, end, len, p);
	if (proto == 132)
		return parse_sctp(h, end, len, p);
	p->class = OTHER;
	return PARSED;
}

/* is_cut reports a frame that is shorter than its IP header states. Frames longer than Ethernet's standard may be in several buffers,
 * of which the program sees the first. lenient accepts frames that a capture cut, and outgoing segments that are not split yet. */
INLINE bool is_cut(void *frame, void *end, u32 bytes, bool lenient)
{
	return unlikely(frame + bytes > end) && end - frame <= STANDARD_FRAME && !lenient;
}

INLINE int parse_v4(u8 *h, void *end, void *frame, struct packet *p, bool lenient)
{
	NEED(h, 20, SHORT_IP);
	u32 size = (h[0] & 15) * 4, total = swap16(*(u16 *)(h + 2));
	if (unlikely(h[0] >> 4 != 4 || size < 20))
		return BAD_IP + 1;
	NEED(h, size, SHORT_IP);
	if (unlikely(total < size))
		return BAD_IP + 1;
	p->bytes = (u32)((void *)h - frame) + total;
	if (unlikely(is_cut(frame, end, p->bytes, lenient)))
		return CUT_IP + 1;
	p->proto = h[9];
	p->ip = *(u32 *)(h + 12);
	p->src.lo = (u64)p->ip << 32 | 0xffff0000;
	p->dst.lo = (u64) * (u32 *)(h + 16) << 32 | 0xffff0000;
	u32 fragment = swap16(*(u16 *)(h + 6)) & 0x3fff; /* more fragments, offset */
	if (unlikely(fragment)) {
		u32 offset = (fragment & 0x1fff) * 8;
		p->fragment = 1;
		if (offset + total > 65535)
			return BAD_FRAGMENT + 1;
		if (offset) {
			p->class = FRAGMENT;
			return PARSED;
		}
	}
	return parse_l4(h + size, end, total - size, p);
}

/* is_extension reports a hop-by-hop, routing, fragment, authentication, destination options, mobility, HIP or shim6 header. */
INLINE bool is_extension(u8 next)
{
	return next < 64 ? 1ULL << next & (1ULL << 0 | 1ULL << 43 | 1ULL << 44 | 1ULL << 51 | 1ULL << 60)
			 : next == 135 || next == 139 || next == 140;
}

/* The bit offsets within the result of skip_extensions. */
enum { WALK_OFFSET = 8, WALK_LENGTH = 24, WALK_FRAGMENT = 40, WALK_LATER = 41, WALK_RESULT = 48 };

/* skip_extensions skips the IPv6 extension headers at offset, of a packet with len bytes from there on. It returns the protocol
 * after them, its offset and length, whether the packet is a fragment, whether it is not the first one (then it stops there), and
 * the parser's result. */
GLOBAL u64 skip_extensions(CONTEXT *ctx, u32 next, u32 offset, u32 len)
{
	void *data = (void *)(u64)ctx->data, *end = (void *)(u64)ctx->data_end;
	u64 flags = 0;
	for (int i = 0; i < EXTENSIONS; i++) {
		if (!is_extension(next))
			return next | (u64)offset << WALK_OFFSET | (u64)len << WALK_LENGTH | flags;
		offset &= 0x7fff;
		u8 *h = data + offset;
		if (len < 8 || (void *)h + 8 > end)
			return (u64)(SHORT_EXTENSION + 1) << WALK_RESULT;
		u32 size = next == 51 ? (h[1] + 2) * 4 : (h[1] + 1) * 8; /* authentication header: RFC 4302 */
		if (next == 44) {
			u32 field = swap16(*(u16 *)(h + 2));
			size = 8;
			if (field & 0xfff9)
				flags |= 1ULL << WALK_FRAGMENT;
			if ((field & 0xfff8) + len - 8 > 65535)
				return (u64)(BAD_FRAGMENT + 1) << WALK_RESULT;
			if (field & 0xfff8)
				return h[0] | flags | 1ULL << WALK_LATER;
		}
		if (len < size)
			return (u64)(SHORT_EXTENSION + 1) << WALK_RESULT;
		next = h[0];
		len -= size;
		offset += size;
	}
	if (!is_extension(next))
		return next | (u64)offset << WALK_OFFSET | (u64)len << WALK_LENGTH | flags;
	return (u64)(TOO_MANY_EXTENSIONS + 1) << WALK_RESULT;
}

INLINE int parse_v6(CONTEXT *ctx, u8 *h, void *end, void *frame, struct packet *p, bool lenient)
{
	NEED(h, 40, SHORT_IP);
	if (unlikely(h[0] >> 4 != 6))
		return BAD_IP + 1;
	u32 len = swap16(*(u16 *)(h + 4));
	p->v6 = 1;
	p->bytes = (u32)((void *)h - frame) + 40 + len;
	if (unlikely(is_cut(frame, end, p->bytes, lenient)))
		return CUT_IP + 1;
	p->proto = h[6];
	p->src = (struct addr){*(u64 *)(h + 8), *(u64 *)(h + 16)};
	p->dst = (struct addr){*(u64 *)(h + 24), *(u64 *)(h + 32)};
	h += 40;
	if (unlikely(is_extension(p->proto))) {
		u64 found = skip_extensions(ctx, p->proto, (u32)((void *)h - frame), len);
		if (found >> WALK_RESULT)
			return (int)(found >> WALK_RESULT);
		p->proto = (u8)found;
		p->fragment = found >> WALK_FRAGMENT & 1;
		if (found >> WALK_LATER & 1) {
			p->class = FRAGMENT;
			return PARSED;
		}
		h = frame + (found >> WALK_OFFSET & 0x7fff);
		len = found >> WALK_LENGTH & 0xffff;
	}
	return parse_l4(h, end, len, p);
}

INLINE bool is_tag(u16 type)
{
	return type == BE16(0x8100) || type == BE16(0x88a8) || type == BE16(0x9100);
}

INLINE int parse_frame(CONTEXT *ctx, struct packet *p, bool lenient)
{
	void *frame = (void *)(u64)ctx->data, *end = (void *)(u64)ctx->data_end;
	u8 *h = frame;
	NEED(h, 14, SHORT_ETHERNET);
	u16 type = *(u16 *)(h + 12);
	h += 14;
	if (likely(type == BE16(0x0800)))
		return parse_v4(h, end, frame, p, lenient);
	if (is_tag(type)) {
		NEED(h, 4, SHORT_ETHERNET);
		p->vlan = swap16(*(u16 *)h) & 0xfff;
		type = *(u16 *)(h + 2);
		h += 4;
		if (is_tag(type)) {
			NEED(h, 4, SHORT_ETHERNET);
			type = *(u16 *)(h + 2);
			h += 4;
		}
	}
	if (likely(type == BE16(0x0800)))
		return parse_v4(h, end, frame, p, lenient);
	if (type == BE16(0x86dd))
		return parse_v6(ctx, h, end, frame, p, lenient);
	p->bytes = (u32)(end - frame);
	return NOT_IP;
}

INLINE int parse(CONTEXT *ctx, struct packet *p, bool lenient)
{
	int result = parse_frame(ctx, p, lenient);
	p->kind = 1U << (p->class & 31);
	return result;
}
