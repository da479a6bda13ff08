// Package detect names attacks from windows of kernel counters (package
// bpf/traffic). It is pure Go and keeps no clock of its own: time is the time of
// the windows, so a capture gives what the live interface gave.
//
// # Names
//
// A [Finding] has one of these names. The actor is the address that acts, or
// [Spoofed] where the sources are forged or misused, or [Distributed] where there
// are many and none stands out. Only an address may ever be blocked.
//
//	name               what                                        actor                 target
//	port_scan          one source tries many ports of one host     address               ip
//	host_scan          one source tries one port, or ping, on      address               ip of one host, port
//	                   many hosts
//	block_scan         many ports on many hosts                    address               ip of one host
//	slow_scan          any of the three, at less than one probe    address               ip of one host, port if one
//	                   in [Config.SlowGapSecs]
//	syn_flood          half-open connections pile up at a host     address or a word     ip, port
//	udp_flood          UDP beyond what the host asked for, or      address or a word     ip, port if one
//	                   one source's questions to DNS and the like
//	icmp_flood         the same of ICMP and ICMPv6                 address or a word     ip
//	fragment_flood     the same of IP fragments                    address or a word     ip
//	tcp_flood          TCP without a connection: ACK, RST and      address or a word     ip, port if one
//	                   the like
//	reflection         servers answer what the host never asked    spoofed               ip
//	connection_flood   one source opens connections too fast       address               ip, port if one
//
// # Methods
//
// method says how. Of scans: syn, fin, null, xmas, ack, udp, icmp, fragment (the
// TCP flags were hidden in a later fragment, as nmap -f does), other (flags that exclude each other). ack is FIN with ACK, too. Of
// reflection: the misused protocol, dns, ntp, snmp, isakmp, ssdp, memcached, ldap,
// chargen, and so on, udp- and a port where there is no name, or tcp (SYN-ACK). Of tcp_flood: ack, rst, other. Of the others it is
// empty.
//
// # Phases
//
// phase is begun (the first announcement), ongoing (again at growing intervals, at
// most [Config.RepeatSecs]), or over (once, with the sums of the whole attack).
//
// # Counts
//
// All are sums since the attack began unless said; a count that is not known is left out.
//
//	announcement         1 for the first
//	packets, bytes       of the attack's own classes, as far as counted
//	probes               scans: packets that tried something
//	ports, hosts         scans: how many different ones (an estimate above 64)
//	refused              scans: probes the host refused (RST, ICMP unreachable)
//	answered             scans: probes the host answered (SYN-ACK)
//	fragments            packets that were fragments
//	sources              floods: how many different sources (an estimate)
//	syn, syn_ack, ack    syn_flood: SYN in, SYN-ACK out, handshakes completed
//	half_open            syn_flood: SYN that no handshake followed
//	spoofed_percent      floods: how many of 100 sources look forged (an estimate)
//	connections          connection_flood: how many were opened
//	packets_per_second   floods: now
//	peak_per_second      floods: the most in one window
//	bytes_per_second     floods: now
//
// # Evidence that is missing
//
// lacking lists what the engine could not see: "egress" (no view of the answers, so
// refused and answered are unknown and a scan is judged by what came in alone),
// "flags" (hidden in fragments), "samples" (the ring lost some, so ports and hosts are lower
// bounds), "memory" (state was evicted, so sums are lower bounds).
package detect
