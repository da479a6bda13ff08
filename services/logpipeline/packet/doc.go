// Package packet turns the packet records of the eBPF engine into events that Sigma rules match. A record
// gives one event for each detection, window, flow or blocked prefix in it; [Events] returns them.
//
// # Logsource
//
// Every event is of category network and product ironpost. The service is detection, window, flow or blocked.
// A rule without a service matches all.
//
// # Fields
//
//	field                 in                  from (event.Packet)
//	kind                  all                 kind: detection, window, flows, blocked
//	host, interface       all                 host, interface
//	sampling, lost        all                 sampling, lost
//	message               all                 one sentence, also the alert's evidence
//	raw                   all                 the part as JSON
//	name                  detection           detection.name, such as port_scan
//	method, phase         detection           detection.method and phase; see services/ebpfengine/detect
//	actor                 detection           an address, a network of several, or the words spoofed and distributed
//	direction             detection           outbound if the actor is this host or one behind it
//	nat_address           detection           detection.nat_address: the actor's address behind this host's NAT, if another
//	may_be_decoy          detection           true if the actor's address may be forged; see services/ebpfengine/detect
//	src_ip                detection           the actor, only if it is an address
//	dst_ip, dst_port      detection           detection.target
//	dst_network           detection           instead of dst_ip where many addresses of a network are hit
//	duration_ms           detection, window   how long it has been going on; the window's length
//	counts.<name>         detection           detection.counts: counts.ports, counts.packets and so on
//	ports, hosts          detection           lists of some that were tried
//	lacking               detection           list of evidence that was not available
//	packets, bytes        window, blocked     sums
//	dropped               window              packets dropped by the blocklist
//	classes.<name>        window              packets by class, such as classes.tcp_syn
//	talkers               window              list of the busiest addresses
//	src_ip, src_port      flow                the sampled packet's sender
//	dst_ip, dst_port      flow                and receiver
//	protocol, flags       flow                as the engine names them
//	bytes                 flow                of that packet
//	prefix, reason        blocked             the blocklist's entry
//	src_ip                blocked             the entry, only if it is one address
//
// A field whose value is unknown is absent. Numbers are int64, not text.
package packet
