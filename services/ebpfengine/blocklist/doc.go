// Package blocklist reconciles the kernel's blocklist with its desired state: the entries of the bus's bucket, which
// expire, and the prefixes of feed files, which hold as long as a file lists them. It also keeps the kernel's allow list
// equal to the protected addresses of this machine; the allow list wins over every entry.
//
// Desired state is compared with the kernel and the difference is written in batches, so anything missed, a restart
// included, is repaired by the next comparison; states.go has the states. The kernel expires entries by its own clock: a
// stalled or stopped process neither extends an entry nor lets one lapse.
package blocklist
